"""What an exchange with the shared state does, without a store.

Exchanges may be repeated, or lost, or about a lost state.
"""

from __future__ import annotations

import msgspec
import pytest

from katapult_async.budget import BudgetError, Look, Looked, State, exchange
from katapult_async.budget.exchange import copy_of
from katapult_async.budget.state import Report, Want
from katapult_async.ratelimit import Permit, read_evidence
from katapult_async.ratelimit.permit import Role

WANTS = (Want("", 1, 3),)
ANSWER = read_evidence(200, {})


def look(
    owner: str = "a", *, number: int, received: int = 0, state: State | None = None, **more: object
) -> Look:
    settings: dict[str, object] = {"owner": owner, "name": owner, "period": 60.0, "limit": 10, "timeout": 5.0}
    settings |= {"number": number, "received": received, "state": state.name if state is not None else ""}
    return Look(**(settings | more))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - keyword arguments


def warm() -> State:
    """A state that knows the limit; process a has sent one request."""
    first = exchange(None, 0.0, look(number=1, wants=(Want("", 1, 1),)))
    ((lease, _),) = first.seen.permits
    report = (Report(lease, ANSWER),)
    return exchange(first.state, 1.0, look(number=2, received=1, state=first.state, reports=report)).state


def leases(looked: Looked) -> list[int]:
    return [number for number, _ in looked.seen.permits]


def test_permits_of_a_look_whose_result_was_lost_are_handed_out_again() -> None:
    state = warm()
    lost = exchange(state, 2.0, look(number=3, received=2, state=state, wants=WANTS))
    again = exchange(state, 3.0, look(number=4, received=2, state=state, wants=WANTS))
    assert leases(again) == leases(lost)
    assert state.window.in_flight == 3
    then = exchange(state, 4.0, look(number=5, received=4, state=state, wants=WANTS))
    assert not set(leases(then)) & set(leases(lost))


def test_reports_and_strays_that_are_told_twice_count_once() -> None:
    state = warm()
    got = exchange(state, 2.0, look(number=3, received=2, state=state, wants=WANTS))
    reports = tuple(Report(number, ANSWER) for number in leases(got))
    for number in (4, 5):
        exchange(state, 3.0, look(number=number, received=3, state=state, reports=reports, strays=2))
    assert state.window.in_flight == 0
    permits = exchange(state, 4.0, look(number=6, received=5, state=state, strays=2, wants=(Want("", 1, 9),)))
    # Ten in a window: one at first, three that were answered, two strays.
    assert len(leases(permits)) == 10 - 1 - 3 - 2


def test_a_report_about_a_lost_state_ends_no_lease_of_the_new_one() -> None:
    old = warm()
    held = exchange(old, 2.0, look(number=3, received=2, state=old, wants=WANTS))
    new = exchange(None, 3.0, look(number=4, received=3, state=old, wants=WANTS, known=copy_of(old))).state
    assert new.name != old.name
    before = new.window.in_flight
    reports = tuple(Report(number, ANSWER) for number in leases(held))
    exchange(new, 4.0, look(number=5, received=4, state=old, reports=reports))
    assert new.window.in_flight == before


def test_a_lost_state_begins_with_what_is_known_of_the_limit_and_of_others() -> None:
    old = warm()
    exchange(old, 2.0, look("b", number=1, wants=WANTS))
    new = exchange(None, 3.0, look(number=3, received=2, state=old, known=copy_of(old))).state
    assert new.window.limit == 10
    assert set(new.members) == {"a", "b"}
    assert new.leases == {}
    got = exchange(new, 3.1, look(number=4, received=3, state=new, wants=(Want("", 1, 20),)))
    assert len(leases(got)) == 10 - 1 - 3


def test_a_permit_that_was_not_reported_counts_as_sent_after_its_deadline() -> None:
    state = warm()
    exchange(state, 2.0, look("b", number=1, wants=WANTS))
    late = exchange(state, 13.0, look(number=3, received=2, state=state, wants=(Want("", 1, 20),)))
    assert state.window.in_flight == len(leases(late)) == 10 - 1 - 3


def test_whoever_leaves_leaves_nothing() -> None:
    state = warm()
    exchange(state, 2.0, look("b", number=1, wants=(Want("", 1, 20),)))
    exchange(state, 2.1, look(number=3, received=2, state=state, wants=WANTS))
    exchange(state, 2.2, look(number=4, received=3, state=state, leaving=True))
    assert set(state.members) == {"b"}
    assert {place.owner for place in state.places} == {"b"}


def test_another_length_of_the_window_is_refused_only_while_somebody_is_there() -> None:
    state = warm()
    with pytest.raises(
        BudgetError, match="rate_window=6 contradicts the 60 seconds of a with the same token"
    ):
        exchange(state, 2.0, look("b", number=1, period=6.0))
    assert exchange(state, 7.0, look("b", number=1, period=6.0)).state.window.period == 6.0


def test_nothing_is_taken_in_advance_while_somebody_waits_or_the_limit_is_not_known() -> None:
    cold = exchange(None, 0.0, look(number=1, limit=None, spare=(5, "")))
    assert cold.seen.permits == ()
    state = warm()
    spare: list[Permit] = [
        permit
        for _, permit in exchange(
            state, 2.0, look(number=3, received=2, state=state, wants=WANTS, spare=(2, ""))
        ).seen.permits
    ]
    assert len(spare) == 5
    exchange(state, 2.1, look("b", number=1, wants=(Want("", 1, 20),)))
    more = exchange(state, 2.2, look(number=4, received=3, state=state, spare=(2, "")))
    assert more.seen.permits == ()


def test_a_stored_permit_of_a_probe_stays_readable() -> None:
    """Stores hold the values of enums, so a member may be renamed and its value may not."""
    stored = msgspec.msgpack.encode(
        {
            "sent": 1.0,
            "serial": 7,
            "alone": True,
            "role": "a probe after a 429",
            "window": None,
            "after": 0,
            "lowest": None,
        }
    )
    assert msgspec.msgpack.decode(stored, type=Permit).role is Role.PROBE


def paced(limit: int) -> tuple[State, float]:
    """A state that spaces requests evenly, and when its first even request may be sent."""
    refusal = read_evidence(429, {}, total_permitted=limit)
    state, now = None, 0.0
    for number, answer in enumerate((ANSWER, refusal, ANSWER), 1):
        want = look(number=number, limit=None, state=state, width=1, wants=(Want("", 1, 1),))
        got = exchange(state, now, want)
        ((lease, _),) = got.seen.permits
        state, now = got.state, now + 0.1
        asked = look(
            number=number, received=number, limit=None, state=state, reports=(Report(lease, answer),)
        )
        exchange(state, now, asked)
        if answer is refusal:
            now += 2.0
    assert state is not None
    assert state.window.pace(now) == limit
    return state, now


def test_late_looks_do_not_slow_an_even_pace() -> None:
    """Each look comes 15 ms after the time that the store has named."""
    state, now = paced(1000)
    begin, sent = now, 0
    reports: tuple[Report, ...] = ()
    while now < begin + 30.0:
        looked = exchange(
            state,
            now,
            look(number=9, received=9, state=state, wants=(Want("", 1, 50),), reports=reports),
        )
        sent += len(looked.seen.permits)
        reports = tuple(Report(lease, ANSWER) for lease in leases(looked))
        assert len(reports) <= 1
        assert looked.seen.wait is not None
        now = max(now + 0.001, looked.seen.wait.until + 0.015)
    assert 495 <= sent <= 502


def test_a_long_pause_of_all_processes_saves_up_no_burst() -> None:
    state, now = paced(1000)
    wants = (Want("", 1, 50),)
    first = exchange(state, now, look(number=8, received=8, state=state, wants=wants))
    later = exchange(state, now + 10.0, look(number=9, received=9, state=state, wants=wants))
    assert len(leases(first)) == len(leases(later)) == 1
