"""The caller's own limit of requests per second, in front of a gate and in virtual time."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from katapult_async.ratelimit import Ceiling, Evidence, Gate, Permit, Priority, Window
from tests import virtual_time


class Caller:
    """One client with its own ceiling and its token's gate. It logs the requests that passed."""

    def __init__(self, gate: Gate, per_second: float) -> None:
        self.gate = gate
        self.ceiling = Ceiling(per_second)
        self.times: list[float] = []
        self.names: list[str] = []

    async def request(self, name: str = "", priority: Priority = Priority.NORMAL, kind: str = "") -> Permit:
        permit = await self.ceiling.take(
            lambda: self.gate.take_nowait(kind), lambda: self.gate.take(priority, kind), priority
        )
        self.times.append(asyncio.get_running_loop().time())
        self.names.append(name)
        return permit

    async def answered(self, name: str = "", priority: Priority = Priority.NORMAL) -> None:
        self.gate.answered(await self.request(name, priority), Evidence())


def test_requests_leave_at_an_even_pace() -> None:
    async def main() -> list[float]:
        caller = Caller(Gate(Window.start()), 4)
        for _ in range(5):
            await caller.answered()
        return caller.times

    times = virtual_time.run(main())
    assert [round(later - earlier, 2) for earlier, later in itertools.pairwise(times)] == [0.25] * 4


@pytest.mark.parametrize("per_second", [0.5, 7, 99, 100, 450, 5000])
def test_the_rate_is_reached_and_not_exceeded(per_second: float) -> None:
    requests = 400

    async def main() -> list[float]:
        caller = Caller(Gate(Window.start()), per_second)
        await caller.answered()
        await asyncio.gather(*(caller.answered() for _ in range(requests)))
        return caller.times

    times = virtual_time.run(main())
    took = times[-1] - times[0]
    assert took == pytest.approx(requests / per_second, rel=0.01, abs=0.03)
    for start, time in enumerate(times):
        within = sum(time <= other < time + 1 for other in times[start:])
        assert within <= 1.03 * per_second + 1


def test_no_burst_follows_a_long_wait_for_the_window() -> None:
    async def main() -> list[float]:
        gate = Gate(Window.start(limit=5, period=60))
        caller = Caller(gate, 10)
        await asyncio.gather(*(caller.answered() for _ in range(10)))
        return caller.times

    times = virtual_time.run(main())
    assert times[5] >= 60
    assert [round(later - earlier, 1) for earlier, later in itertools.pairwise(times[5:])] == [0.1] * 4


def test_one_clients_ceiling_does_not_delay_another_client() -> None:
    async def main() -> None:
        gate = Gate(Window.start())
        slow, fast = Caller(gate, 0.1), Caller(gate, 1000)
        await slow.answered()
        waiting = [asyncio.create_task(slow.answered()) for _ in range(2)]
        await asyncio.sleep(0.01)
        for _ in range(100):
            await fast.answered()
            gate.answered(await gate.take(), Evidence())
        assert asyncio.get_running_loop().time() < 1
        await asyncio.gather(*waiting)
        assert [round(time) for time in slow.times] == [0, 10, 20]

    virtual_time.run(main())


def test_refused_requests_go_first_and_polling_goes_last() -> None:
    async def main() -> list[str]:
        caller = Caller(Gate(Window.start()), 10)
        await caller.answered()
        order = [("low", Priority.LOW), ("one", Priority.NORMAL), ("two", Priority.NORMAL)]
        tasks = [asyncio.create_task(caller.answered(*request)) for request in order]
        await asyncio.sleep(0.05)
        tasks.append(asyncio.create_task(caller.answered("again", Priority.AGAIN)))
        await asyncio.gather(*tasks)
        assert caller.ceiling.waiting == 0
        return caller.names[1:]

    assert virtual_time.run(main()) == ["again", "one", "two", "low"]


def test_polling_that_waits_at_the_gate_yields_to_other_requests() -> None:
    """Otherwise other clients' requests would pass the work behind the polling."""

    async def main() -> list[str]:
        gate = Gate(Window.start(limit=1, period=60))
        caller = Caller(gate, 10)
        await caller.answered("first")
        polling = asyncio.create_task(caller.answered("polling", Priority.LOW))
        await asyncio.sleep(1)
        assert gate.waiting == 1
        work = asyncio.create_task(caller.answered("work"))
        await asyncio.gather(polling, work)
        assert [round(time) for time in caller.times] == [0, 60, 120]
        return caller.names

    assert virtual_time.run(main()) == ["first", "work", "polling"]


@pytest.mark.parametrize("cancelled", [0, 1, 2])
@pytest.mark.parametrize("at_the_gate", [False, True])
def test_cancelling_a_waiting_request_leaves_no_trace(cancelled: int, at_the_gate: bool) -> None:
    async def main() -> None:
        gate = Gate(Window.start(limit=1, period=60) if at_the_gate else Window.start())
        caller = Caller(gate, 0.1)
        await caller.answered("first")
        tasks = [asyncio.create_task(caller.answered(str(number))) for number in range(3)]
        await asyncio.sleep(11 if at_the_gate else 1)
        assert caller.ceiling.waiting == 3
        assert gate.waiting == at_the_gate
        tasks.pop(cancelled).cancel()
        await asyncio.gather(*tasks)
        assert caller.names == ["first", *(str(number) for number in range(3) if number != cancelled)]
        assert [round(time / (60 if at_the_gate else 10)) for time in caller.times] == [0, 1, 2]
        assert caller.ceiling.waiting == gate.waiting == gate.window.in_flight == 0
        assert repr(caller.ceiling) == "<Ceiling 0.1 per second, waiting=0>"

    virtual_time.run(main())


def test_the_ceiling_holds_for_all_types_of_requests_together() -> None:
    def reading(remaining: int, *, refused: bool = False) -> Evidence:
        return Evidence(permitted=100, remaining=remaining, date=100, refused=refused)

    async def main() -> None:
        gate = Gate(Window.start())
        caller = Caller(gate, 2)
        gate.answered(await caller.request(kind="POST /assign"), reading(50))
        gate.answered(await caller.request(kind="GET /disk"), reading(90))
        gate.answered(await caller.request(kind="POST /assign"), reading(0, refused=True))
        await asyncio.sleep(60)
        began = asyncio.get_running_loop().time()
        for number in range(10):
            kind = "POST /assign" if number % 2 else "GET /disk"
            gate.answered(await caller.request(kind=kind), reading(80 - number))
        assert asyncio.get_running_loop().time() - began >= 4

    virtual_time.run(main(), start=100.2)


@pytest.mark.parametrize("per_second", [0, -1, float("inf"), float("nan")])
def test_a_ceiling_is_positive_and_finite(per_second: float) -> None:
    with pytest.raises(ValueError, match="max_per_second must be positive and finite"):
        Ceiling(per_second)


@pytest.mark.parametrize("per_second", ["10", None, True])
def test_a_ceiling_is_a_number(per_second: float) -> None:
    with pytest.raises(TypeError, match="max_per_second must be a number"):
        Ceiling(per_second)
