"""The promises of a shared budget: several processes in virtual time, and a failing store."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from katapult_async.budget import SharedGate
from katapult_async.ratelimit import Ceiling, Gate, Priority, read_evidence
from katapult_async.testing.limiters import make_limiter
from katapult_async.transport.waits import Waits
from tests import virtual_time
from tests.model_server import Job, ModelServer, run_job
from tests.shared_store import MemoryStore, Shared, jain

pytestmark = pytest.mark.slow

PERIOD = 60.0
CONCURRENCY = 32


@dataclass
class Played:
    server: ModelServer
    shared: Shared
    jobs: list[Job]
    started: float

    @property
    def elapsed(self) -> float:
        return max(job.finished for job in self.jobs) - self.started

    @property
    def by_window(self) -> list[int]:
        """Permitted requests in each window of the server's clock."""
        counts = Counter(int(at // PERIOD) for at in self.server.admitted)
        return [counts[number] for number in range(min(counts), max(counts) + 1)]


def play(
    processes: int,
    windows: float,
    *,
    limit: int = 100,
    kind: str = "aligned",
    headers: bool = True,
    start: float = 30.0,
    shared: Shared | None = None,
    deadline: float = float("inf"),
) -> Played:
    server = ModelServer(make_limiter(kind, limit, PERIOD), headers=headers)
    shared = shared or Shared()

    async def main() -> list[Job]:
        gates = [
            SharedGate(MemoryStore(shared), period=PERIOD, limit=None, timeout=10.0) for _ in range(processes)
        ]
        n = int(windows * limit / processes)
        jobs = await asyncio.gather(
            *(
                run_job(server, n, gate=cast("Gate", gate), concurrency=CONCURRENCY, deadline=deadline)
                for gate in gates
            )
        )
        for gate in gates:
            await gate.aclose()
            assert gate.waiting == 0
        return jobs

    return Played(server, shared, virtual_time.run(main(), start=start), start)


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_aligned_windows_are_used_whole_without_a_429(processes: int) -> None:
    played = play(processes, 12)
    assert played.server.refusals == 0
    assert min(played.by_window[:-1]) >= 98
    assert played.elapsed <= 30 + 10 * PERIOD + 2


def test_shares_are_even_while_all_have_work() -> None:
    played = play(8, 20, deadline=30 + 5 * PERIOD)
    assert jain([job.done for job in played.jobs]) >= 0.95


@pytest.mark.parametrize("kind", ["aligned", "fixed", "sliding", "bucket", "burst"])
@pytest.mark.parametrize("headers", [True, False])
def test_processes_together_get_as_few_429s_as_one_process(kind: str, headers: bool) -> None:
    """With and without headers, on each kind of limiter."""
    played = play(4, 5, kind=kind, headers=headers)
    alone = play(1, 5, kind=kind, headers=headers)
    assert played.server.refusals <= (1 if headers else CONCURRENCY)
    assert played.elapsed <= 1.03 * alone.elapsed + 1


@pytest.mark.parametrize("outages", [((100.0, 130.0),), ((119.9, 121.0),), ((100.0, 130.0), (300.0, 330.0))])
@pytest.mark.parametrize("forgets", [False, True])
def test_an_unavailable_store_costs_no_item_and_few_429s(
    outages: tuple[tuple[float, float], ...], forgets: bool
) -> None:
    """The store is away for up to 30 seconds, once or twice, and may come back empty."""
    shared = Shared(outages=outages, forgets_at=tuple(end for _, end in outages) if forgets else ())
    played = play(4, 8, shared=shared)
    assert all(job.done == 200 for job in played.jobs)
    assert played.server.refusals <= 0.02 * 800
    assert min(played.by_window[:-1]) >= 80
    assert shared.transactions > 100  # the processes share again


def test_processes_that_never_reach_the_store_work_without_it() -> None:
    """They do not know of each other. Once the store is reachable, they share."""
    played = play(4, 8, shared=Shared(outages=((0.0, 45.0),)))
    assert all(job.done == 200 for job in played.jobs)
    assert all(at < 60 for at in played.server.refused_at)


@settings(max_examples=8)
@given(
    processes=st.integers(1, 6),
    start=st.floats(0, PERIOD, exclude_max=True),
    delay=st.sampled_from([0.0, 0.001, 0.02, 0.5]),
    offset=st.sampled_from([0.0, 1.7e9, -5000.0]),
    share_lost=st.sampled_from([0.0, 0.3, 0.7]),
    seed=st.integers(0, 1000),
)
def test_slow_stores_lost_races_and_shifted_clocks_cost_no_429(
    processes: int, start: float, delay: float, offset: float, share_lost: float, seed: int
) -> None:
    """Transactions take up to half a second and lose up to 70 % of the races."""
    shared = Shared(delay=(delay / 2, delay), offset=offset, share_lost=share_lost, seed=seed)
    played = play(processes, 4, start=start, shared=shared)
    assert played.server.refusals == 0
    # Each way to the store takes half a second, so the response to the entry is known a second
    # later.
    assert played.elapsed <= 4 * PERIOD + 40 * delay + 5


def test_a_second_process_starts_with_the_shared_state() -> None:
    """It needs no solo request and loses no window."""
    server = ModelServer(make_limiter("fixed", 100, PERIOD), headers=False)
    shared = Shared()

    async def one(n: int) -> None:
        gate = SharedGate(MemoryStore(shared), period=PERIOD, limit=None, timeout=10.0)
        await run_job(server, n, gate=cast("Gate", gate), concurrency=CONCURRENCY)
        await gate.aclose()

    async def main() -> None:
        await one(150)
        before = server.refusals
        await asyncio.sleep(5)
        await one(250)
        assert server.refusals == before

    virtual_time.run(main(), start=30.0)


def test_requests_of_a_dead_process_count_as_sent() -> None:
    """No 429 follows, and the others continue."""
    server = ModelServer(make_limiter("aligned", 100, PERIOD))
    shared = Shared()

    async def main() -> None:
        gates = [SharedGate(MemoryStore(shared), period=PERIOD, limit=None, timeout=10.0) for _ in range(3)]
        jobs = [
            asyncio.create_task(run_job(server, 200, gate=cast("Gate", gate), concurrency=CONCURRENCY))
            for gate in gates
        ]
        await asyncio.sleep(0.15)
        # The process reports nothing further to the store, as after a kill.
        gates[0]._store = cast("MemoryStore", Dead())  # pyright: ignore[reportPrivateUsage]
        jobs[0].cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        assert server.refusals == 0
        assert [job.result().done for job in jobs[1:]] == [200, 200]
        for gate in gates:
            await gate.aclose()

    virtual_time.run(main(), start=30.0)


@pytest.mark.parametrize("delay", [0.0, 0.002])
def test_a_ceiling_does_not_make_each_request_wait_for_a_look(delay: float) -> None:
    """The ceiling lets one request at a time wait for a permit."""
    shared = Shared(delay=(delay, delay))
    evidence = read_evidence(200, {"X-Ratelimit-Permitted": "1000000", "X-Ratelimit-Remaining": "999999"})

    async def main() -> None:
        gate = SharedGate(MemoryStore(shared), period=PERIOD, limit=1_000_000, timeout=10.0)
        waits = Waits(gate, Ceiling(1000))
        left = 3000

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                permit = await waits.permit("get", Priority.NORMAL, None, None)
                await asyncio.sleep(0.005)
                gate.answered(permit, evidence)

        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        assert loop.time() - began < 3.3
        assert shared.transactions < 3000 / 3
        await gate.aclose()

    virtual_time.run(main(), start=30.0)


class Dead:
    """The store of a process that was killed."""

    async def exchange(self, _look: object) -> object:
        await asyncio.sleep(1e6)
        raise AssertionError

    async def changed(self) -> None:
        await asyncio.sleep(1e6)

    async def aclose(self) -> None:
        return
