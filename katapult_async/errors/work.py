"""Errors of work that needs more than one request: bulk runs, tasks, and reading back."""

from __future__ import annotations

from katapult_async.models import Task

from .katapult_error import Execution, KatapultError


class NoAnswer(KatapultError):
    """The API did not respond for so long that a bulk run has given up.

    `__cause__` is the last error.
    """

    stops_run = True


class AssignmentConflict(KatapultError):
    """Reading the disk back showed that it is not where it should be.

    The disk is on another machine, or on none, or it is the boot disk of its machine and is left
    alone.

    Args:
        message: What happened.
        virtual_machine: The ID of the machine that the disk is on; None if it is on none.
    """

    execution = Execution.REFUSED
    code = "assignment_conflict"

    def __init__(self, message: str, *, virtual_machine: str | None = None) -> None:
        super().__init__(message)
        self.virtual_machine = virtual_machine

    @property
    def on_no_machine(self) -> bool:
        """Whether the disk is assigned to no machine at all."""
        return self.virtual_machine is None


class TaskFailed(KatapultError):
    """The task that a request queued has failed. `task`: as it ended."""

    execution = Execution.REFUSED
    code = "task_failed"

    def __init__(self, message: str, *, task: Task) -> None:
        super().__init__(message)
        self.task = task


class TaskTimeout(KatapultError):
    """The end of the queued task is not known: it took too long, or nobody waited for it."""

    execution = Execution.UNCLEAR
    code = "task_timeout"
