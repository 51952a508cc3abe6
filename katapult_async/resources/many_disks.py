"""The bulk methods of the disk endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

from katapult_async.bulk import Assignment, BulkReport, Items, Outcomes, Recorder
from katapult_async.models import Disk, TrashObject

from .bulk_runs import TASK_TIMEOUT, BulkRuns
from .disk_actions import (
    ASSIGNING,
    ATTACHING,
    DETACHING,
    UNASSIGNING,
    UNASSIGNING_READ_FIRST,
)
from .disk_changes import (
    CHANGING_IO_PROFILE,
    DELETING,
    RESIZING,
    UPDATING,
    DiskUpdate,
    IOProfileChange,
    Resize,
)
from .disk_creation import NewDisk, creating

#: Inputs of the bulk methods: sync or async iterables. A run reads them only as fast as it works.
Resizes = Iterable[Resize | tuple[str, int]] | AsyncIterable[Resize | tuple[str, int]]
IOProfileChanges = (
    Iterable[IOProfileChange | tuple[str, str]] | AsyncIterable[IOProfileChange | tuple[str, str]]
)
DiskUpdates = Iterable[DiskUpdate] | AsyncIterable[DiskUpdate]
NewDisks = Iterable[NewDisk] | AsyncIterable[NewDisk]


class ManyDisks:
    """The bulk methods of `client.disks`.

    `…_each` returns a run, which starts in `async with` and is a stream of outcomes. `…_many`
    returns the report of a run, and raises BulkError if the input fails. Both raise TypeError if
    the input is not an iterable of items. No method raises the error of an item. See
    `Client.bulk_each` and `Client.bulk`.

    Common parameters:

    - wait: Whether to deliver an outcome only after the task of its item has ended. An item whose
      task failed is failed. An item keeps its virtual machine busy while its task runs.
    - task_timeout: Seconds to wait for one task. After that, its item is unknown.
    - recorder: Decides how the work on each item starts, and records outcomes.
    """

    def __init__(self, runs: BulkRuns) -> None:
        self._runs = runs

    def assign_each(self, pairs: Items, *, recorder: Recorder | None = None) -> Outcomes:
        """Assign many disks and stream their outcomes (POST /disks/disk/assign for each).

        Args:
            pairs: Any sync or async iterable of Assignment or (disk, virtual_machine). The run
                reads it only as fast as it works.
            recorder: See ManyDisks.

        Returns:
            The run, with exactly one Outcome per pair.

        Raises:
            TypeError: If `pairs` is a single text or cannot be iterated.
        """
        return self._runs.each(ASSIGNING, pairs, recorder=recorder)

    async def assign_many(self, pairs: Items) -> BulkReport:
        """Assign many disks and return the report. See BulkReport.raise_for_failures.

        If the call is cancelled, it logs the report, and the CancelledError has it as `report`.

        Args:
            pairs: As in assign_each.

        Returns:
            The report of the run.

        Raises:
            BulkError: If the input failed, or one of its items is malformed. Its `report` covers
                the items before.
        """
        return await self._runs.many(ASSIGNING, pairs)

    def unassign_each(
        self, disks: Items, *, read_first: bool = True, recorder: Recorder | None = None
    ) -> Outcomes:
        """Unassign many disks (POST /disks/disk/unassign for each).

        The API's response is the same whether a disk was on a machine or not. So the run reads each
        disk first. A disk on no machine is `already_unassigned` without a request. A boot disk, or
        a disk on another machine than the given one, fails with AssignmentConflict.

        Args:
            disks: IDs or Assignments. The disks of one machine keep their order if they are
                Assignments with this machine.
            read_first: False saves one request per disk. Every disk that is then on no machine is
                `unassigned`, with `certain=False`.
            recorder: See ManyDisks.

        Returns:
            The run, with exactly one Outcome per disk.
        """
        action = UNASSIGNING_READ_FIRST if read_first else UNASSIGNING
        return self._runs.each(action, disks, recorder=recorder)

    async def unassign_many(self, disks: Items, *, read_first: bool = True) -> BulkReport:
        """Unassign many disks and return the report. See unassign_each."""
        return await self._runs.many(UNASSIGNING_READ_FIRST if read_first else UNASSIGNING, disks)

    def attach_each(
        self,
        disks: Items,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder | None = None,
    ) -> Outcomes:
        """Attach many assigned disks (POST /disks/disk/attach for each). Outcomes have the task.

        Args:
            disks: As in unassign_each.
            wait: See ManyDisks.
            task_timeout: See ManyDisks.
            recorder: See ManyDisks.
        """
        return self._runs.each(ATTACHING, disks, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def attach_many(
        self, disks: Items, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport:
        """Attach many disks and return the report. See attach_each."""
        return await self._runs.many(ATTACHING, disks, wait=wait, task_timeout=task_timeout)

    def detach_each(
        self,
        disks: Items,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder | None = None,
    ) -> Outcomes:
        """Detach many disks (POST /disks/disk/detach for each). Parameters as in attach_each."""
        return self._runs.each(DETACHING, disks, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def detach_many(
        self, disks: Items, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport:
        """Detach many disks and return the report. See attach_each."""
        return await self._runs.many(DETACHING, disks, wait=wait, task_timeout=task_timeout)

    def resize_each(
        self,
        sizes: Resizes,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder[Resize, Disk] | None = None,
    ) -> Outcomes[Resize, Disk]:
        """Change the size of many disks (PUT /disks/disk/resize for each).

        The API refuses the size that a disk already has. The run then reads the disk, and its
        status is `already_resized`. After an unclear response the run reads the disk for some
        seconds. If the new size does not show by then, the disk is unknown.

        Args:
            sizes: (disk, size_in_gb) or Resize.
            wait: See ManyDisks.
            task_timeout: See ManyDisks.
            recorder: See ManyDisks.
        """
        return self._runs.each(RESIZING, sizes, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def resize_many(
        self, sizes: Resizes, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport[Resize, Disk]:
        """Change the size of many disks and return the report. See resize_each."""
        return await self._runs.many(RESIZING, sizes, wait=wait, task_timeout=task_timeout)

    def change_io_profile_each(
        self,
        changes: IOProfileChanges,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder[IOProfileChange, Disk] | None = None,
    ) -> Outcomes[IOProfileChange, Disk]:
        """Change many IO profiles (PUT /disks/disk/io_profile for each). See resize_each.

        Args:
            changes: (disk, io_profile) or IOProfileChange.
            wait: See ManyDisks.
            task_timeout: See ManyDisks.
            recorder: See ManyDisks.
        """
        return self._runs.each(
            CHANGING_IO_PROFILE, changes, recorder=recorder, wait=wait, task_timeout=task_timeout
        )

    async def change_io_profile_many(
        self, changes: IOProfileChanges, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport[IOProfileChange, Disk]:
        """Give many disks another IO profile and return the report. See change_io_profile_each."""
        return await self._runs.many(CHANGING_IO_PROFILE, changes, wait=wait, task_timeout=task_timeout)

    def update_each(
        self, updates: DiskUpdates, *, recorder: Recorder[DiskUpdate, Disk] | None = None
    ) -> Outcomes[DiskUpdate, Disk]:
        """Change the properties or annotations of many disks (PATCH /disks/disk for each).

        After an unclear response the run reads the disk.

        Args:
            updates: The new properties of each disk.
            recorder: See ManyDisks.
        """
        return self._runs.each(UPDATING, updates, recorder=recorder)

    async def update_many(self, updates: DiskUpdates) -> BulkReport[DiskUpdate, Disk]:
        """Update many disks and return the report. See update_each."""
        return await self._runs.many(UPDATING, updates)

    def delete_each(
        self, disks: Items, *, recorder: Recorder[Assignment, TrashObject] | None = None
    ) -> Outcomes[Assignment, TrashObject]:
        """Move many disks to the trash (DELETE /disks/disk for each).

        A disk in the trash is `already_deleted`. Outcomes have the object in the trash as result.

        Args:
            disks: IDs or Assignments.
            recorder: See ManyDisks.
        """
        return self._runs.each(DELETING, disks, recorder=recorder)

    async def delete_many(self, disks: Items) -> BulkReport[Assignment, TrashObject]:
        """Move many disks to the trash and return the report. See delete_each."""
        return await self._runs.many(DELETING, disks)

    def create_each(
        self,
        disks: NewDisks,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder[NewDisk, Disk] | None = None,
    ) -> Outcomes[NewDisk, Disk]:
        """Create many disks (POST /organizations/organization/disks for each).

        The result of an outcome is the new disk, before its task has built it.

        The run never repeats a request that may have been executed. After an unclear response it
        searches the organization for a disk of this name. The request has created this disk if it
        is the only one, no other item of the run has the name, and the disk is younger than the
        request. Otherwise the item is unknown: search for the disk before you create it again.

        Args:
            disks: The disks to create.
            wait: See ManyDisks.
            task_timeout: See ManyDisks.
            recorder: See ManyDisks.
        """
        return self._runs.each(creating(), disks, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def create_many(
        self, disks: NewDisks, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport[NewDisk, Disk]:
        """Create many disks and return the report. See create_each."""
        return await self._runs.many(creating(), disks, wait=wait, task_timeout=task_timeout)
