"""The disk endpoints: one typed call when one is enough, bulk runs for ten thousand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NoReturn

from msgspec import UNSET, UnsetType

from katapult_async.bulk import (
    Action,
    Assignment,
    BulkReport,
    Items,
    ItemWork,
    Outcome,
    Outcomes,
    Recorder,
    check_items,
    read_item,
)
from katapult_async.models import (
    Annotation,
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
from katapult_async.transport import Operation, Session

from .disk_actions import (
    ASSIGN,
    ASSIGNING,
    ATTACH,
    ATTACHING,
    DETACH,
    DETACHING,
    GET,
    PROBE,
    UNASSIGN,
    UNASSIGNING,
    UNASSIGNING_READ_FIRST,
    is_on,
)
from .drain import drain
from .pages import pages

__all__ = [
    "ASSIGN",
    "ASSIGNING",
    "ATTACH",
    "ATTACHING",
    "CREATE",
    "DELETE",
    "DETACH",
    "DETACHING",
    "GET",
    "IO_PROFILE",
    "LIST",
    "PROBE",
    "RESIZE",
    "UNASSIGN",
    "UNASSIGNING",
    "UNASSIGNING_READ_FIRST",
    "UPDATE",
    "Disks",
    "is_on",
]

LIST = Operation("GET", "/organizations/organization/disks", DiskPage)
CREATE = Operation("POST", "/organizations/organization/disks", DiskTaskResponse)
UPDATE = Operation("PATCH", "/disks/disk", DiskResponse)
DELETE = Operation("DELETE", "/disks/disk", DiskTrashedResponse)
RESIZE = Operation("PUT", "/disks/disk/resize", DiskTaskResponse)
IO_PROFILE = Operation("PUT", "/disks/disk/io_profile", DiskTaskResponse)


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
        query += lookups.with_annotations(annotations or {})
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
        attach: bool | UnsetType = UNSET,
        annotations: Mapping[str, str] | UnsetType = UNSET,
    ) -> tuple[Disk, Task]:
        """Create a disk, and return it with the task that builds it.

        This is POST /organizations/organization/disks. It is not repeated when the answer is
        unclear: a second disk would cost money.

        Args:
            organization: ID (`org_…`) or sub-domain.
            name: What it is called.
            data_center: ID (`loc_…`, `dc_…`) or permalink.
            size_in_gb: In gigabytes.
            io_profile: ID (`diop_…`) or permalink. The API chooses one otherwise.
            bus_type: How the machine sees it.
            storage_speed: What it is stored on.
            initial_file_system: What it is formatted with.
            virtual_machine: ID (`vm_…`) or FQDN of the machine that it is assigned to at once.
            attach_on_boot: Whether it is attached when that machine starts. The API's default is
                True.
            attach: Whether it is attached to that machine once it is built.
            annotations: Values by key, for filtering lists.

        Raises:
            ValidationError: A property is not allowed.
            NotFound: The organization, or something that a property names, does not exist.
            TaskQueueingError: The task could not be queued.
        """
        bond: VirtualMachineDiskArguments | UnsetType = UNSET
        if virtual_machine is not UNSET or attach_on_boot is not UNSET or attach is not UNSET:
            bond = VirtualMachineDiskArguments(
                virtual_machine=lookups.virtual_machine(virtual_machine) if virtual_machine else UNSET,
                attach_on_boot=attach_on_boot,
                attach=attach,
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
        body = requests.CreateDisk(lookups.organization(organization), properties, _notes(annotations))
        response = await self._session.request(CREATE, body=body)
        return response.disk, response.task

    async def update(
        self,
        disk: str,
        *,
        name: str | UnsetType = UNSET,
        bus_type: BusType | UnsetType = UNSET,
        attach_on_boot: bool | UnsetType = UNSET,
        annotations: Mapping[str, str] | UnsetType = UNSET,
    ) -> Disk:
        """Change the properties or annotations of a disk (PATCH /disks/disk).

        Args:
            disk: ID (`disk_…`).
            name: What it is called.
            bus_type: How the machine sees it.
            attach_on_boot: Whether it is attached when its machine starts.
            annotations: Values by key. They take the place of all that it had.

        Raises:
            ValidationError: A property is not allowed.
            UnassignedDisk: attach_on_boot was given for a disk without a machine.
        """
        bond: VirtualMachineDiskArguments | UnsetType = UNSET
        if attach_on_boot is not UNSET:
            bond = VirtualMachineDiskArguments(attach_on_boot=attach_on_boot)
        properties = DiskArguments(name=name, bus_type=bus_type, virtual_machine_disk=bond)
        body = requests.UpdateDisk(lookups.disk(disk), properties, _notes(annotations))
        return (await self._session.request(UPDATE, body=body)).disk

    async def annotations(self, disk: str) -> dict[str, str | None]:
        """Return the annotations of a disk, value by key (GET /disks/disk)."""
        found = await self._session.request(GET, query=[lookups.disk(disk).query("disk")])
        notes = () if isinstance(found.annotations, UnsetType) else found.annotations
        return {note.key: None if note.value is UNSET else note.value for note in notes}

    async def delete(self, disk: str) -> TrashObject:
        """Move a disk to the trash (DELETE /disks/disk). Raises ValidationError, for example while it is assigned."""
        body = requests.NameDisk(lookups.disk(disk))
        return (await self._session.request(DELETE, body=body)).trash_object

    async def resize(
        self, disk: str, size_in_gb: int, *, resize_method: ResizeMethod | UnsetType = UNSET
    ) -> Task:
        """Change the size of a disk, and return the task that does it (PUT /disks/disk/resize).

        Args:
            disk: ID (`disk_…`).
            size_in_gb: In gigabytes. It may be smaller if the disk is on no machine, or its machine
                is stopped.
            resize_method: Whether the machine may run meanwhile.

        Raises:
            ValidationError: The size is not allowed.
            TaskQueueingError: The task could not be queued.
        """
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
        """Take a disk from its machine (POST /disks/disk/unassign).

        A disk on no machine is returned, too.

        Raises:
            UnableToUnassign: It is attached, or the boot disk of its machine.
        """
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
        outcome = await ItemWork(action, self._session, item).run()
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
        return await drain(self.assign_each(pairs))

    def unassign_each(
        self, disks: Items, *, read_first: bool = True, recorder: Recorder | None = None
    ) -> Outcomes:
        """Unassign many disks, like assign_each.

        The API answers alike whether a disk was on a machine or not. So each disk is read first:
        what is on no machine comes out as `already_unassigned` and is not sent, and a boot disk, or
        a disk on another machine than the one given, fails with AssignmentConflict.

        Args:
            disks: IDs, or Assignments. The machine of an Assignment keeps the order per machine.
            read_first: False saves one request per disk. Every disk that is on no machine
                afterwards then comes out as `unassigned`, with `certain=False`.
            recorder: Follows the run, and says how the work on each disk begins.
        """
        return self._run(UNASSIGNING_READ_FIRST if read_first else UNASSIGNING, disks, recorder)

    async def unassign_many(self, disks: Items, *, read_first: bool = True) -> BulkReport:
        """Unassign many disks and sum up. See unassign_each."""
        return await drain(self.unassign_each(disks, read_first=read_first))

    def attach_each(self, disks: Items, *, recorder: Recorder | None = None) -> Outcomes:
        """Attach many assigned disks, like assign_each. An outcome comes when the task is queued; it carries it."""
        return self._run(ATTACHING, disks, recorder)

    async def attach_many(self, disks: Items) -> BulkReport:
        """Attach many disks and sum up."""
        return await drain(self.attach_each(disks))

    def detach_each(self, disks: Items, *, recorder: Recorder | None = None) -> Outcomes:
        """Detach many disks, like attach_each."""
        return self._run(DETACHING, disks, recorder)

    async def detach_many(self, disks: Items) -> BulkReport:
        """Detach many disks and sum up."""
        return await drain(self.detach_each(disks))

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


def _notes(annotations: Mapping[str, str] | UnsetType) -> tuple[Annotation, ...] | UnsetType:
    """As the API takes them."""
    if isinstance(annotations, UnsetType):
        return UNSET
    return tuple(Annotation(key=key, value=value) for key, value in annotations.items())


def _raise(outcome: Outcome) -> NoReturn:
    if outcome.error is not None:
        raise outcome.error
    raise AssertionError(f"an outcome without a disk and without an error: {outcome!r}")
