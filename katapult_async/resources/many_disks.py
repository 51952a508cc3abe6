"""The bulk forms of the disk endpoints: one line for ten thousand disks."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

from katapult_async.bulk import Assignment, BulkReport, Items, Outcomes, Recorder
from katapult_async.models import Disk, TrashObject

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
from .runs import TASK_TIMEOUT, Runs

#: Inputs of the bulk forms: sync or async iterables, read only as fast as they are worked on.
Resizes = Iterable[Resize | tuple[str, int]] | AsyncIterable[Resize | tuple[str, int]]
IOProfileChanges = (
    Iterable[IOProfileChange | tuple[str, str]] | AsyncIterable[IOProfileChange | tuple[str, str]]
)
DiskUpdates = Iterable[DiskUpdate] | AsyncIterable[DiskUpdate]
NewDisks = Iterable[NewDisk] | AsyncIterable[NewDisk]


class ManyDisks:
    """The bulk forms of `client.disks`.

    `…_each` gives the outcomes as a stream, `…_many` sums them up. Nothing is raised for an item. See
    `Client.bulk_each` and `Client.bulk`.

    The parameters that most of them share:

    - wait: Whether an outcome comes only when the task of its item has ended. A task that has failed is
      the failure of its item. While a task runs, its item keeps its virtual machine busy.
    - task_timeout: Seconds to wait for one task. After that, its item is unknown.
    - recorder: Follows the run, and says how the work on each item begins.

    `…_each` returns a run that starts when it is entered with `async with`. `…_many` returns its report,
    and raises BulkError if the input fails. Both raise TypeError if the input is not an iterable of items.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def assign_each(self, pairs: Items, *, recorder: Recorder | None = None) -> Outcomes:
        """Assign many disks; their outcomes as they happen (POST /disks/disk/assign for each).

        After `stop()` or a cancellation, an asynchronous input has 5 s for its cleanup before it is cancelled again;
        a cancelled anyio scope counts as one cancellation.

        Args:
            pairs: Any sync or async iterable of Assignment or (disk, virtual_machine), read only as fast as it
                is worked on.
            recorder: Follows the run, and says how the work on each disk begins.

        Returns:
            The run, with exactly one Outcome for each pair.

        Raises:
            TypeError: If `pairs` is a single text or cannot be iterated.
        """
        return self._runs.each(ASSIGNING, pairs, recorder=recorder)

    async def assign_many(self, pairs: Items) -> BulkReport:
        """Assign many disks and sum up. Nothing is raised for an item: see BulkReport.raise_for_failures.

        Args:
            pairs: As in assign_each.

        Returns:
            The report of the run.

        Raises:
            BulkError: The input failed, or one of its items is malformed. The cause is the error of the input, and
                `report` says what was done before. When the call is cancelled, the report is logged, and the
                CancelledError carries it as `report`.
        """
        return await self._runs.many(ASSIGNING, pairs)

    def unassign_each(
        self, disks: Items, *, read_first: bool = True, recorder: Recorder | None = None
    ) -> Outcomes:
        """Unassign many disks (POST /disks/disk/unassign for each).

        The API answers alike whether a disk was on a machine or not. So each disk is read first:
        what is on no machine comes out as `already_unassigned` and is not sent, and a boot disk, or
        a disk on another machine than the one given, fails with AssignmentConflict.

        Args:
            disks: IDs, or Assignments. The machine of an Assignment keeps the order per machine.
            read_first: False saves one request per disk. Every disk that is on no machine
                afterwards then comes out as `unassigned`, with `certain=False`.
            recorder: Follows the run, and says how the work on each disk begins.

        Returns:
            The run, with exactly one Outcome for each disk.
        """
        action = UNASSIGNING_READ_FIRST if read_first else UNASSIGNING
        return self._runs.each(action, disks, recorder=recorder)

    async def unassign_many(self, disks: Items, *, read_first: bool = True) -> BulkReport:
        """Unassign many disks and sum up. See unassign_each."""
        return await self._runs.many(UNASSIGNING_READ_FIRST if read_first else UNASSIGNING, disks)

    def attach_each(
        self,
        disks: Items,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder | None = None,
    ) -> Outcomes:
        """Attach many assigned disks (POST /disks/disk/attach for each). The outcome carries the task.

        Args:
            disks: IDs, or Assignments. The machine of an Assignment keeps the order per machine.
            wait: See ManyDisks.
            task_timeout: See ManyDisks.
            recorder: See ManyDisks.
        """
        return self._runs.each(ATTACHING, disks, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def attach_many(
        self, disks: Items, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport:
        """Attach many disks and sum up. See attach_each."""
        return await self._runs.many(ATTACHING, disks, wait=wait, task_timeout=task_timeout)

    def detach_each(
        self,
        disks: Items,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder | None = None,
    ) -> Outcomes:
        """Detach many disks (POST /disks/disk/detach for each), with the parameters of attach_each."""
        return self._runs.each(DETACHING, disks, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def detach_many(
        self, disks: Items, *, wait: bool = False, task_timeout: float = TASK_TIMEOUT
    ) -> BulkReport:
        """Detach many disks and sum up. See attach_each."""
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

        The API refuses the size that a disk has already. The disk is then read, and comes out as
        `already_resized`. An unclear answer is cleared up by reading the disk for some seconds. If
        the new size does not show by then, the disk comes out as unknown, and can be sent again.

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
        """Change the size of many disks and sum up. See resize_each."""
        return await self._runs.many(RESIZING, sizes, wait=wait, task_timeout=task_timeout)

    def change_io_profile_each(
        self,
        changes: IOProfileChanges,
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder[IOProfileChange, Disk] | None = None,
    ) -> Outcomes[IOProfileChange, Disk]:
        """Give many disks another IO profile (PUT /disks/disk/io_profile for each), like resize_each.

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
        """Give many disks another IO profile and sum up. See change_io_profile_each."""
        return await self._runs.many(CHANGING_IO_PROFILE, changes, wait=wait, task_timeout=task_timeout)

    def update_each(
        self, updates: DiskUpdates, *, recorder: Recorder[DiskUpdate, Disk] | None = None
    ) -> Outcomes[DiskUpdate, Disk]:
        """Change the properties or annotations of many disks (PATCH /disks/disk for each).

        After an unclear response the disk is read.

        Args:
            updates: What to change about each disk.
            recorder: See ManyDisks.
        """
        return self._runs.each(UPDATING, updates, recorder=recorder)

    async def update_many(self, updates: DiskUpdates) -> BulkReport[DiskUpdate, Disk]:
        """Change the properties or annotations of many disks and sum up. See update_each."""
        return await self._runs.many(UPDATING, updates)

    def delete_each(
        self, disks: Items, *, recorder: Recorder[Assignment, TrashObject] | None = None
    ) -> Outcomes[Assignment, TrashObject]:
        """Move many disks to the trash (DELETE /disks/disk for each).

        What is there already comes out as `already_deleted`. The result of an outcome is the object in
        the trash.

        Args:
            disks: IDs, or Assignments.
            recorder: See ManyDisks.
        """
        return self._runs.each(DELETING, disks, recorder=recorder)

    async def delete_many(self, disks: Items) -> BulkReport[Assignment, TrashObject]:
        """Move many disks to the trash and sum up. See delete_each."""
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

        The result of an outcome is the new disk, as the task begins to build it.

        The run never repeats a request that may have been executed. After an unclear answer it looks
        for a disk of this name in the organization. It counts as created by the request if it is the
        only one, no other item of the run has the name, and it is younger than the request. Otherwise
        the item comes out as unknown: look for it before you create it again.

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
        """Create many disks and sum up. See create_each."""
        return await self._runs.many(creating(), disks, wait=wait, task_timeout=task_timeout)
