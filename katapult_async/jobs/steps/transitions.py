"""What follows a line's step in a durable run. Pure functions.

    assignment:   assign ─> attach (if wanted) ─> wait for its task ─> done
    rollback:     detach (if the run attached it) ─> wait for its task ─> unassign ─> done
    any action:   action, with its task ─> done

`STEPS` has the order of the steps. `after` returns the next step and state of a line from the
outcome of a request. `reached` does the same when a task has ended. The recorder writes the result
to the journal.

The run sends a line whose state is WAITING. It reads a line back whose state is SENT. A line whose
status is UNKNOWN is not done: a resumed run reads it back again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from katapult_async.bulk import Outcome, OutcomeStatus
from katapult_async.errors import AssignmentConflict, Execution, TaskQueueingError
from katapult_async.jobs.journal.records import Changes, LineState, LineStatus, RunKind, Step
from katapult_async.models import AttachmentState, Disk, TaskStatus
from katapult_async.resources.disks import is_on

#: The API's error code for a machine that accepts no task now.
BUSY = "task_queueing_error"
UNASSIGNED_BY_SOMEBODY = "it is unassigned, by this run or by others: this run got no response to its request"
#: The steps of each kind of run, in the order in which all lines go through them.
STEPS: dict[RunKind, tuple[Step, ...]] = {
    RunKind.ASSIGN: (Step.ASSIGN, Step.ATTACH),
    RunKind.ROLLBACK: (Step.DETACH, Step.UNASSIGN),
    RunKind.ACTION: (Step.ACTION,),
}


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """The new state of a line.

    Attributes:
        step: The next step.
        state: The progress of that step.
        status: The status of the line.
        changes: What the run changed about the disk with this outcome.
        reverted: Earlier `changes` that do not hold any more: the run changed them back, or never
            made them.
        code: The API's error code, or the kind of failure.
        detail: The reason in words.
        task: The ID of the queued task.
    """

    step: Step
    state: LineState
    status: LineStatus = LineStatus.WAITING
    changes: Changes = Changes.NOTHING
    reverted: Changes = Changes.NOTHING
    code: str | None = None
    detail: str | None = None
    task: str | None = None

    @classmethod
    def attached(cls, changes: Changes = Changes.NOTHING) -> Transition:
        """The disk is attached."""
        return cls(step=Step.ATTACH, state=LineState.SETTLED, status=LineStatus.ATTACHED, changes=changes)

    @classmethod
    def detached(cls, changes: Changes = Changes.NOTHING, *, second_step: bool) -> Transition:
        """The disk is detached, and is unassigned next if the second step is wanted."""
        if second_step:
            return cls(step=Step.UNASSIGN, state=LineState.WAITING, changes=changes)
        return cls(step=Step.DETACH, state=LineState.SETTLED, status=LineStatus.DETACHED, changes=changes)

    @classmethod
    def moved(cls, step: Step, machine: str, *, task: str | None = None) -> Transition:
        """The disk is on another machine now. A queued task works on that machine."""
        there = f", where the task {task} is at work on it" if task is not None else ""
        return cls.gone(step, AssignmentConflict.code, f"it is on {machine} now{there}", task=task)

    @classmethod
    def gone(cls, step: Step, code: str, detail: str, *, task: str | None = None) -> Transition:
        """Nothing is left to attach or to detach."""
        return cls(
            step=step,
            state=LineState.SETTLED,
            status=LineStatus.FAILED,
            code=code,
            detail=f"assigned, but not attached: {detail}" if step is Step.ATTACH else detail,
            task=task,
        )

    @classmethod
    def task_failed(cls, step: Step, task: str | None) -> Transition:
        """The task of a line has failed."""
        before = "assigned, but not attached" if step is Step.ATTACH else "not detached"
        return cls(
            step=step,
            state=LineState.SETTLED,
            status=LineStatus.FAILED,
            reverted=Changes.ATTACHED if step is Step.ATTACH else Changes.DETACHED,
            code="task_failed",
            detail=f"{before}: the task {task or 'of the platform'} has failed",
            task=task,
        )

    @classmethod
    def task_timed_out(cls, step: Step, task: str | None, seconds: float) -> Transition:
        """The task of a line has not ended in time. A resumed run polls it again."""
        return cls(
            step=step,
            state=LineState.TASK,
            status=LineStatus.UNKNOWN,
            code="task_timeout",
            detail=f"the task {task or 'of the platform'} has not ended in {seconds:g} s",
            task=task,
        )

    @classmethod
    def machine_busy(cls, step: Step) -> Transition:
        """No request was sent for a line, because its machine is busy with another task."""
        detail = "its virtual machine was busy with another task"
        return cls(step=step, state=LineState.WAITING, code=BUSY, detail=detail)


def after(
    step: Step, outcome: Outcome[Any, Any], *, second_step: bool, seen_free: bool = False
) -> Transition:
    """Return the new state of a line after the outcome of its step.

    Args:
        step: The step.
        outcome: The outcome of the step.
        second_step: Whether the line also needs the second step of the run.
        seen_free: Whether the preflight found the disk on no machine.
    """
    # `message` has no operation and no request ID. The line has both already.
    status, detail = outcome.status, outcome.error.message if outcome.error is not None else None
    if status is OutcomeStatus.NOT_ATTEMPTED:
        return Transition(step=step, state=LineState.WAITING, code=outcome.code, detail=detail)
    if status is OutcomeStatus.UNKNOWN:
        return Transition(
            step=step,
            state=LineState.SENT,
            status=LineStatus.UNKNOWN,
            code=outcome.code,
            detail=detail or "the run ended before it was certain whether this was executed",
            task=outcome.task.id if outcome.task is not None else None,
        )
    if status is OutcomeStatus.FAILED:
        return _failed(step, outcome, detail)
    if step is Step.ACTION:
        return _acted(outcome)
    if step is Step.ASSIGN:
        return _assigned(outcome, second_step=second_step, seen_free=seen_free)
    if step is Step.UNASSIGN:
        return _unassigned(outcome)
    return _after_queueing(step, outcome, second_step=second_step)


def _acted(outcome: Outcome[Any, Any]) -> Transition:
    status = LineStatus.DONE if outcome.status is OutcomeStatus.DONE else LineStatus.ALREADY_DONE
    made = outcome.result if not hasattr(outcome.item, "disk") else None
    return Transition(
        step=Step.ACTION,
        state=LineState.SETTLED,
        status=status,
        # The manifest cannot have the ID of a new disk, so the detail has it.
        detail=made.id if isinstance(made, Disk) else None,
        task=outcome.task.id if outcome.task is not None else None,
    )


def _assigned(outcome: Outcome, *, second_step: bool, seen_free: bool) -> Transition:
    done = outcome.status is OutcomeStatus.ASSIGNED
    changes = Changes.NOTHING
    if done:
        changes = Changes.ASSIGNED if outcome.certain or seen_free else Changes.PERHAPS_ASSIGNED
    if second_step:
        return Transition(step=Step.ATTACH, state=LineState.WAITING, changes=changes)
    status = LineStatus.ASSIGNED if done else LineStatus.ALREADY_ASSIGNED
    return Transition(step=Step.ASSIGN, state=LineState.SETTLED, status=status, changes=changes)


def _unassigned(outcome: Outcome) -> Transition:
    done = outcome.status is OutcomeStatus.UNASSIGNED
    status = LineStatus.UNASSIGNED if done else LineStatus.ALREADY_UNASSIGNED
    changes, detail = Changes.UNASSIGNED if done else Changes.NOTHING, None
    if done and not outcome.certain:
        # The request may never have been sent: a line is recorded as sent before its request.
        changes, detail = Changes.NOTHING, UNASSIGNED_BY_SOMEBODY
    return Transition(
        step=Step.UNASSIGN, state=LineState.SETTLED, status=status, changes=changes, detail=detail
    )


def _after_queueing(step: Step, outcome: Outcome, *, second_step: bool) -> Transition:
    """Return the new state after attach or detach. A task is queued, or nothing was left to do."""
    machine = _machine_of(outcome.disk)
    if (
        machine is not None
        and outcome.disk is not None
        and not is_on(outcome.disk, outcome.assignment.virtual_machine)
    ):
        # The API attaches and detaches a disk on whatever machine it is.
        return Transition.moved(step, machine, task=outcome.task.id if outcome.task is not None else None)
    changes = Changes.ATTACHED if step is Step.ATTACH else Changes.DETACHED
    if outcome.status in (OutcomeStatus.ALREADY_ATTACHED, OutcomeStatus.ALREADY_DETACHED):
        if _attachment(outcome) in (AttachmentState.ATTACHING, AttachmentState.DETACHING):
            # Another client's task. The run waits for it like for its own.
            return Transition(step=step, state=LineState.TASK)
        return reached(step, second_step=second_step)
    if outcome.task is None and _attachment(outcome) in (AttachmentState.ATTACHED, AttachmentState.DETACHED):
        # The response was unclear, and the read showed that the step is done.
        return reached(step, changes, second_step=second_step)
    task = outcome.task.id if outcome.task is not None else None
    if outcome.task is not None and outcome.task.status is TaskStatus.FAILED:
        return Transition.task_failed(step, task)
    return Transition(step=step, state=LineState.TASK, changes=changes, task=task)


def _machine_of(disk: Disk | None) -> str | None:
    bond = disk.virtual_machine_disk if disk is not None else None
    return bond.virtual_machine.id if bond else None


def reached(step: Step, changes: Changes = Changes.NOTHING, *, second_step: bool) -> Transition:
    """Return the new state of a line whose disk is attached or detached, as its step wanted."""
    if step is Step.ATTACH:
        return Transition.attached(changes)
    return Transition.detached(changes, second_step=second_step)


def _attachment(outcome: Outcome[Any, Any]) -> object:
    bond = outcome.disk.virtual_machine_disk if outcome.disk is not None else None
    return bond.state if bond else None


def _failed(step: Step, outcome: Outcome[Any, Any], detail: str | None) -> Transition:
    error = outcome.error
    if step is Step.DETACH and isinstance(error, AssignmentConflict) and error.on_no_machine:
        # Another client has unassigned the disk: nothing is left to roll back.
        return Transition(step=Step.UNASSIGN, state=LineState.SETTLED, status=LineStatus.ALREADY_UNASSIGNED)
    attachment = _attachment(outcome)
    if step is Step.UNASSIGN and attachment in (AttachmentState.ATTACHED, AttachmentState.ATTACHING):
        # The run only assigned the disk. It was attached later, for example when its machine
        # started.
        return Transition(step=Step.DETACH, state=LineState.WAITING, code=outcome.code, detail=detail)
    if error is not None and error.execution is Execution.UNCLEAR:
        # All attempts were unclear, and no read showed the change. The last request may still be
        # executed late.
        return Transition(step=step, state=LineState.SENT, code=outcome.code, detail=detail)
    busy = step in (Step.ATTACH, Step.DETACH) and isinstance(error, TaskQueueingError)
    refused = error is not None and (error.stops_run or error.execution is Execution.NOT_EXECUTED)
    if busy or refused:
        # busy: another task runs on the machine. The step runner decides whether to try again.
        # refused: the API refused the token or was not available. A resumed run tries again.
        return Transition(step=step, state=LineState.WAITING, code=outcome.code, detail=detail)
    if step is Step.ATTACH:
        detail = f"assigned, but not attached: {detail}"
    return Transition(
        step=step, state=LineState.SETTLED, status=LineStatus.FAILED, code=outcome.code, detail=detail
    )
