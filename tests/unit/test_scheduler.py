"""The decisions of the scheduler: order per machine, retries, their delays, words of outcomes."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.bulk import (
    Assignment,
    BulkError,
    BulkReport,
    Outcome,
    OutcomeStatus,
    Words,
)
from katapult_async.bulk.look_ahead import LookAhead
from katapult_async.errors import (
    APIError,
    ConnectError,
    ConnectionLost,
    KatapultError,
    NotFound,
    ServerError,
    ServiceUnavailable,
)
from katapult_async.models import Disk
from katapult_async.transport import MachineNames, RetryPolicy, may_repeat
from katapult_async.transport.machine_names import MOST_PAIRS


def api(kind: type[APIError], status: int, code: str) -> APIError:
    return kind(status=status, code=code)


@pytest.mark.parametrize(
    ("error", "read", "write"),
    [
        (ConnectError("x"), True, True),
        (api(ServiceUnavailable, 503, "service_unavailable"), True, True),
        (ConnectionLost("x"), True, False),
        (api(ServerError, 500, "unhandled_exception"), True, False),
        (api(NotFound, 404, "disk_not_found"), False, False),
    ],
)
def test_what_is_sent_again(error: KatapultError, read: bool, write: bool) -> None:
    assert may_repeat(error, safe=True) is read
    assert may_repeat(error, safe=False) is write


@given(st.integers(1, 12), st.floats(0, 200), st.integers())
def test_delays_stay_within_the_policy(attempt: int, elapsed: float, seed: int) -> None:
    policy = RetryPolicy(attempts=8, base=0.5, cap=4, total=100)
    delay = policy.delay(attempt, elapsed, random.Random(seed))
    if attempt >= 8:
        assert delay is None
    elif delay is not None:
        assert 0 <= delay <= min(4, 0.5 * 2 ** (attempt - 1))
        assert elapsed + delay <= 100
    else:
        assert elapsed + 4 > 100


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 3), st.randoms(use_true_random=False))
def test_items_of_a_machine_keep_their_order_and_their_bound(
    machines: list[int], per_machine: int, rng: random.Random
) -> None:
    ahead: LookAhead[Assignment] = LookAhead(per_machine=per_machine, bound=10)
    items = [Assignment(f"disk_{number}", f"vm_{machine}") for number, machine in enumerate(machines)]
    source = iter(items)
    running: list[Assignment] = []
    started: list[Assignment] = []
    busy: dict[str | None, int] = defaultdict(int)
    exhausted = False
    while not exhausted or running or ahead.parked:
        if running and (rng.random() < 0.5 or exhausted or ahead.full):
            done = running.pop(rng.randrange(len(running)))
            busy[done.virtual_machine] -= 1
            ahead.finished(done)
        elif not exhausted:
            item = next(source, None)
            exhausted = item is None
            if item is not None and ahead.offer(item):
                running.append(item)
                started.append(item)
                busy[item.virtual_machine] += 1
        while (ready := ahead.next_ready()) is not None:
            running.append(ready)
            started.append(ready)
            busy[ready.virtual_machine] += 1
        assert max(busy.values(), default=0) <= per_machine
        assert ahead.parked <= 10
    assert sorted(started, key=lambda item: int(item.disk[5:])) == items
    for machine in set(machines):
        of_machine = [item for item in started if item.virtual_machine == f"vm_{machine}"]
        assert of_machine == [item for item in items if item.virtual_machine == f"vm_{machine}"]


def test_names_of_one_machine_are_merged_in_the_order_of_arrival() -> None:
    names = MachineNames()
    ahead: LookAhead[Assignment] = LookAhead(per_machine=1, bound=10, names=names)
    names.listeners.append(ahead.same)
    by_id = [Assignment(f"disk_i{number}", "vm_1") for number in range(3)]
    by_name = [Assignment(f"disk_n{number}", name) for number, name in enumerate(("A.b", "a.B.", "a.b"))]
    assert [ahead.offer(item) for pair in zip(by_id, by_name, strict=True) for item in pair] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    names.learn("a.b", "vm_1")
    # Two are in flight on a machine that takes one: the first to finish starts nothing.
    assert not ahead.finished(by_name[0])
    assert ahead.next_ready() is None
    for done, following in ((by_id[0], by_id[1]), (by_id[1], by_name[1]), (by_name[1], by_id[2])):
        assert ahead.finished(done)
        assert ahead.next_ready() is following
    assert ahead.finished(by_id[2])
    assert ahead.next_ready() is by_name[2]
    assert not ahead.finished(by_name[2])
    assert repr(ahead) == "<LookAhead busy=0 parked=0 ready=0 aliases=0>"


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_no_item_is_lost_whenever_names_turn_out_to_be_the_same(
    machines: list[tuple[int, bool]], per_machine: int, rng: random.Random
) -> None:
    names = MachineNames()
    ahead: LookAhead[Assignment] = LookAhead(per_machine=per_machine, bound=10, names=names)
    names.listeners.append(ahead.same)
    source = iter(
        [
            Assignment(f"disk_{number}", f"vm_{machine}" if by_id else f"M{machine}.example")
            for number, (machine, by_id) in enumerate(machines)
        ]
    )
    running: list[Assignment] = []
    started = 0
    exhausted = False
    while not exhausted or running or ahead.parked:
        learnt = rng.randrange(30)
        if learnt < 3:
            names.learn(f"m{learnt}.example", f"vm_{learnt}")
        if running and (rng.random() < 0.5 or exhausted or ahead.full):
            ahead.finished(running.pop(rng.randrange(len(running))))
        elif not exhausted:
            item = next(source, None)
            exhausted = item is None
            if item is not None and ahead.offer(item):
                running.append(item)
                started += 1
                of_machine = [each for each in running if _number_of(each) == _number_of(item)]
                if names.id_of(f"m{_number_of(item)}.example"):
                    assert len(of_machine) <= per_machine
        while (ready := ahead.next_ready()) is not None:
            running.append(ready)
            started += 1
    assert started == len(machines)
    assert repr(ahead) == "<LookAhead busy=0 parked=0 ready=0 aliases=0>"


def _number_of(item: Assignment) -> str:
    assert item.virtual_machine is not None
    return item.virtual_machine.removeprefix("vm_").removeprefix("M").removesuffix(".example")


def test_a_session_remembers_a_bounded_number_of_machines() -> None:
    names = MachineNames()
    for number in range(MOST_PAIRS + 10):
        names.learn(f"m{number}.example", f"vm_{number}")
    assert names.id_of("m9.example") is None
    assert names.id_of("m10.example") == "vm_10"
    assert repr(names) == f"<MachineNames {MOST_PAIRS} pairs>"


@pytest.mark.parametrize("disk", ["", " ", "a b", "x" * 300, "disk\n", 7])
def test_disks_that_cannot_be_named_are_refused(disk: str) -> None:
    with pytest.raises(ValueError, match="disk"):
        Assignment(disk, "vm_1")
    with pytest.raises(ValueError, match="virtual machine"):
        Assignment("disk_1", disk)


def test_a_report_sums_up() -> None:
    report = BulkReport[Assignment, Disk](words=Words("assigned", "already_assigned"))
    assert report.ok
    assert "nothing to do" in str(report)
    report.raise_for_failures()
    error = NotFound(status=404, code="disk_not_found")
    for status in OutcomeStatus:
        report.add(Outcome(item=Assignment("disk_1", "vm_1"), status=status, error=error, finished_at=0))
    assert report.total == len(OutcomeStatus)
    assert {failure.status for failure in report.failures} == {OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN}
    assert not report.ok
    with pytest.raises(BulkError, match=r"1 assigned.*disk_not_found"):
        report.raise_for_failures()


def test_reports_do_not_share_their_counts() -> None:
    BulkReport[Assignment, Disk]().add(
        Outcome(item=Assignment("disk_1"), status=OutcomeStatus.FAILED, finished_at=0)
    )
    assert BulkReport().total == 0


def test_ok_is_done_or_was_so_already() -> None:
    not_ok = {status.value for status in OutcomeStatus if not status.ok}
    assert not_ok == {"failed", "unknown", "not_attempted"}
