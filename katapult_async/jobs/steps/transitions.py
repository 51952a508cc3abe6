"""What a step's outcome means for its line: a pure function from (step, outcome) to the line's next state.

    assign a disk:   assign ─> attach (where it is wanted) ─> its task ─> settled
    take it back:    detach (what the run attached) ─> its task ─> unassign ─> settled

A line that is WAITING may be sent. One that is SENT is read back before anything else. UNKNOWN is not settled: a
resumed run reads it back again.
"""

from __future__ import annotations

import enum

import msgspec

from katapult_async.bulk import Outcome, OutcomeStatus
from katapult_async.errors import AssignmentConflict, Execution, TaskQueueingError
from katapult_async.jobs.journal.records import LineState, LineStatus, RunKind
from katapult_async.models import AttachmentState, Disk, TaskStatus
from katapult_async.resources.disks import is_on

#: The API's word for a machine that takes no task now.
BUSY = "task_queueing_error"
UNASSIGNED_BY_SOMEBODY = "it is unassigned, by this run or by others: this run got no response to its request"


class Step(str, enum.Enum):
    """What is done with a line, one after the other."""

    ASSIGN = "assign"
    ATTACH = "attach"
    DETACH = "detach"
    UNASSIGN = "unassign"

    def __str__(self) -> str:
        return self.value


#: The steps of each kind of run, in the order in which all lines go through them.
STEPS: dict[RunKind, tuple[Step, ...]] = {
    RunKind.ASSIGN: (Step.ASSIGN, Step.ATTACH),
    RunKind.ROLLBACK: (Step.DETACH, Step.UNASSIGN),
}


class Did(enum.IntFlag):
    """What a run has changed about a disk. A rollback takes back exactly this."""

    NOTHING = 0
    ASSIGNED = 1
    ATTACHED = 2
    DETACHED = 4
    UNASSIGNED = 8
    #: It is on the machine and this run's request was never answered, but nothing shows that it was not there before.
    #: A rollback leaves it alone.
    PERHAPS_ASSIGNED = 16


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """What a line becomes. did: added to what the run has changed. undone: taken away from it."""

    step: Step
    state: LineState
    status: LineStatus = LineStatus.WAITING
    did: Did = Did.NOTHING
    undone: Did = Did.NOTHING
    code: str | None = None
    detail: str | None = None
    task: str | None = None


def after(step: Step, outcome: Outcome, *, further: bool, seen_free: bool = False) -> Next:
    """What a line becomes when its step has come out. further: whether the second step of its run is wanted, too.
    seen_free: whether the preflight has seen the disk on no machine.
    """
    # Without operation and request ID, which the line has.
    status, detail = outcome.status, outcome.error.message if outcome.error is not None else None
    if status is OutcomeStatus.NOT_ATTEMPTED:
        return Next(step=step, state=LineState.WAITING, code=outcome.code, detail=detail)
    if status is OutcomeStatus.UNKNOWN:
        return Next(
            step=step,
            state=LineState.SENT,
            status=LineStatus.UNKNOWN,
            code=outcome.code,
            detail=detail or "it was sent, and the run was interrupted before an answer",
        )
    if status is OutcomeStatus.FAILED:
        return _failed(step, outcome, detail)
    if step is Step.ASSIGN:
        done = status is OutcomeStatus.ASSIGNED
        did = Did.NOTHING
        if done:
            did = Did.ASSIGNED if outcome.certain or seen_free else Did.PERHAPS_ASSIGNED
        if further:
            return Next(step=Step.ATTACH, state=LineState.WAITING, did=did)
        through = LineStatus.ASSIGNED if done else LineStatus.ALREADY_ASSIGNED
        return Next(step=step, state=LineState.SETTLED, status=through, did=did)
    if step is Step.UNASSIGN:
        done = status is OutcomeStatus.UNASSIGNED
        through = LineStatus.UNASSIGNED if done else LineStatus.ALREADY_UNASSIGNED
        if done and not outcome.certain:
            # Its request may not even have been sent: lines are recorded as sent a moment before.
            return Next(step=step, state=LineState.SETTLED, status=through, detail=UNASSIGNED_BY_SOMEBODY)
        did = Did.UNASSIGNED if done else Did.NOTHING
        return Next(step=step, state=LineState.SETTLED, status=through, did=did)
    return _plugged(step, outcome, further=further)


def _plugged(step: Step, outcome: Outcome, *, further: bool) -> Next:
    """Attaching and detaching: a task has been queued, or it was so already."""
    machine = _machine_of(outcome.disk)
    if (
        machine is not None
        and outcome.disk is not None
        and not is_on(outcome.disk, outcome.assignment.virtual_machine)
    ):
        # Attaching and detaching name the disk alone, wherever it is.
        return moved(step, machine, task=outcome.task.id if outcome.task is not None else None)
    did = Did.ATTACHED if step is Step.ATTACH else Did.DETACHED
    if outcome.status in (OutcomeStatus.ALREADY_ATTACHED, OutcomeStatus.ALREADY_DETACHED):
        if _plug_state(outcome) in (AttachmentState.ATTACHING, AttachmentState.DETACHING):
            return Next(step=step, state=LineState.TASK)  # somebody else's task: waited for all the same
        return plugged(step, Did.NOTHING, further=further)
    if outcome.task is None and _plug_state(outcome) in (AttachmentState.ATTACHED, AttachmentState.DETACHED):
        return plugged(
            step, did, further=further
        )  # an unclear answer, and reading the disk showed that it is done
    task = outcome.task.id if outcome.task is not None else None
    if outcome.task is not None and outcome.task.status is TaskStatus.FAILED:
        return task_failed(step, task)
    return Next(step=step, state=LineState.TASK, did=did, task=task)


def _machine_of(disk: Disk | None) -> str | None:
    bond = disk.virtual_machine_disk if disk is not None else None
    return bond.virtual_machine.id if bond else None


def moved(step: Step, machine: str, *, task: str | None = None) -> Next:
    """The disk is on another machine by now, and what was queued for it happens there."""
    there = f", where the task {task} is at work on it" if task is not None else ""
    return lost(step, AssignmentConflict.code, f"it is on {machine} now{there}", task=task)


def lost(step: Step, code: str, detail: str, *, task: str | None = None) -> Next:
    """There is nothing to attach or to detach any more."""
    return Next(
        step=step,
        state=LineState.SETTLED,
        status=LineStatus.FAILED,
        code=code,
        detail=f"assigned, but not attached: {detail}" if step is Step.ATTACH else detail,
        task=task,
    )


def _plug_state(outcome: Outcome) -> object:
    bond = outcome.disk.virtual_machine_disk if outcome.disk is not None else None
    return bond.state if bond else None


def plugged(step: Step, did: Did, *, further: bool) -> Next:
    """The disk is attached or detached, as the step wanted."""
    if step is Step.ATTACH:
        return Next(step=step, state=LineState.SETTLED, status=LineStatus.ATTACHED, did=did)
    if further:
        return Next(step=Step.UNASSIGN, state=LineState.WAITING, did=did)
    return Next(step=step, state=LineState.SETTLED, status=LineStatus.DETACHED, did=did)


def task_failed(step: Step, task: str | None) -> Next:
    """The task of a line has ended as failed."""
    queued = Did.ATTACHED if step is Step.ATTACH else Did.DETACHED
    before = "assigned, but not attached" if step is Step.ATTACH else "not detached"
    return Next(
        step=step,
        state=LineState.SETTLED,
        status=LineStatus.FAILED,
        undone=queued,
        code="task_failed",
        detail=f"{before}: the task {task or 'of the platform'} has failed",
        task=task,
    )


def task_late(step: Step, task: str | None, seconds: float) -> Next:
    """The task of a line has not ended in time. Nothing is given up: a resumed run asks again."""
    return Next(
        step=step,
        state=LineState.TASK,
        status=LineStatus.UNKNOWN,
        code="task_timeout",
        detail=f"the task {task or 'of the platform'} has not ended in {seconds:g} s",
        task=task,
    )


def machine_busy(step: Step) -> Next:
    """The machine of a line is busy with another task: it has not been asked."""
    return Next(
        step=step,
        state=LineState.WAITING,
        code=BUSY,
        detail="its virtual machine was busy with another task",
    )


def _failed(step: Step, outcome: Outcome, detail: str | None) -> Next:
    error = outcome.error
    if step is Step.DETACH and isinstance(error, AssignmentConflict) and error.on_no_machine:
        # Somebody has unassigned it since: there is nothing left to take back.
        return Next(step=Step.UNASSIGN, state=LineState.SETTLED, status=LineStatus.ALREADY_UNASSIGNED)
    plug = _plug_state(outcome)
    if step is Step.UNASSIGN and plug in (AttachmentState.ATTACHED, AttachmentState.ATTACHING):
        # It was assigned only, and has been plugged in since: by a start of its machine, for example.
        return Next(step=Step.DETACH, state=LineState.WAITING, code=outcome.code, detail=detail)
    if error is not None and error.execution is Execution.UNCLEAR:
        # All tries were unclear, and each time the disk showed that nothing was done; the last one may still come late.
        return Next(step=step, state=LineState.SENT, code=outcome.code, detail=detail)
    busy = step in (Step.ATTACH, Step.DETACH) and isinstance(error, TaskQueueingError)
    nobody = error is not None and (error.stops_run or error.execution is Execution.NOT_EXECUTED)
    if busy or nobody:
        # Busy: another task keeps the machine, and the run decides whether it is worth another try. Nobody: the token
        # was refused or nobody was there; that is no fault of the line, and a resumed run tries it again.
        return Next(step=step, state=LineState.WAITING, code=outcome.code, detail=detail)
    if step is Step.ATTACH:
        detail = f"assigned, but not attached: {detail}"
    return Next(
        step=step, state=LineState.SETTLED, status=LineStatus.FAILED, code=outcome.code, detail=detail
    )
