"""What a step's outcome means for its line, as a table."""

from __future__ import annotations

import msgspec
import pytest

from katapult_async import (
    AssignmentConflict,
    AuthenticationError,
    ConnectError,
    Disk,
    Outcome,
    OutcomeStatus,
    ServiceUnavailable,
    Task,
    TaskQueueingError,
    TransportError,
    UnableToAssign,
)
from katapult_async.bulk import Assignment
from katapult_async.errors import KatapultError
from katapult_async.jobs import LineState, LineStatus
from katapult_async.jobs.journal.records import Changes, Step
from katapult_async.jobs.steps.transitions import Transition, after
from katapult_async.models import AttachmentState, TaskStatus, VirtualMachineDisk, VirtualMachineReference

S = OutcomeStatus


def outcome(
    status: OutcomeStatus,
    *,
    error: KatapultError | None = None,
    plug: AttachmentState | None = None,
    task: Task | None = None,
) -> Outcome:
    bond = (
        VirtualMachineDisk(virtual_machine=VirtualMachineReference(id="vm_1"), state=plug) if plug else None
    )
    return Outcome(
        item=Assignment("disk_1", "vm_1"),
        status=status,
        result=Disk(id="disk_1", virtual_machine_disk=bond),
        task=task,
        error=error,
        finished_at=1.0,
    )


TASK = Task(id="task_1", status=TaskStatus.PENDING)


@pytest.mark.parametrize(
    ("step", "second_step", "came", "expected"),
    [
        (Step.ASSIGN, False, outcome(S.ASSIGNED), (Step.ASSIGN, 3, "assigned", Changes.ASSIGNED)),
        (Step.ASSIGN, False, outcome(S.ALREADY_ASSIGNED), (Step.ASSIGN, 3, "already_assigned", 0)),
        (Step.ASSIGN, True, outcome(S.ASSIGNED), (Step.ATTACH, 0, "waiting", Changes.ASSIGNED)),
        (Step.ASSIGN, True, outcome(S.ALREADY_ASSIGNED), (Step.ATTACH, 0, "waiting", 0)),
        (Step.ASSIGN, True, outcome(S.UNKNOWN), (Step.ASSIGN, 1, "unknown", 0)),
        (Step.ASSIGN, True, outcome(S.NOT_ATTEMPTED), (Step.ASSIGN, 0, "waiting", 0)),
        (Step.ATTACH, False, outcome(S.ATTACHED, task=TASK), (Step.ATTACH, 2, "waiting", Changes.ATTACHED)),
        (Step.ATTACH, False, outcome(S.ALREADY_ATTACHED), (Step.ATTACH, 3, "attached", 0)),
        (
            Step.ATTACH,
            False,
            outcome(S.ATTACHED, plug=AttachmentState.ATTACHING),
            (Step.ATTACH, 2, "waiting", Changes.ATTACHED),
        ),
        (
            Step.ATTACH,
            False,
            outcome(S.ATTACHED, plug=AttachmentState.ATTACHED),
            (Step.ATTACH, 3, "attached", Changes.ATTACHED),
        ),
        (
            Step.ATTACH,
            False,
            outcome(S.ALREADY_ATTACHED, plug=AttachmentState.ATTACHING),
            (Step.ATTACH, 2, "waiting", 0),
        ),
        (Step.DETACH, True, outcome(S.DETACHED, task=TASK), (Step.DETACH, 2, "waiting", Changes.DETACHED)),
        (Step.DETACH, True, outcome(S.ALREADY_DETACHED), (Step.UNASSIGN, 0, "waiting", 0)),
        (Step.DETACH, False, outcome(S.ALREADY_DETACHED), (Step.DETACH, 3, "detached", 0)),
        (Step.UNASSIGN, True, outcome(S.UNASSIGNED), (Step.UNASSIGN, 3, "unassigned", Changes.UNASSIGNED)),
        (Step.UNASSIGN, True, outcome(S.ALREADY_UNASSIGNED), (Step.UNASSIGN, 3, "already_unassigned", 0)),
    ],
)
def test_what_a_line_becomes(
    step: Step, second_step: bool, came: Outcome, expected: tuple[Step, int, str, int]
) -> None:
    transition = after(step, came, second_step=second_step)
    assert (transition.step, transition.state, transition.status, transition.changes) == expected


def failed(step: Step, error: KatapultError) -> Transition:
    return after(step, outcome(S.FAILED, error=error), second_step=True)


def test_what_the_api_refuses_is_settled_with_its_reason() -> None:
    transition = failed(Step.ASSIGN, UnableToAssign(status=422, code="unable_to_assign", request_id="r"))
    assert (transition.state, transition.status) == (LineState.SETTLED, LineStatus.FAILED)
    assert transition.code == "unable_to_assign"
    transition = failed(Step.ATTACH, AssignmentConflict("it is elsewhere", virtual_machine="vm_2"))
    assert transition.detail == "assigned, but not attached: it is elsewhere"


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("nobody there"),
        ServiceUnavailable(status=503, code="service_unavailable"),
        AuthenticationError(status=403, code="invalid_api_token"),
    ],
)
def test_what_is_no_fault_of_the_line_is_tried_again_by_a_resumed_run(error: KatapultError) -> None:
    for step in Step:
        transition = failed(step, error)
        assert (transition.step, transition.state, transition.status) == (
            step,
            LineState.WAITING,
            LineStatus.WAITING,
        )
        assert transition.detail


def test_a_machine_that_is_busy_is_not_the_end_of_attaching() -> None:
    busy = TaskQueueingError(status=406, code="task_queueing_error")
    assert failed(Step.ATTACH, busy).state is LineState.WAITING
    assert failed(Step.ASSIGN, busy).state is LineState.SETTLED


def test_a_disk_that_somebody_has_unassigned_is_unassigned_already() -> None:
    transition = failed(Step.DETACH, AssignmentConflict("it is on no machine"))
    assert transition.status is LineStatus.ALREADY_UNASSIGNED


def test_a_task_that_has_failed_at_once_undoes_what_was_noted() -> None:
    task = Task(id="task_1", status=TaskStatus.FAILED)
    transition = after(Step.ATTACH, outcome(S.ATTACHED, task=task), second_step=False)
    assert transition.status is LineStatus.FAILED
    assert transition.reverted is Changes.ATTACHED


def test_every_outcome_of_every_step_has_a_meaning() -> None:
    for step in Step:
        for status in OutcomeStatus:
            error = TransportError("lost") if not status.ok else None
            transition = after(step, outcome(status, error=error), second_step=True)
            assert transition.step in Step
            done = transition.status not in (LineStatus.WAITING, LineStatus.UNKNOWN)
            assert done == (transition.state is LineState.SETTLED)


def test_a_disk_that_reading_shows_unassigned_may_have_been_unassigned_by_others() -> None:
    """A rollback is killed between its record and its request.

    The resumed rollback finds the disk on no machine.
    """
    came = outcome(S.UNASSIGNED)
    sure = after(Step.UNASSIGN, came, second_step=False)
    assert (sure.status, sure.changes, sure.detail) == (LineStatus.UNASSIGNED, Changes.UNASSIGNED, None)
    unsure = after(Step.UNASSIGN, msgspec.structs.replace(came, certain=False), second_step=False)
    assert (unsure.status, unsure.changes) == (LineStatus.UNASSIGNED, Changes.NOTHING)
    assert (
        unsure.detail == "it is unassigned, by this run or by others: this run got no response to its request"
    )
