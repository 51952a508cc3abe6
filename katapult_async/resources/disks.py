"""The disk endpoints: one typed call when one is enough, bulk runs for ten thousand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, NoReturn

from msgspec import UNSET, UnsetType

from katapult_async.errors import ProtocolError
from katapult_async.logs import room_logger
from katapult_async.models import (
    Annotation,
    AttachmentState,
    BusType,
    Disk,
    FileSystem,
    ResizeMethod,
    StorageSpeed,
    Task,
    lookups,
    requests,
)
from katapult_async.models.requests import DiskArguments, VirtualMachineDiskArguments
from katapult_async.models.resources import TrashObject
from katapult_async.models.responses import DiskPage, DiskResponse, DiskTaskResponse, DiskTrashedResponse
from katapult_async.ratelimit.breaker import DEFAULT_PATIENCE
from katapult_async.scheduler import (
    Action,
    Assignment,
    BulkError,
    BulkReport,
    Found,
    Items,
    Outcome,
    Outcomes,
    OutcomeStatus,
    Recorder,
    Settling,
    check_items,
    read_item,
)
from katapult_async.transport import Meter, Operation, Session

from .pages import pages
from .virtual_machines import find_wanted

log = room_logger("resources")

GET = Operation("GET", "/disks/disk", DiskResponse)
#: Sent without a query. The API answers that an argument is missing.
PROBE = GET
LIST = Operation("GET", "/organizations/organization/disks", DiskPage)
CREATE = Operation("POST", "/organizations/organization/disks", DiskTaskResponse)
UPDATE = Operation("PATCH", "/disks/disk", DiskResponse)
DELETE = Operation("DELETE", "/disks/disk", DiskTrashedResponse)
ASSIGN = Operation("POST", "/disks/disk/assign", DiskResponse)
UNASSIGN = Operation("POST", "/disks/disk/unassign", DiskResponse)
ATTACH = Operation("POST", "/disks/disk/attach", DiskTaskResponse)
DETACH = Operation("POST", "/disks/disk/detach", DiskTaskResponse)
RESIZE = Operation("PUT", "/disks/disk/resize", DiskTaskResponse)
IO_PROFILE = Operation("PUT", "/disks/disk/io_profile", DiskTaskResponse)


# -- the four bulk actions ------------------------------------------------------------------------------------------


async def _assign(session: Session, item: Assignment, meter: Meter) -> tuple[Disk, Task | None]:
    assert item.virtual_machine is not None  # noqa: S101 - checked when the item was pulled
    body = requests.AssignDisk(lookups.disk(item.disk), lookups.virtual_machine(item.virtual_machine))
    response = await session.send(ASSIGN, body=body, meter=meter)
    disk = _about(item, response.disk, ASSIGN, meter)
    if not _may_be_on(disk, item.virtual_machine):
        raise _contradicts(f"the disk is {_where(disk)}, not on {item.virtual_machine}", ASSIGN, meter)
    return disk, None


async def _unassign(session: Session, item: Assignment, meter: Meter) -> tuple[Disk, Task | None]:
    body = requests.NameDisk(lookups.disk(item.disk))
    response = await session.send(UNASSIGN, body=body, meter=meter)
    disk = _about(item, response.disk, UNASSIGN, meter)
    if is_on(disk, None):
        raise _contradicts(f"the disk is still {_where(disk)}", UNASSIGN, meter)
    return disk, None


async def _attach(session: Session, item: Assignment, meter: Meter) -> tuple[Disk, Task | None]:
    body = requests.NameDisk(lookups.disk(item.disk))
    response = await session.send(ATTACH, body=body, meter=meter)
    return _about(item, response.disk, ATTACH, meter), response.task


async def _detach(session: Session, item: Assignment, meter: Meter) -> tuple[Disk, Task | None]:
    body = requests.NameDisk(lookups.disk(item.disk))
    response = await session.send(DETACH, body=body, meter=meter)
    return _about(item, response.disk, DETACH, meter), response.task


async def _read(session: Session, item: Assignment, meter: Meter) -> Disk:
    response = await session.request(GET, query=[lookups.disk(item.disk).query("disk")], meter=meter)
    return _about(item, response.disk, GET, meter)


def _about(item: Assignment, disk: Disk, operation: Operation[Any], meter: Meter) -> Disk:
    """The disk, if the answer is about the one that was asked for. A proxy that mixes answers up must not be believed."""
    if disk.id == item.disk:
        return disk
    raise _contradicts(f"the answer is about another disk ({disk.id})", operation, meter)


def _contradicts(message: str, operation: Operation[Any], meter: Meter) -> ProtocolError:
    """The error for a response that says success and shows something else: the disk must be read."""
    return ProtocolError(message, operation=operation.name, request_id=meter.request_id)


def _where(disk: Disk) -> str:
    bond = disk.virtual_machine_disk
    return f"on {bond.virtual_machine.id}" if bond else "on no machine"


def _may_be_on(disk: Disk, virtual_machine: str) -> bool:
    """Whether the response leaves it possible that the disk is on this machine."""
    bond = disk.virtual_machine_disk
    if bond is UNSET:
        return True  # the machine is not shown
    if bond is None:
        return False
    machine = bond.virtual_machine
    if machine.fqdn is UNSET and lookups.is_fqdn(virtual_machine):
        return True  # named by its FQDN, and shown without it
    return is_on(disk, virtual_machine)


def is_on(disk: Disk, virtual_machine: str | None) -> bool:
    """Whether the disk is assigned to this machine (None: to any)."""
    bond = disk.virtual_machine_disk
    if bond is None or bond is UNSET:
        return False
    machine = bond.virtual_machine
    return virtual_machine in (None, machine.id) or (
        machine.fqdn is not UNSET and _same_name(machine.fqdn, virtual_machine)
    )


def _same_name(one: str | None, other: str | None) -> bool:
    # Names of hosts are the same in any case, and with or without the dot at their end.
    return one is not None and other is not None and one.lower().rstrip(".") == other.lower().rstrip(".")


def _boots(disk: Disk) -> bool:
    bond = disk.virtual_machine_disk
    return bond is not None and bond is not UNSET and bond.boot is True


def _found_assigned(disk: Disk, item: Assignment) -> Found:
    if is_on(disk, item.virtual_machine):
        return Found.DONE
    return Found.CONFLICT if is_on(disk, None) else Found.NOT_DONE


def _found_unassigned(disk: Disk, item: Assignment) -> Found:
    if not is_on(disk, None):
        return Found.DONE
    if _boots(disk):
        return Found.BOOT_DISK
    return Found.NOT_DONE if is_on(disk, item.virtual_machine) else Found.CONFLICT


def _found_plugged(disk: Disk, item: Assignment, wanted: tuple[AttachmentState, ...]) -> Found:
    bond = disk.virtual_machine_disk
    if not bond or not is_on(disk, item.virtual_machine):
        return Found.CONFLICT
    return Found.DONE if bond.state in wanted else Found.NOT_DONE


def _found_attached(disk: Disk, item: Assignment) -> Found:
    return _found_plugged(disk, item, (AttachmentState.ATTACHED, AttachmentState.ATTACHING))


def _found_detached(disk: Disk, item: Assignment) -> Found:
    if _boots(disk):
        return Found.BOOT_DISK
    return _found_plugged(disk, item, (AttachmentState.DETACHED, AttachmentState.DETACHING))


ASSIGNING = Action(
    name="assign",
    send=_assign,
    read=_read,
    found=_found_assigned,
    done=OutcomeStatus.ASSIGNED,
    already=OutcomeStatus.ALREADY_ASSIGNED,
    probe=PROBE,
    needs_virtual_machine=True,
    find_wanted=find_wanted,
)
UNASSIGNING = Action(
    name="unassign",
    send=_unassign,
    read=_read,
    found=_found_unassigned,
    done=OutcomeStatus.UNASSIGNED,
    already=OutcomeStatus.ALREADY_UNASSIGNED,
    probe=PROBE,
)
ATTACHING = Action(
    name="attach",
    send=_attach,
    read=_read,
    found=_found_attached,
    done=OutcomeStatus.ATTACHED,
    already=OutcomeStatus.ALREADY_ATTACHED,
    probe=PROBE,
)
DETACHING = Action(
    name="detach",
    send=_detach,
    read=_read,
    found=_found_detached,
    done=OutcomeStatus.DETACHED,
    already=OutcomeStatus.ALREADY_DETACHED,
    probe=PROBE,
)


class Disks:
    """`client.disks`. Disks are named by id, virtual machines by id (`vm_…`) or FQDN.

    Every method raises a subclass of KatapultError. The scope of the token for everything that writes is `disks`.
    """

    def __init__(
        self,
        session: Session,
        *,
        concurrency: int,
        per_virtual_machine: int,
        patience: float = DEFAULT_PATIENCE,
    ) -> None:
        self._session = session
        self._concurrency = concurrency
        self._per_virtual_machine = per_virtual_machine
        self._patience = patience

    # -- one disk ---------------------------------------------------------------------------------------------------

    async def get(self, disk: str) -> Disk:
        """One disk, whole (GET /disks/disk). Raises NotFound, ObjectInTrash."""
        found = (await self._session.request(GET, query=[lookups.disk(disk).query("disk")])).disk
        self._learn_machine(found)
        return found

    async def list(
        self, *, organization: str, annotations: Mapping[str, str] | None = None, per_page: int = 200
    ) -> AsyncIterator[Disk]:
        """All disks of an organization (`org_…` or its sub-domain), page by page, as partial objects.

        annotations: only those that carry these. Raises NotFound (organization_not_found).
        """
        query = [lookups.organization(organization).query("organization")]
        for key, value in (annotations or {}).items():
            query += [("annotations[][key]", key), ("annotations[][value]", value)]
        async for page in pages(self._session, LIST, query, per_page):
            for disk in page.items:
                self._learn_machine(disk)
                yield disk

    def _learn_machine(self, disk: Disk) -> None:
        if bond := disk.virtual_machine_disk:
            machine = bond.virtual_machine
            if machine.fqdn is not UNSET:
                self._session.machines.learn(machine.fqdn, machine.id)

    async def create(
        self,
        *,
        organization: str,
        name: str,
        data_center: str,
        size_in_gb: int,
        io_profile: str | UnsetType = UNSET,
        bus_type: BusType | UnsetType = UNSET,
        storage_speed: StorageSpeed | UnsetType = UNSET,
        initial_file_system: FileSystem | UnsetType = UNSET,
        virtual_machine: str | UnsetType = UNSET,
        attach_on_boot: bool | UnsetType = UNSET,
    ) -> tuple[Disk, Task]:
        """A new disk and the task that builds it (POST /organizations/organization/disks).

        virtual_machine: assign it there at once. Raises ValidationError, NotFound, TaskQueueingError. Not repeated
        when the answer is unclear: a second disk would cost money.
        """
        bond: VirtualMachineDiskArguments | UnsetType = UNSET
        if virtual_machine is not UNSET or attach_on_boot is not UNSET:
            bond = VirtualMachineDiskArguments(
                virtual_machine=lookups.virtual_machine(virtual_machine) if virtual_machine else UNSET,
                attach_on_boot=attach_on_boot,
            )
        properties = DiskArguments(
            name=name,
            data_center=lookups.data_center(data_center),
            size_in_gb=size_in_gb,
            io_profile=lookups.io_profile(io_profile) if io_profile else UNSET,
            bus_type=bus_type,
            storage_speed=storage_speed,
            initial_file_system=initial_file_system,
            virtual_machine_disk=bond,
        )
        body = requests.CreateDisk(lookups.organization(organization), properties)
        response = await self._session.request(CREATE, body=body)
        return response.disk, response.task

    async def update(
        self,
        disk: str,
        *,
        name: str | UnsetType = UNSET,
        attach_on_boot: bool | UnsetType = UNSET,
        annotations: Mapping[str, str] | UnsetType = UNSET,
    ) -> Disk:
        """Change a disk's name, whether it is attached on boot, or its annotations (PATCH /disks/disk).

        Raises ValidationError, UnassignedDisk (attach_on_boot of a disk without a machine).
        """
        bond: VirtualMachineDiskArguments | UnsetType = UNSET
        if attach_on_boot is not UNSET:
            bond = VirtualMachineDiskArguments(attach_on_boot=attach_on_boot)
        notes: tuple[Annotation, ...] | UnsetType = UNSET
        if not isinstance(annotations, UnsetType):
            notes = tuple(Annotation(key=key, value=value) for key, value in annotations.items())
        properties = DiskArguments(name=name, virtual_machine_disk=bond)
        body = requests.UpdateDisk(lookups.disk(disk), properties, notes)
        return (await self._session.request(UPDATE, body=body)).disk

    async def delete(self, disk: str) -> TrashObject:
        """Move a disk to the trash (DELETE /disks/disk). Raises ValidationError, for example while it is assigned."""
        body = requests.NameDisk(lookups.disk(disk))
        return (await self._session.request(DELETE, body=body)).trash_object

    async def resize(
        self, disk: str, size_in_gb: int, *, resize_method: ResizeMethod | UnsetType = UNSET
    ) -> Task:
        """Make a disk larger (PUT /disks/disk/resize). Raises ValidationError, TaskQueueingError."""
        body = requests.ResizeDisk(lookups.disk(disk), size_in_gb, resize_method)
        return (await self._session.request(RESIZE, body=body)).task

    async def change_io_profile(self, disk: str, io_profile: str) -> Task:
        """Give a disk another IO profile, `diop_…` or permalink (PUT /disks/disk/io_profile)."""
        body = requests.ChangeIOProfile(lookups.disk(disk), lookups.io_profile(io_profile))
        return (await self._session.request(IO_PROFILE, body=body)).task

    async def assign(self, disk: str, virtual_machine: str) -> Disk:
        """Assign a disk to a machine (POST /disks/disk/assign). At once: there is no task.

        An unclear answer is cleared up by reading the disk back. A disk that is there already is returned, too.
        Raises UnableToAssign, NotFound, ObjectInTrash, AssignmentConflict; a TransportError if nothing could tell.
        """
        item = read_item((disk, virtual_machine), needs_virtual_machine=True)
        outcome = await self._settle(ASSIGNING, item)
        return outcome.disk if outcome.disk is not None else _raise(outcome)

    async def unassign(self, disk: str) -> Disk:
        """Take a disk from its machine (POST /disks/disk/unassign). Raises UnableToUnassign while it is attached."""
        outcome = await self._settle(UNASSIGNING, Assignment(disk))
        return outcome.disk if outcome.disk is not None else _raise(outcome)

    async def attach(self, disk: str) -> tuple[Disk, Task | None]:
        """Plug an assigned disk into its running machine (POST /disks/disk/attach). The task does it, in seconds;
        None if an unclear answer was cleared up by reading the disk. Raises UnassignedDisk, TaskQueueingError.
        """
        outcome = await self._settle(ATTACHING, Assignment(disk))
        return (outcome.disk if outcome.disk is not None else _raise(outcome)), outcome.task

    async def detach(self, disk: str) -> tuple[Disk, Task | None]:
        """Unplug a disk from its machine (POST /disks/disk/detach), like attach."""
        outcome = await self._settle(DETACHING, Assignment(disk))
        return (outcome.disk if outcome.disk is not None else _raise(outcome)), outcome.task

    async def _settle(self, action: Action, item: Assignment) -> Outcome:
        outcome = await Settling(action, self._session, item).run()
        return outcome if outcome.ok else _raise(outcome)

    # -- many disks -------------------------------------------------------------------------------------------------

    def assign_each(self, pairs: Items, *, recorder: Recorder | None = None) -> Outcomes:
        """Assign many disks; their outcomes as they happen.

        pairs: any sync or async iterable of Assignment or (disk, virtual_machine), read only as fast as it is worked
        on. Exactly one Outcome for each; nothing is raised for an item. See Outcomes.

        After `stop()` or a cancellation, an asynchronous input has 5 s for its cleanup before it is cancelled again;
        a cancelled anyio scope counts as one cancellation.

        Raises:
            TypeError: If `pairs` is a single text or cannot be iterated.
        """
        return self._run(ASSIGNING, pairs, recorder)

    async def assign_many(self, pairs: Items) -> BulkReport:
        """Assign many disks and sum up. Nothing is raised for an item: see BulkReport.raise_for_failures.

        Raises:
            BulkError: The input failed, or one of its items is malformed. The cause is the error of the input, and
                `report` says what was done before. When the call is cancelled, the report is logged, and the
                CancelledError carries it as `report`.
        """
        return await _drain(self.assign_each(pairs))

    def unassign_each(self, disks: Items, *, recorder: Recorder | None = None) -> Outcomes:
        """Unassign many disks (ids, or Assignments to keep the order per machine), like assign_each."""
        return self._run(UNASSIGNING, disks, recorder)

    async def unassign_many(self, disks: Items) -> BulkReport:
        """Unassign many disks and sum up."""
        return await _drain(self.unassign_each(disks))

    def attach_each(self, disks: Items, *, recorder: Recorder | None = None) -> Outcomes:
        """Attach many assigned disks, like assign_each. An outcome comes when the task is queued; it carries it."""
        return self._run(ATTACHING, disks, recorder)

    async def attach_many(self, disks: Items) -> BulkReport:
        """Attach many disks and sum up."""
        return await _drain(self.attach_each(disks))

    def detach_each(self, disks: Items, *, recorder: Recorder | None = None) -> Outcomes:
        """Detach many disks, like attach_each."""
        return self._run(DETACHING, disks, recorder)

    async def detach_many(self, disks: Items) -> BulkReport:
        """Detach many disks and sum up."""
        return await _drain(self.detach_each(disks))

    def _run(self, action: Action, items: Items, recorder: Recorder | None) -> Outcomes:
        check_items(items, needs_virtual_machine=action.needs_virtual_machine)
        return Outcomes(
            action,
            items,
            self._session,
            concurrency=self._concurrency,
            per_virtual_machine=self._per_virtual_machine,
            recorder=recorder,
            patience=self._patience,
        )


async def _drain(run: Outcomes) -> BulkReport:
    """Work through a run. Whatever ends it, its report is not lost."""
    failure: Exception | None = None
    try:
        async with run as outcomes:
            try:
                async for _ in outcomes:
                    pass
            except Exception as error:  # noqa: BLE001 - raised below, when the report is complete
                failure = error
    except asyncio.CancelledError as cancelled:
        log.warning("cancelled: %s", run.report)
        cancelled.report = run.report  # type: ignore[attr-defined]
        raise
    if failure is not None:
        items = "1 item" if run.pulled == 1 else f"{run.pulled} items"
        because = f"the input failed after {items}: {failure}"
        raise BulkError(run.report, because) from failure
    return run.report


def _raise(outcome: Outcome) -> NoReturn:
    if outcome.error is not None:
        raise outcome.error
    raise AssertionError(f"an outcome without a disk and without an error: {outcome!r}")
