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
from .runs import Runs
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

    What a method returns:

    - What queues a task returns the Task, with `wait=True` as it ended: attach, detach, resize,
      change_io_profile. It is None if reading the disk showed that it is done, so no task is known.
    - What makes a disk returns the new Disk and its Task: create.
    - Everything else returns the object: the Disk, or the TrashObject of a deleted disk.

    Every method raises a subclass of KatapultError. Writing needs a token with the scope `disks`.
    """

    def __init__(self, session: Session, runs: Runs) -> None:
        super().__init__(runs)
        self._session = session

    # -- one disk ---------------------------------------------------------------------------------------------------

    async def get(self, disk: str) -> Disk:
        """Return one disk (GET /disks/disk).

        Args:
            disk: ID (`disk_…`).

        Returns:
            The disk, with all of its fields.

        Raises:
            NotFound: If there is no such disk.
            ObjectInTrash: If it was deleted and can be restored.
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
            per_page: Disks in one response, 200 at most.

        Returns:
            The disks, as partial objects.

        Raises:
            NotFound: If there is no such organization.
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
            wait: Whether to wait for the task.

        Returns:
            The disk as the response shows it, and the task that builds it.

        Raises:
            ValidationError: If a property is not allowed.
            NotFound: If the organization, or something that a property names, does not exist.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: With `wait`: if the task has failed.
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
            name: What it is called.
            bus_type: How the machine sees it.
            attach_on_boot: Whether it is attached when its machine starts.
            annotations: Values by key. They take the place of all that it had.

        Returns:
            The disk after the change.

        Raises:
            ValidationError: If a property is not allowed.
            UnassignedDisk: If attach_on_boot was given for a disk without a machine.
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
            NotFound: If there is no such disk.
            ObjectInTrash: If it was deleted and can be restored.
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
            NotFound: If there is no such disk.
            ObjectInTrash: If it is in the trash already.
            ValidationError: If it cannot be deleted, for example while it is assigned.
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
            size_in_gb: In gigabytes. It may be smaller if the disk is on no machine, or its machine
                is stopped.
            resize_method: Whether the machine may run meanwhile.
            wait: Whether to wait for the task.

        Returns:
            The task that does it.

        Raises:
            ValidationError: If the size is not allowed.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: With `wait`: if the task has failed.
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
            The task that does it.

        Raises:
            NotFound: If there is no such disk or IO profile.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: With `wait`: if the task has failed.
        """
        body = requests.ChangeIOProfile(lookups.disk(disk), lookups.io_profile(io_profile))
        return await self._task((await self._session.request(IO_PROFILE, body=body)).task, wait=wait)

    async def assign(self, disk: str, virtual_machine: str) -> Disk:
        """Assign a disk to a machine (POST /disks/disk/assign).

        This takes effect at once: there is no task. After an unclear response the disk is read. A disk
        that is on this machine already is a success.

        Args:
            disk: ID (`disk_…`).
            virtual_machine: ID (`vm_…`) or FQDN.

        Returns:
            The disk, on the machine.

        Raises:
            UnableToAssign: If the disk cannot be assigned to this machine.
            AssignmentConflict: If reading the disk showed that it is on another machine.
            NotFound: If there is no such disk or machine.
            ObjectInTrash: If one of them was deleted and can be restored.
            TransportError: If neither a response nor reading the disk could tell.
        """
        return _disk(
            await self._runs.one(ASSIGNING, read_item((disk, virtual_machine), needs_virtual_machine=True))
        )

    async def unassign(self, disk: str) -> Disk:
        """Take a disk from its machine (POST /disks/disk/unassign).

        This takes effect at once: there is no task. A disk on no machine is a success.

        Args:
            disk: ID (`disk_…`).

        Returns:
            The disk, on no machine.

        Raises:
            UnableToUnassign: If it is attached, or the boot disk of its machine.
            NotFound: If there is no such disk.
            ObjectInTrash: If it was deleted and can be restored.
        """
        return _disk(await self._runs.one(UNASSIGNING, Assignment(disk)))

    async def attach(self, disk: str, *, wait: bool = False) -> Task | None:
        """Attach an assigned disk to its running machine (POST /disks/disk/attach).

        Args:
            disk: ID (`disk_…`).
            wait: Whether to wait for the task, which takes some seconds.

        Returns:
            The task that does it. None if the disk was read, and is attached.

        Raises:
            UnassignedDisk: If the disk is on no machine.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: With `wait`: if the task has failed.
        """
        return await self._runs.task(ATTACHING, Assignment(disk), wait=wait)

    async def detach(self, disk: str, *, wait: bool = False) -> Task | None:
        """Detach a disk from its machine (POST /disks/disk/detach). It stays assigned.

        Args:
            disk: ID (`disk_…`).
            wait: Whether to wait for the task, which takes some seconds.

        Returns:
            The task that does it. None if the disk was read, and is detached.

        Raises:
            UnassignedDisk: If the disk is on no machine.
            TaskQueueingError: If the task could not be queued.
            TaskFailed: With `wait`: if the task has failed.
        """
        return await self._runs.task(DETACHING, Assignment(disk), wait=wait)

    async def _task(self, task: Task, *, wait: bool) -> Task:
        return await wait_for(self._session, task) if wait else task


def _disk(outcome: Outcome[Assignment, Disk]) -> Disk:
    assert outcome.result is not None  # noqa: S101 - it is done, so an answer has shown the disk
    return outcome.result
