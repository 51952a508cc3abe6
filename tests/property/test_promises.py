"""The promises about the rate limit, against model servers in virtual time.

The servers are the emulator's limiters with a random latency. The client's gate and window are the
real ones. docs/explanation/rate-limits.md (Promises, and where they hold) states the promises.
"""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from katapult_async.ratelimit import Gate, Window
from katapult_async.testing import make_limiter
from tests import virtual_time
from tests.model_server import Job, ModelServer, run_job, window_for

KINDS = ["aligned", "fixed", "sliding", "bucket", "burst"]
PERIOD = 60.0
MIDNIGHT = 6_000_000.0

limits = st.sampled_from([60, 100, 250])
latencies = st.tuples(st.sampled_from([0.0005, 0.005, 0.02, 0.1]), st.sampled_from([1.0, 2.0, 4.0])).map(
    lambda pair: (pair[0], pair[0] * pair[1])
)
starts = st.floats(0, PERIOD, exclude_max=True, allow_nan=False)
offsets = st.floats(-5, 5, allow_nan=False)
seeds = st.integers(0, 2**16)


def serve(kind: str, limit: int, **options: object) -> ModelServer:
    burst = max(5, limit // 20) if kind == "burst" else None
    limiter = make_limiter(kind, limit, PERIOD, burst=burst)
    return ModelServer(limiter, **options)  # type: ignore[arg-type]


def optimum(kind: str, n: int, limit: int, server_start: float) -> float:
    """Seconds that a client with perfect knowledge needs, without bursts and round trips."""
    windows = math.ceil(n / limit) - 1
    if kind == "aligned":
        return PERIOD - server_start % PERIOD + (windows - 1) * PERIOD if windows else 0.0
    if kind in {"fixed", "sliding"}:
        return windows * PERIOD
    capacity = limit if kind == "bucket" else max(5, limit // 20)
    return max(0, n - capacity) * PERIOD / limit


def job(server: ModelServer, n: int, *, start: float, limit: int | None = None, concurrency: int = 32) -> Job:
    return virtual_time.run(run_job(server, n, limit=limit, concurrency=concurrency), start=MIDNIGHT + start)


def looks_aligned(kind: str, server_start: float) -> bool:
    """Return whether a limiter looks aligned until its second minute.

    A sliding window or a small bucket does so if the run starts close to a boundary.
    """
    into = server_start % PERIOD
    return (kind == "sliding" and into < 5) or (kind in {"sliding", "burst"} and into > PERIOD - 5)


def time_to_send(server: ModelServer, n: int, concurrency: int) -> float:
    """The longest time that n requests can take without any limit."""
    return (n / concurrency + 6) * 2 * server.latency[1]


@settings(max_examples=20)
@given(limits, latencies, starts, offsets, seeds, st.sampled_from([1, 8, 32, 64]), st.floats(0.1, 4.5))
def test_alone_with_headers_an_aligned_window_never_refuses(
    limit: int,
    latency: tuple[float, float],
    start: float,
    offset: float,
    seed: int,
    concurrency: int,
    windows: float,
) -> None:
    server = serve("aligned", limit, latency=latency, offset=offset, seed=seed)
    n = max(1, int(windows * limit))
    done = job(server, n, start=start, concurrency=concurrency)
    assert server.refusals == 0
    assert done.done == n == server.arrivals


@settings(max_examples=25)
@given(limits, latencies, starts, seeds, st.floats(0, 1, exclude_max=True), st.sampled_from([1, 32]))
def test_usage_of_an_earlier_process_costs_no_429(
    limit: int, latency: tuple[float, float], start: float, seed: int, used: float, concurrency: int
) -> None:
    """A run resumed after a crash starts in a window that it has used itself."""
    server = serve("aligned", limit, latency=latency, seed=seed)
    for number in range(int(used * limit) if used < 0.9 else limit - 1 - seed % 3):
        server.limiter.hit(MIDNIGHT + start * number / limit)
    done = job(server, 3 * limit, start=start, concurrency=concurrency)
    assert done.done == 3 * limit
    assert server.refusals == 0


@settings(max_examples=15)
@given(st.sampled_from(KINDS), limits, latencies, starts, offsets, seeds)
def test_alone_with_headers_no_limiter_refuses_more_than_twice(
    kind: str, limit: int, latency: tuple[float, float], start: float, offset: float, seed: int
) -> None:
    assume(not looks_aligned(kind, start + offset))
    # Fixed and sliding windows look aligned before the first boundary. That costs one 429, or two
    # if round trips are long.
    server = serve(kind, limit, latency=latency, offset=offset, seed=seed)
    job(server, 4 * limit, start=start)
    assert server.refusals <= (2 if kind in {"fixed", "sliding"} else 0)


@settings(max_examples=15)
@given(
    st.sampled_from(["aligned", "fixed", "sliding", "bucket"]),
    limits,
    latencies,
    starts,
    seeds,
)
def test_with_a_given_limit_and_no_headers_no_limiter_refuses(
    kind: str, limit: int, latency: tuple[float, float], start: float, seed: int
) -> None:
    server = serve(kind, limit, headers=False, latency=latency, seed=seed)
    done = job(server, 4 * limit, start=start, limit=limit)
    assert server.refusals == 0
    assert done.done == 4 * limit


@settings(max_examples=15)
@given(st.sampled_from(KINDS), limits, latencies, starts, offsets, seeds, st.sampled_from([8, 32, 64]))
def test_with_nothing_known_429s_are_bounded_by_the_concurrency(
    kind: str,
    limit: int,
    latency: tuple[float, float],
    start: float,
    offset: float,
    seed: int,
    concurrency: int,
) -> None:
    server = serve(kind, limit, headers=False, latency=latency, offset=offset, seed=seed)
    job(server, 6 * limit, start=start, concurrency=concurrency)
    learnt = [at for at in server.refused_at if at <= server.refused_at[0] + 4 * latency[1] + 0.1]
    assert len(learnt) <= concurrency
    later = server.refusals - len(learnt)
    # At most six a blocked minute. On a small bucket at most 1 % of all requests, and six.
    assert later <= 6 if kind != "burst" else later <= 0.01 * 6 * limit + 6


@settings(max_examples=12)
@given(st.sampled_from(KINDS), st.booleans(), limits, latencies, starts, offsets, seeds)
def test_twenty_windows_are_done_within_two_percent_of_the_optimum(
    kind: str,
    headers: bool,
    limit: int,
    latency: tuple[float, float],
    start: float,
    offset: float,
    seed: int,
) -> None:
    server = serve(kind, limit, headers=headers, latency=latency, offset=offset, seed=seed)
    burst = time_to_send(server, limit, 32)
    left = PERIOD - (start + offset) % PERIOD
    # Requests that cannot be sent before the first boundary are missing for the rest of an aligned
    # run. That depends on the start, not on the policy.
    assume(kind != "aligned" or left > burst + 1)
    assume(not looks_aligned(kind, start + offset))
    n = 20 * limit
    done = job(server, n, start=start)
    best = optimum(kind, n, limit, MIDNIGHT + start + offset)
    allowed = 1.02 * best + burst
    if kind == "aligned" and not headers:
        allowed += PERIOD
    assert done.elapsed <= allowed


@pytest.mark.parametrize("kind", ["fixed", "sliding", "bucket"])
@pytest.mark.parametrize("limit", [60, 250])
def test_one_429_does_not_delay_all_later_windows(kind: str, limit: int) -> None:
    server = serve(kind, limit, latency=(0.02, 0.08), seed=7)
    done = job(server, 20 * limit, start=7.3)
    best = optimum(kind, 20 * limit, limit, MIDNIGHT + 7.3)
    assert done.elapsed <= 1.02 * best + time_to_send(server, limit, 32)


@pytest.mark.parametrize("left", [5.0, 30.0, 59.5])
def test_a_short_job_with_headers_ends_right_after_the_boundary(left: float) -> None:
    server = serve("aligned", 250, latency=(0.02, 0.05))
    done = job(server, 375, start=PERIOD - left)
    assert server.refusals == 0
    assert done.elapsed <= left + time_to_send(server, 125, 32) + 0.2


@pytest.mark.slow
@settings(max_examples=4)
@given(st.integers(0, 2**16), st.sampled_from([250, 400]), st.floats(0, 30), starts)
def test_two_processes_with_headers_share_a_token_fairly(
    seed: int, limit: int, stagger: float, start: float
) -> None:
    used, fairness, refused = share(headers=True, limit=limit, seed=seed, stagger=stagger, start=start)
    assert used >= 0.95
    assert fairness >= 0.9
    assert refused <= 0.05


@pytest.mark.slow
@settings(max_examples=3)
@given(st.integers(0, 2**16), st.floats(0, 3), starts)
def test_two_processes_without_headers_use_most_of_the_limit(seed: int, stagger: float, start: float) -> None:
    used, fairness, refused = share(headers=False, limit=400, seed=seed, stagger=stagger, start=start)
    assert used >= 0.8
    assert fairness >= 0.9
    assert refused <= 0.05


def share(
    *, headers: bool, limit: int, seed: int, stagger: float, start: float, windows: int = 20
) -> tuple[float, float, float]:
    """Run two jobs without a shared budget. Return limit used, fairness and 429s (parts of 1)."""
    limiter = make_limiter("aligned", limit, PERIOD)
    servers = [ModelServer(limiter, headers=headers, seed=seed + number) for number in (0, 1)]
    first_boundary = MIDNIGHT + PERIOD
    deadline = first_boundary + windows * PERIOD

    async def one(number: int) -> None:
        await asyncio.sleep(number * stagger)
        await run_job(servers[number], 10**9, deadline=deadline)

    async def both() -> None:
        await asyncio.gather(one(0), one(1))

    virtual_time.run(both(), start=MIDNIGHT + start)
    # The jobs need a few windows to notice each other. Then they share.
    begin = first_boundary + 4 * PERIOD
    counts = [sum(begin <= at < deadline for at in server.admitted) for server in servers]
    used = sum(counts) / (limit * (windows - 4))
    fairness = sum(counts) ** 2 / (2 * sum(count**2 for count in counts))
    refused = sum(server.refusals for server in servers) / sum(server.arrivals for server in servers)
    return used, fairness, refused


@pytest.mark.parametrize("kind", ["bucket", "burst", "fixed", "sliding"])
@pytest.mark.parametrize("seed", range(4))
def test_two_processes_finish_on_any_kind_of_limiter(kind: str, seed: int) -> None:
    """A process that finds the limit used up must not wait for a response that never comes."""
    limiter = make_limiter(kind, 200, PERIOD, burst=10)
    servers = [ModelServer(limiter, seed=seed + number) for number in (0, 1)]

    async def second() -> Job:
        await asyncio.sleep(2.7)  # the first one has used the limit up
        return await run_job(servers[1], 2000)

    async def both() -> tuple[Job, Job]:
        return await asyncio.gather(run_job(servers[0], 2000), second())

    jobs = virtual_time.run(both(), start=MIDNIGHT + 7.3)
    assert [job.done for job in jobs] == [2000, 2000]
    assert max(job.elapsed for job in jobs) <= 1.5 * 4000 / 200 * PERIOD


@settings(max_examples=12)
@given(
    st.lists(st.tuples(st.floats(1, 60), st.sampled_from([20, 60, 150, 400])), min_size=1, max_size=4),
    st.sampled_from(["aligned", "sliding", "fixed"]),
    st.booleans(),
    starts,
    seeds,
)
def test_a_changed_limit_counts_from_that_moment(
    changes: list[tuple[float, int]], kind: str, headers: bool, start: float, seed: int
) -> None:
    server = serve(kind, 100, headers=headers, seed=seed)

    async def change() -> None:
        for pause, limit in changes:
            await asyncio.sleep(pause)
            server.limiter.limit = limit

    async def both() -> Job:
        done, _ = await asyncio.gather(run_job(server, 800, concurrency=16), change())
        return done

    done = virtual_time.run(both(), start=MIDNIGHT + start)
    assert done.done == 800
    # Each change can refuse all requests in flight, and costs a handful of probes a minute.
    minutes = done.elapsed / PERIOD + 1
    assert server.refusals <= 16 * (len(changes) + 1) + 6 * minutes


@settings(max_examples=20)
@given(st.lists(st.floats(0.05, 20), max_size=30), st.sampled_from([1, 5, 40]), starts, seeds)
def test_another_client_on_the_token_never_stops_the_run(
    pauses: list[float], burst: int, start: float, seed: int
) -> None:
    server = serve("aligned", 100, seed=seed)

    async def others() -> None:
        for pause in pauses:
            await asyncio.sleep(pause)
            for _ in range(burst):
                server.count()

    async def both() -> Job:
        done, _ = await asyncio.gather(run_job(server, 300, concurrency=8), others())
        return done

    done = virtual_time.run(both(), start=MIDNIGHT + start)
    assert done.done == 300
    assert done.elapsed <= 60 * (300 + burst * len(pauses)) / 100 + 4 * 60
    # Each foreign burst can refuse all requests in flight, and one entry.
    assert server.refusals <= 8 * (len(pauses) + 1)


@pytest.mark.parametrize("details", [None, "many", -5, 0, True, 10**9, 12.5, [], {}])
def test_an_implausible_limit_in_a_429_closes_the_gate_only(details: object) -> None:
    server = serve("aligned", 50, headers=False, details=details)
    window = window_for(server)
    gate = Gate(window)
    done = virtual_time.run(run_job(server, 200, gate=gate, concurrency=16), start=MIDNIGHT)
    assert window.limit is None
    assert done.done == 200
    assert server.refusals <= 16 + 12 * (done.elapsed / PERIOD + 1)


@settings(max_examples=12)
@given(st.sampled_from(KINDS), st.booleans(), seeds, st.floats(0.0, 0.3))
def test_requests_without_a_response_are_counted(kind: str, headers: bool, seed: int, losses: float) -> None:
    """Up to 30 % of the responses never arrive. The limit is kept, and all requests complete."""
    limit = 60
    server = serve(kind, limit, headers=headers, seed=seed)
    gate = Gate(Window.start(period=PERIOD, limit=None if headers else limit))

    async def work() -> None:
        left = 150

        async def worker() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                permit = await gate.take()
                if server.rng.random() < losses:
                    await asyncio.sleep(server.rng.uniform(*server.latency))
                    server.limiter.hit(server.now())
                    gate.lost(permit)
                else:
                    await server.request(gate, permit)

        await asyncio.gather(*(worker() for _ in range(8)))

    virtual_time.run(work(), start=MIDNIGHT + 7)
    assert gate.window.in_flight == 0
    assert server.refusals <= (0 if not headers and kind != "burst" else 12)
