"""The disk endpoints for one disk. The bulk forms are in `many_disks`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from msgspec import UNSET, UnsetType

from katapult_async.bulk import Assignment, Outcome, read_item
from katapult_async.models import (
    BusType,
    Disk,
    FileSystem,
    ResizeMethod,
    StorageSpeed,
    Task,
    TrashObject,
    lookups,
    requests,
)
from katapult_async.transport import Session

from .bulk_runs import BulkRuns
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
    learn_machine,
)
from .disk_changes import DELETE, IO_PROFILE, RESIZE, UPDATE, DiskUpdate, update_body
from .disk_creation import CREATE, LIST, NewDisk, create_body
from .many_disks import ManyDisks
from .pages import pages
from .tasks import wait_for

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


class Disks(ManyDisks):
    """`client.disks`. Disks are named by ID (`disk_…`), virtual machines by ID (`vm_…`) or FQDN.

    Return values:

    - attach, detach, resize and change_io_profile return the queued Task. With `wait=True`, they
      return it after it has ended. They return None if only a read showed that the action is done,
      because the Task is then not known.
    - create returns the new Disk and its Task.
    - All other methods return the object: the Disk, or the TrashObject of a deleted disk.

    Every method raises a subclass of KatapultError. Writing needs a token with the scope `disks`.
    """

    def __init__(self, session: Session, runs: BulkRuns) -> None:
        super().__init__(runs)
        self._session = session

    async def get(self, disk: str) -> Disk:
        """Return one disk (GET /disks/disk).

        Args:
            disk: ID (`disk_…`).

        Returns:
            The disk, with all of its fields.

        Raises:
            NotFound: If the disk does not exist.
            ObjectInTrash: If the disk is in the trash.
        """
        found = (await self._session.request(GET, query=[lookups.disk(disk).query("disk")])).disk
        learn_machine(found, self._session.machines)
        return found

    async def list(
        self, *, organization: str, annotations: Mapping[str, str] | None = None, per_page: int = 200
    ) -> AsyncIterator[Disk]:
        """Iterate over the disks of an organization (GET /organizations/organization/disks).

        Args:
            organization: ID (`org_…`) or sub-domain.
            annotations: List only disks that have all of these.
            per_page: Disks per response, 200 at most.

        Returns:
            The disks, as partial objects.

        Raises:
            NotFound: If the organization does not exist.
            ValueError: If per_page is out of range.
        """
        query = [lookups.organization(organization).query("organization")]
        query += lookups.with_annotations(annotations or {})
        async for page in pages(self._session, LIST, query, per_page):
            for disk in page.items:
                learn_machine(disk, self._session.machines)
                yield disk

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
        wait: bool = False,
    ) -> tuple[Disk, Task]:
        """Create a disk (POST /organizations/organization/disks).

        The request is not repeated after an unclear response: a second disk would cost money.

        Args:
            organization: ID (`org_…`) or sub-domain.
            name: Name of the disk.
            data_center: ID (`loc_…`, `dc_…`) or permalink.
            size_in_gb: Size in gigabytes.
            io_profile: ID (`diop_…`) or permalink. Default: the API chooses one.
            bus_type: Bus by which the machine sees the disk.
            storage_speed: Kind of storage.
            initial_file_system: File system of the new disk.
            virtual_machine: ID (`vm_…`) or FQDN of the machine to assign the disk to.
            attach_on_boot: Whether the disk is attached when that machine starts. The API's default
                is True.
            attach: Whether the disk is attached to that machine as soon as it is built.
            annotations: Values by key, for filtering lists.
            wait: Whether to wait for the task.

        Returns:
            The disk as the response shows it, and the task that builds it.

        Raises:
            ValidationError: If a property is not allowed.
            NotFound: If the organization, or something that a property names, does not exist.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: If the task failed, with `wait`.
        """
        item = NewDisk(
            organization,
            name,
            data_center,
            size_in_gb,
            io_profile,
            bus_type,
            storage_speed,
            initial_file_system,
            virtual_machine or None,
            attach_on_boot,
            attach,
            annotations,
        )
        response = await self._session.request(CREATE, body=create_body(item))
        return response.disk, await self._task(response.task, wait=wait)

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
            name: Name of the disk.
            bus_type: Bus by which the machine sees the disk.
            attach_on_boot: Whether the disk is attached when its machine starts.
            annotations: Values by key. They replace all annotations of the disk.

        Returns:
            The disk after the change.

        Raises:
            ValidationError: If a property is not allowed.
            UnassignedDisk: If attach_on_boot was given for a disk on no machine.
        """
        item = DiskUpdate(disk, name, bus_type, attach_on_boot, annotations)
        return (await self._session.request(UPDATE, body=update_body(item))).disk

    async def annotations(self, disk: str) -> dict[str, str | None]:
        """Return the annotations of a disk (GET /disks/disk).

        Args:
            disk: ID (`disk_…`).

        Returns:
            The values by key.

        Raises:
            NotFound: If the disk does not exist.
            ObjectInTrash: If the disk is in the trash.
        """
        found = await self._session.request(GET, query=[lookups.disk(disk).query("disk")])
        notes = () if isinstance(found.annotations, UnsetType) else found.annotations
        return {note.key: None if note.value is UNSET else note.value for note in notes}

    async def delete(self, disk: str) -> TrashObject:
        """Move a disk to the trash (DELETE /disks/disk).

        Args:
            disk: ID (`disk_…`).

        Returns:
            The object in the trash, from which the disk can be restored.

        Raises:
            NotFound: If the disk does not exist.
            ObjectInTrash: If the disk is already in the trash.
            ValidationError: If the disk cannot be deleted, for example because it is assigned.
        """
        body = requests.NameDisk(lookups.disk(disk))
        return (await self._session.request(DELETE, body=body)).trash_object

    async def resize(
        self,
        disk: str,
        size_in_gb: int,
        *,
        resize_method: ResizeMethod | UnsetType = UNSET,
        wait: bool = False,
    ) -> Task:
        """Change the size of a disk (PUT /disks/disk/resize).

        Args:
            disk: ID (`disk_…`).
            size_in_gb: New size in gigabytes. It may be smaller than the old size if the disk is on
                no machine, or on a stopped machine.
            resize_method: Whether the machine may run during the resize.
            wait: Whether to wait for the task.

        Returns:
            The task.

        Raises:
            ValidationError: If the size is not allowed.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: If the task failed, with `wait`.
        """
        body = requests.ResizeDisk(lookups.disk(disk), size_in_gb, resize_method)
        return await self._task((await self._session.request(RESIZE, body=body)).task, wait=wait)

    async def change_io_profile(self, disk: str, io_profile: str, *, wait: bool = False) -> Task:
        """Give a disk another IO profile (PUT /disks/disk/io_profile).

        Args:
            disk: ID (`disk_…`).
            io_profile: ID (`diop_…`) or permalink.
            wait: Whether to wait for the task.

        Returns:
            The task.

        Raises:
            NotFound: If the disk or the IO profile does not exist.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: If the task failed, with `wait`.
        """
        body = requests.ChangeIOProfile(lookups.disk(disk), lookups.io_profile(io_profile))
        return await self._task((await self._session.request(IO_PROFILE, body=body)).task, wait=wait)

    async def assign(self, disk: str, virtual_machine: str) -> Disk:
        """Assign a disk to a machine (POST /disks/disk/assign).

        The change takes effect at once, without a task. After an unclear response the client reads
        the disk. It is a success if the disk is already on this machine.

        Args:
            disk: ID (`disk_…`).
            virtual_machine: ID (`vm_…`) or FQDN.

        Returns:
            The disk, on the machine.

        Raises:
            UnableToAssign: If the disk cannot be assigned to this machine.
            AssignmentConflict: If a read showed that the disk is on another machine.
            NotFound: If the disk or the machine does not exist.
            ObjectInTrash: If one of them is in the trash.
            TransportError: If neither a response nor a read showed whether the disk is assigned.
        """
        return _disk(
            await self._runs.one(ASSIGNING, read_item((disk, virtual_machine), needs_virtual_machine=True))
        )

    async def unassign(self, disk: str) -> Disk:
        """Unassign a disk from its machine (POST /disks/disk/unassign).

        The change takes effect at once, without a task. A disk on no machine is a success.

        Args:
            disk: ID (`disk_…`).

        Returns:
            The disk, on no machine.

        Raises:
            UnableToUnassign: If the disk is attached, or is the boot disk of its machine.
            NotFound: If the disk does not exist.
            ObjectInTrash: If the disk is in the trash.
        """
        return _disk(await self._runs.one(UNASSIGNING, Assignment(disk)))

    async def attach(self, disk: str, *, wait: bool = False) -> Task | None:
        """Attach an assigned disk to its running machine (POST /disks/disk/attach).

        Args:
            disk: ID (`disk_…`).
            wait: Whether to wait for the task, which takes some seconds.

        Returns:
            The task. None if a read showed that the disk is attached.

        Raises:
            UnassignedDisk: If the disk is on no machine.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: If the task failed, with `wait`.
        """
        return await self._runs.task(ATTACHING, Assignment(disk), wait=wait)

    async def detach(self, disk: str, *, wait: bool = False) -> Task | None:
        """Detach a disk from its machine (POST /disks/disk/detach). It stays assigned.

        Args:
            disk: ID (`disk_…`).
            wait: Whether to wait for the task, which takes some seconds.

        Returns:
            The task. None if a read showed that the disk is detached.

        Raises:
            UnassignedDisk: If the disk is on no machine.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: If the task failed, with `wait`.
        """
        return await self._runs.task(DETACHING, Assignment(disk), wait=wait)

    async def _task(self, task: Task, *, wait: bool) -> Task:
        return await wait_for(self._session, task) if wait else task


def _disk(outcome: Outcome[Assignment, Disk]) -> Disk:
    assert outcome.result is not None  # noqa: S101 - a response showed the disk that is done
    return outcome.result
