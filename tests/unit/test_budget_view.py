"""What `budget` shows of a shared state: the truth of the moment, without changing the state."""

from __future__ import annotations

import asyncio
import random
from typing import cast

import pytest

from katapult_async.budget import SharedGate
from katapult_async.budget.exchange import copy_of, exchange
from katapult_async.budget.state import Look, Report, State, Want
from katapult_async.budget.store import write_state
from katapult_async.budget.view import MemberView, view_of
from katapult_async.ratelimit import Evidence, Gate, Permit, read_evidence
from katapult_async.testing.limiters import make_limiter
from tests import virtual_time
from tests.model_server import ModelServer
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
    spare: int = 0,
    unused: int = 0,
    number: int = 0,
    received: int = 0,
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
        spare=(spare, ""),
        unused=unused,
        number=number,
        received=received,
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


def test_permits_that_come_back_were_not_sent() -> None:
    """A process takes two permits in advance. A request uses one of them."""
    state = State.start(60.0, None)
    (lease,) = look(state, 20.0, "a", count=1, width=1)
    answer = Evidence(permitted=10, remaining=9, date=MINUTE + 20)
    look(state, 20.1, "a", reports=(Report(lease, answer),))
    (first, second) = look(state, 21.0, "a", spare=2)
    (member,) = view_of(state, 21.0).members
    assert (member.in_flight, member.sent, member.sent_in_window) == (0, 1, 0)
    look(state, 21.1, "a", unused=1)
    (member,) = view_of(state, 21.1).members
    assert (member.in_flight, member.sent, member.sent_in_window) == (1, 2, 1)
    look(state, 21.2, "a", reports=(Report(first, Evidence()), Report(second, left=False)))
    (member,) = view_of(state, 21.2).members
    assert (member.in_flight, member.sent, member.sent_in_window) == (0, 2, 1)


def test_permits_of_a_lost_look_count_once() -> None:
    state = State.start(60.0, 10)
    (first,) = look(state, 0.0, "a", count=1, number=1)
    look(state, 0.1, "a", reports=(Report(first, Evidence()),), number=2, received=1)
    lost = look(state, 0.2, "a", count=2, number=3, received=2)
    assert look(state, 0.3, "a", count=2, number=4, received=2) == lost
    assert view_of(state, 0.3).members[0].sent == 3


def test_the_view_counts_what_was_sent() -> None:
    """Two busy processes on a high limit, which take permits in advance, through three windows."""
    server = ModelServer(make_limiter("aligned", 4000, 20.0))
    shared = Shared(delay=(0.0, 0.002))
    sent, in_flight = [0, 0], [0, 0]

    async def work(process: int, gate: SharedGate, rng: random.Random) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < 50.0:
            permit = gate.take_nowait() or await gate.take()
            sent[process] += 1
            in_flight[process] += 1
            verdict, headers = await server.exchange()
            gate.answered(permit, read_evidence(200 if verdict.allowed else 429, headers))
            in_flight[process] -= 1
            await asyncio.sleep(rng.choice([0.0, 0.0, 0.3]))

    async def watch(store: MemoryStore) -> int:
        views = 0
        while asyncio.get_running_loop().time() < 49.0:
            await asyncio.sleep(0.1)
            state, now = await store.read()
            assert state is not None
            view = view_of(state, now)
            views += any(member.spare for member in state.members.values())
            for member, total, busy in zip(view.members, sent, in_flight, strict=False):
                assert member.sent <= total + 32  # permits that are on their way to the process
                assert member.in_flight <= 32
                assert busy - 32 <= member.in_flight
            windows = [member.sent_in_window for member in view.members]
            if view.remaining is not None and None not in windows:
                assert sum(number or 0 for number in windows) <= view.used
        return views

    async def main() -> None:
        gates = [SharedGate(MemoryStore(shared), period=20.0, limit=None, timeout=10.0) for _ in range(2)]
        watching = asyncio.ensure_future(watch(MemoryStore(shared)))
        rng = random.Random(1)
        await asyncio.gather(*(work(k, gate, rng) for k, gate in enumerate(gates) for _ in range(16)))
        assert await watching > 10
        await asyncio.sleep(1.0)  # unused permits go back
        state, now = await MemoryStore(shared).read()
        assert state is not None
        view = view_of(state, now)
        assert [(member.sent, member.in_flight) for member in view.members] == [(n, 0) for n in sent]
        for gate in gates:
            await gate.aclose()

    virtual_time.run(main(), start=5.0)


def test_a_request_on_a_permit_taken_in_advance_is_shown_before_it_ends() -> None:
    async def main() -> None:
        shared = Shared()
        gate = SharedGate(MemoryStore(shared), period=60.0, limit=10_000, timeout=30.0)
        server = ModelServer(make_limiter("aligned", 10_000, 60.0))
        await server.request(cast("Gate", gate), await gate.take())
        for _ in range(20):
            await server.request(cast("Gate", gate), gate.take_nowait() or await gate.take())
        permits: list[Permit] = []
        while (permit := gate.take_nowait()) is not None:
            permits.append(permit)
        assert permits
        assert gate.in_flight == len(permits)
        await asyncio.sleep(1.0)
        state, now = await MemoryStore(shared).read()
        assert state is not None
        assert view_of(state, now).in_flight == len(permits)
        for permit in permits:
            gate.lost(permit)
        await gate.aclose()

    virtual_time.run(main(), start=5.0)
