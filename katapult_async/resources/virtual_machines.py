"""The virtual machine endpoints that a bulk job on disks needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from msgspec import UNSET

from katapult_async.bulk import Assignment
from katapult_async.models import AttachedDisk, VirtualMachine, lookups
from katapult_async.models.responses import AttachedDiskPage, VirtualMachinePage, VirtualMachineResponse
from katapult_async.ratelimit import Priority
from katapult_async.transport import Meter, Operation, Session

from .pages import pages

GET = Operation("GET", "/virtual_machines/virtual_machine", VirtualMachineResponse)
DISKS = Operation("GET", "/virtual_machines/virtual_machine/disks", AttachedDiskPage)
LIST = Operation("GET", "/organizations/organization/virtual_machines", VirtualMachinePage)


async def find_wanted(session: Session, item: Assignment, meter: Meter) -> None:
    """Raise NotFound or ObjectInTrash if the virtual machine that an item names is not there."""
    if item.virtual_machine is not None:
        query = [lookups.virtual_machine(item.virtual_machine).query("virtual_machine")]
        await session.request(GET, query=query, meter=meter)


class VirtualMachines:
    """`client.virtual_machines`. Machines are named by id (`vm_…`) or FQDN."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, virtual_machine: str) -> VirtualMachine:
        """One machine, with its state (GET /virtual_machines/virtual_machine). Raises NotFound, ObjectInTrash."""
        query = [lookups.virtual_machine(virtual_machine).query("virtual_machine")]
        machine = (await self._session.request(GET, query=query)).virtual_machine
        self._learn(machine)
        return machine

    def _learn(self, machine: VirtualMachine) -> None:
        if machine.fqdn is not UNSET and machine.fqdn:
            self._session.machines.learn(machine.fqdn, machine.id)

    async def disks(
        self, virtual_machine: str, *, per_page: int = 200, priority: Priority = Priority.NORMAL
    ) -> AsyncIterator[AttachedDisk]:
        """The disks assigned to a machine, boot disk included (GET /virtual_machines/virtual_machine/disks).

        priority: LOW for polling, which takes no permit that other work waits for.
        """
        query = [lookups.virtual_machine(virtual_machine).query("virtual_machine")]
        async for page in pages(self._session, DISKS, query, per_page, priority=priority):
            for disk in page.items:
                yield disk

    async def list(
        self, *, organization: str, annotations: Mapping[str, str] | None = None, per_page: int = 200
    ) -> AsyncIterator[VirtualMachine]:
        """All machines of an organization, page by page, as partial objects without their state.

        annotations: only those that carry these.
        """
        query = [lookups.organization(organization).query("organization")]
        query += lookups.with_annotations(annotations or {})
        async for page in pages(self._session, LIST, query, per_page):
            for machine in page.items:
                self._learn(machine)
                yield machine
