"""The typed methods of the virtual machine endpoints: reads, and power actions on one or many."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping

from katapult_async.bulk import Assignment, BulkReport, Outcomes, Recorder
from katapult_async.models import AttachedDisk, Task, VirtualMachine, lookups
from katapult_async.models.responses import AttachedDiskPage, VirtualMachinePage
from katapult_async.ratelimit import Priority
from katapult_async.transport import Meter, Operation, Session

from .bulk_runs import TASK_TIMEOUT, BulkRuns
from .pages import pages
from .power_actions import (
    GET,
    RESETTING,
    SHUTTING_DOWN,
    STARTING,
    STOPPING,
    Machine,
    learn_machine,
)

DISKS = Operation("GET", "/virtual_machines/virtual_machine/disks", AttachedDiskPage)
LIST = Operation("GET", "/organizations/organization/virtual_machines", VirtualMachinePage)


async def find_wanted(session: Session, item: Assignment, meter: Meter) -> None:
    """Raise NotFound or ObjectInTrash if the virtual machine of an item does not exist."""
    if item.virtual_machine is not None:
        query = [lookups.virtual_machine(item.virtual_machine).query("virtual_machine")]
        await session.request(GET, query=query, meter=meter)


#: Machines, each named by ID or FQDN.
Machines = Iterable[Machine | str] | AsyncIterable[Machine | str]


class VirtualMachines:
    """`client.virtual_machines`. Machines are named by ID (`vm_…`) or FQDN.

    A power action returns its Task. With `wait=True`, it returns the Task after it has ended. After
    an unclear response the client reads the machine. If the read shows that the action is done, the
    method returns None, because the Task is not known. A wait has no time-out: use
    `anyio.fail_after`.

    The bulk methods work on one item per machine at a time. `…_each` is a stream of outcomes,
    `…_many` returns the report. They do not raise the error of an item. See `Client.bulk_each` and
    `Client.bulk`, also for `wait`, `task_timeout` and `recorder`.

    Every method raises a subclass of KatapultError.
    """

    def __init__(self, session: Session, runs: BulkRuns) -> None:
        self._session = session
        self._runs = runs

    async def get(self, virtual_machine: str) -> VirtualMachine:
        """Return one machine (GET /virtual_machines/virtual_machine).

        Args:
            virtual_machine: ID (`vm_…`) or FQDN.

        Returns:
            The machine, with its state.

        Raises:
            NotFound: If the machine does not exist.
            ObjectInTrash: If the machine is in the trash.
        """
        query = [lookups.virtual_machine(virtual_machine).query("virtual_machine")]
        machine = (await self._session.request(GET, query=query)).virtual_machine
        learn_machine(machine, self._session.machines)
        return machine

    async def disks(
        self, virtual_machine: str, *, per_page: int = 200, priority: Priority = Priority.NORMAL
    ) -> AsyncIterator[AttachedDisk]:
        """Iterate over the disks of a machine (GET /virtual_machines/virtual_machine/disks).

        Args:
            virtual_machine: ID (`vm_…`) or FQDN.
            per_page: Disks per response, 200 at most.
            priority: LOW for polling: it never takes a permit that other work waits for.

        Returns:
            The disks, including the boot disk.

        Raises:
            NotFound: If the machine does not exist.
            ObjectInTrash: If the machine is in the trash.
            ValueError: If per_page is out of range.
        """
        query = [lookups.virtual_machine(virtual_machine).query("virtual_machine")]
        async for page in pages(self._session, DISKS, query, per_page, priority=priority):
            for disk in page.items:
                yield disk

    async def list(
        self, *, organization: str, annotations: Mapping[str, str] | None = None, per_page: int = 200
    ) -> AsyncIterator[VirtualMachine]:
        """Iterate over machines (GET /organizations/organization/virtual_machines).

        Args:
            organization: ID (`org_…`) or sub-domain.
            annotations: List only machines that have all of these.
            per_page: Machines per response, 200 at most.

        Returns:
            The machines, as partial objects without their state.

        Raises:
            NotFound: If the organization does not exist.
            ValueError: If per_page is out of range.
        """
        query = [lookups.organization(organization).query("organization")]
        query += lookups.with_annotations(annotations or {})
        async for page in pages(self._session, LIST, query, per_page):
            for machine in page.items:
                learn_machine(machine, self._session.machines)
                yield machine

    # -- power -------------------------------------------------------------------------------

    async def start(self, virtual_machine: str, *, wait: bool = False) -> Task | None:
        """Start a machine (POST /virtual_machines/virtual_machine/start).

        Args:
            virtual_machine: ID (`vm_…`) or FQDN.
            wait: Whether to wait for the task.

        Returns:
            The task. None if a read showed that it is done.

        Raises:
            TaskQueueingError: If the task could not be queued.
            TaskFailed: If the task failed, with `wait`.
        """
        return await self._runs.task(STARTING, Machine(virtual_machine), wait=wait)

    def start_each(
        self,
        machines: Machines,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder[Machine, VirtualMachine] | None = None,
    ) -> Outcomes[Machine, VirtualMachine]:
        """Start many machines and stream their outcomes."""
        return self._runs.each(STARTING, machines, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def start_many(
        self, machines: Machines, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport[Machine, VirtualMachine]:
        """Start many machines and return the report."""
        return await self._runs.many(STARTING, machines, wait=wait, task_timeout=task_timeout)

    async def stop(self, virtual_machine: str, *, wait: bool = False) -> Task | None:
        """Stop a machine like a power cut (POST /virtual_machines/virtual_machine/stop).

        Args:
            virtual_machine: ID (`vm_…`) or FQDN.
            wait: Whether to wait for the task.

        Returns:
            The task. None if a read showed that it is done.

        Raises:
            TaskQueueingError: If the task could not be queued.
            TaskFailed: If the task failed, with `wait`.
        """
        return await self._runs.task(STOPPING, Machine(virtual_machine), wait=wait)

    def stop_each(
        self,
        machines: Machines,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder[Machine, VirtualMachine] | None = None,
    ) -> Outcomes[Machine, VirtualMachine]:
        """Stop many machines and stream their outcomes."""
        return self._runs.each(STOPPING, machines, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def stop_many(
        self, machines: Machines, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport[Machine, VirtualMachine]:
        """Stop many machines and return the report."""
        return await self._runs.many(STOPPING, machines, wait=wait, task_timeout=task_timeout)

    async def shutdown(self, virtual_machine: str, *, wait: bool = False) -> Task | None:
        """Shut down a machine's operating system (POST /virtual_machines/virtual_machine/shutdown).

        Args:
            virtual_machine: ID (`vm_…`) or FQDN.
            wait: Whether to wait for the task.

        Returns:
            The task. None if a read showed that it is done.

        Raises:
            TaskQueueingError: If the task could not be queued.
            TaskFailed: If the task failed, with `wait`.
        """
        return await self._runs.task(SHUTTING_DOWN, Machine(virtual_machine), wait=wait)

    def shutdown_each(
        self,
        machines: Machines,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder[Machine, VirtualMachine] | None = None,
    ) -> Outcomes[Machine, VirtualMachine]:
        """Shut down many machines and stream their outcomes."""
        return self._runs.each(
            SHUTTING_DOWN, machines, recorder=recorder, wait=wait, task_timeout=task_timeout
        )

    async def shutdown_many(
        self, machines: Machines, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport[Machine, VirtualMachine]:
        """Shut down many machines and return the report."""
        return await self._runs.many(SHUTTING_DOWN, machines, wait=wait, task_timeout=task_timeout)

    async def reset(self, virtual_machine: str, *, wait: bool = False) -> Task | None:
        """Reset a machine like a short power cut (POST /virtual_machines/virtual_machine/reset).

        An unclear response raises an error. The client does not repeat the request, because no read
        shows whether the machine was reset.

        Args:
            virtual_machine: ID (`vm_…`) or FQDN.
            wait: Whether to wait for the task.

        Returns:
            The task.

        Raises:
            TaskQueueingError: If the task could not be queued.
            TaskFailed: If the task failed, with `wait`.
        """
        return await self._runs.task(RESETTING, Machine(virtual_machine), wait=wait)

    def reset_each(
        self,
        machines: Machines,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder[Machine, VirtualMachine] | None = None,
    ) -> Outcomes[Machine, VirtualMachine]:
        """Reset many machines and stream their outcomes."""
        return self._runs.each(RESETTING, machines, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def reset_many(
        self, machines: Machines, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport[Machine, VirtualMachine]:
        """Reset many machines and return the report."""
        return await self._runs.many(RESETTING, machines, wait=wait, task_timeout=task_timeout)
