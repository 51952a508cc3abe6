"""What `budget` shows of a shared state: the truth of the moment, without changing the state."""

from __future__ import annotations

import asyncio

import pytest

from katapult_async.budget import SharedGate
from katapult_async.budget.exchange import copy_of, exchange
from katapult_async.budget.state import Look, Report, State, Want
from katapult_async.budget.store import write_state
from katapult_async.budget.view import MemberView, view_of
from katapult_async.ratelimit import Evidence
from tests.shared_store import MemoryStore, Shared

#: A second that begins a minute.
MINUTE = 1_800_000_000.0


def look(
    state: State,
    now: float,
    owner: str,
    *,
    count: int = 0,
    width: int = 0,
    run: str | None = None,
    reports: tuple[Report, ...] = (),
) -> list[int]:
    """One process looks. Returns the leases that it got."""
    said = Look(
        owner=owner,
        name=f"process 1{owner} on box",
        run=run,
        period=60.0,
        timeout=30.0,
        state=state.name,
        wants=(Want("", 1, count),),
        reports=reports,
        width=width,
    )
    return [number for number, _ in exchange(state, now, said).seen.permits]


def aligned_state() -> State:
    """Two processes on a limit of 10, twenty seconds into a minute.

    Process a has one response and one request in flight.
    """
    state = State.start(60.0, None)
    (first,) = look(state, 20.0, "a", count=1, run="run-1", width=1)
    answer = Evidence(permitted=10, remaining=9, date=MINUTE + 20)
    look(state, 20.1, "a", reports=(Report(first, answer),), count=1, run="run-1", width=1)
    look(state, 20.2, "b", count=30, width=30)
    return state


def test_who_is_on_the_token_and_what_is_left() -> None:
    state = aligned_state()
    before = write_state(state)
    view = view_of(copy_of(state), 21.0)
    assert write_state(state) == before
    assert (view.limit, view.period, view.limiter) == (10, 60.0, "windows of the server's clock")
    one, two = view.members
    assert isinstance(one, MemberView)
    assert (one.name, one.run, one.sent, one.sent_in_window, one.in_flight) == (
        "process 1a on box",
        "run-1",
        2,
        1,  # since the window was first seen: not the request whose answer showed it
        1,
    )
    assert view.remaining is not None
    assert view.used == 10 - view.remaining > 2
    assert (two.run, two.sent + two.waiting) == (None, 30)
    assert view.in_flight == one.in_flight + two.in_flight
    assert view.waiting == two.waiting > 0
    assert view.next_window_in is not None
    assert 38.0 <= view.next_window_in <= 41.0
    assert one.seen_ago == pytest.approx(0.9)


def test_a_window_that_is_over_is_not_shown_as_used() -> None:
    view = view_of(aligned_state(), 70.0)
    assert (view.used, view.remaining, view.next_window_in) == (0, 10, None)
    assert [member.sent_in_window for member in view.members] == [0, 0]


def test_a_process_that_is_gone_waits_for_nothing_and_disappears() -> None:
    state = aligned_state()
    waiting = [member.waiting for member in view_of(state, 26.0).members]
    assert waiting == [0, 0]  # neither has looked for five seconds
    assert len(view_of(state, 79.0).members) == 2
    assert view_of(state, 100.0).members == ()


def test_a_server_without_windows_counts_the_last_period() -> None:
    state = State.start(60.0, 5)
    leases = look(state, 0.0, "a", count=1, width=1)
    look(state, 0.1, "a", reports=tuple(Report(lease, Evidence()) for lease in leases), width=1)
    look(state, 0.2, "a", count=2, width=2)
    view = view_of(state, 1.0)
    assert (view.used, view.in_flight, view.remaining, view.next_window_in) == (3, 2, None, None)
    assert view.members[0].sent_in_window is None


async def test_a_process_knows_its_own_requests_in_flight() -> None:
    """After Ctrl-C the command line says how many responses it waits for.

    The responses of other processes do not count.
    """
    shared = Shared()
    gates = [SharedGate(MemoryStore(shared), period=60.0, limit=100, timeout=30.0) for _ in range(2)]
    one, two = gates
    first = await one.take()
    one.answered(first, Evidence())
    permits = await asyncio.gather(*(one.take() for _ in range(3)))
    other = await two.take()
    assert two.window.in_flight > 1
    assert (one.in_flight, two.in_flight) == (3, 1)
    two.unused(other)
    for permit in permits:
        one.unused(permit)
    assert (one.in_flight, two.in_flight) == (0, 0)
    for gate in gates:
        await gate.aclose()
