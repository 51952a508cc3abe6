"""When the server is wrong: the cost is bounded, and ends soon after the error ends.

The limiter counts correctly. Dates, headers and details of its responses lie. Virtual time, real
gate. docs/explanation/rate-limits.md says what the client does about each lie.
"""

from __future__ import annotations

import asyncio
import math
import os
from dataclasses import dataclass

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given, settings
from hypothesis import strategies as st

from katapult_async.ratelimit import Evidence, Gate, Permit, Window, read_evidence
from katapult_async.ratelimit.belief import Belief
from katapult_async.ratelimit.permit import Role
from katapult_async.testing import make_limiter
from tests import virtual_time
from tests.lying_server import Lie, LyingServer, most_in_a_period, refused_probes
from tests.model_server import Job, ModelServer, run_job

PERIOD = 60.0
MIDNIGHT = 6_000_000.0
EXAMPLES = int(os.environ.get("KATAPULT_LIES", "100"))
KINDS = ("aligned", "fixed", "sliding", "bucket", "burst")


@dataclass(frozen=True)
class Scenario:
    """One drawn run.

    Args:
        windows: Number of requests, in windows.
        foreign: Requests of other clients a second, while the lies last.
    """

    kind: str
    limit: int
    windows: float
    latency: tuple[float, float]
    start: float
    concurrency: int
    headers: bool
    lies: tuple[Lie, ...]
    foreign: float
    seed: int

    def server(self) -> LyingServer:
        burst = max(2, self.limit // 20) if self.kind == "burst" else None
        limiter = make_limiter(self.kind, self.limit, PERIOD, burst=burst)
        return LyingServer(
            limiter,
            headers=self.headers,
            latency=self.latency,
            seed=self.seed,
            lies=self.lies,
            started=MIDNIGHT + self.start,
        )

    @property
    def lies_end(self) -> float:
        return max((lie.end for lie in self.lies), default=0.0)


dates = st.one_of(
    st.sampled_from(["missing", "garbled", "frozen"]),
    st.sampled_from([86_400, -3600, -300, 120, 17, -20, 30, 1, -1, 59]),
)
counts = st.one_of(st.sampled_from(["missing", 0, 1, 5, 500]), st.sampled_from([0.1, 0.5, 2.0, 10.0]))
retries = st.sampled_from([0, 1, 5, 59, 60, 3600, 86_400, -1, "soon", "Sat, 15 Aug 2026 16:08:35 GMT"])
details = st.sampled_from(["missing", 0, 1, 7, 10**9, "many"])
kinds_of_lies = st.one_of(
    st.tuples(st.just("date"), dates),
    st.tuples(st.just("remaining"), counts),
    st.tuples(st.just("permitted"), counts),
    st.tuples(st.just("Retry-After"), retries).map(lambda pair: ("retry_after", pair[1])),
    st.tuples(st.just("details"), details),
)


@st.composite
def lies(draw: st.DrawFn) -> Lie:
    what, value = draw(kinds_of_lies)
    begin = draw(st.sampled_from([0.0, 0.3, 5.0, 61.0]))
    end = begin + draw(st.sampled_from([0.2, 10.0, 70.0, 150.0]))
    return Lie(what, value, begin, end, draw(st.sampled_from([1.0, 0.5, 0.1, 0.02])))


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    limit = draw(st.sampled_from([1, 2, 3, 5, 10, 30, 60, 100, 250, 2000]))
    shortest = draw(st.sampled_from([0.0005, 0.01, 0.05, 0.3, 2.0, 10.0]))
    return Scenario(
        kind=draw(st.sampled_from(KINDS)),
        limit=limit,
        windows=draw(st.floats(0.2, 4 if limit < 1000 else 2)),
        latency=(shortest, shortest * draw(st.sampled_from([1.0, 2.0]))),
        start=draw(st.floats(0, PERIOD, exclude_max=True)),
        concurrency=draw(st.sampled_from([1, 8, 32])),
        headers=draw(st.sampled_from([True, True, True, False])),
        lies=tuple(draw(st.lists(lies(), min_size=0, max_size=3))),
        foreign=draw(st.sampled_from([0.0, 0.0, 0.0, 0.5, 3.0])),
        seed=draw(st.integers(0, 2**16)),
    )


@dataclass
class Played:
    server: LyingServer
    window: Window
    done: int
    elapsed: float
    #: Items that were not done when the lies ended.
    left: int


def play(scenario: Scenario, window: Window | None = None) -> Played:
    server = scenario.server()
    window = window or Window.start(period=PERIOD)
    gate = Gate(window)
    n = max(1, int(scenario.windows * scenario.limit))

    async def others() -> None:
        while scenario.foreign and asyncio.get_running_loop().time() - server.started < scenario.lies_end:
            await asyncio.sleep(1 / scenario.foreign)
            server.count()

    async def both() -> float:
        sharing = asyncio.create_task(others())
        done = await run_job(server, n, gate=gate, concurrency=scenario.concurrency)
        sharing.cancel()
        await asyncio.gather(sharing, return_exceptions=True)
        assert done.done == n
        return done.elapsed

    elapsed = virtual_time.run(both(), start=server.started)
    ended = server.started + scenario.lies_end
    left = n - sum(at < ended for at in server.admitted)
    return Played(server, window, n, elapsed, left)


def longest(scenario: Scenario, left: int) -> float:
    """Seconds for the rest after the lies have ended: the optimum and two windows."""
    slowest = 2 * scenario.latency[1]
    windows = math.ceil(left / scenario.limit)
    # Permits come back after responses, so each window takes one round trip more.
    waiting = windows * (PERIOD + slowest)
    sending = (left / min(scenario.concurrency, scenario.limit) + 8) * slowest
    # A small bucket looks like windows that others use up. It takes some windows to find out.
    return waiting + sending + (6 if scenario.kind == "burst" else 2) * PERIOD


def cannot_be_found_out(scenario: Scenario) -> bool:
    """Whether the scenario may take more than two windows longer. Each case has its reason."""
    # Without headers nothing contradicts a 429 that names a limit a little too low.
    named = [lie.value for lie in scenario.lies if lie.what == "details"]
    believed = any(isinstance(value, int) and 0 < value < scenario.limit for value in named)
    # A pace that others have reduced grows by a twentieth of the limit in each window.
    forced = scenario.foreign > 0
    # A small bucket is found out by requests at certain moments. Round trips of 4 s leave none.
    slow = scenario.kind == "burst" and scenario.latency[1] > 2
    return slow or (not scenario.headers and (believed or forced))


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(scenarios())
def test_lies_cost_few_429s_and_end_with_the_lie(scenario: Scenario) -> None:
    check(scenario)


def check(scenario: Scenario) -> None:
    """Check every promise that holds whatever the server says."""
    played = play(scenario)
    blocks, pause = refused_probes(played.server.log)
    assert most_in_a_period(blocks, PERIOD) <= 6
    assert pause >= 0.999
    if played.left and not cannot_be_found_out(scenario):
        assert played.elapsed - scenario.lies_end <= longest(scenario, played.left)
    assert played.window.in_flight == 0
    assert played.window.kept <= 3 * 1001 + min(scenario.limit, 4096)


# -- one lie at a time -----------------------------------------------------------------------------


def lied(
    *lies: Lie,
    n: int = 250,
    limit: int = 100,
    kind: str = "aligned",
    start: float = 30.0,
    foreign: float = 0.0,
    headers: bool = True,
) -> Played:
    return play(Scenario(kind, limit, n / limit, (0.02, 0.05), start, 32, headers, lies, foreign, 1))


def optimum(n: int, limit: int, start: float) -> float:
    return PERIOD - start + (math.ceil(n / limit) - 2) * PERIOD


@pytest.mark.parametrize("start", [3.0, 30.0, 55.0])
@pytest.mark.parametrize(
    ("begin", "end", "wrong"),
    [
        pytest.param(0.06, math.inf, "missing", id="lost in mid-run"),
        pytest.param(0.06, math.inf, "garbled", id="garbled in mid-run"),
        pytest.param(0.0, math.inf, "missing", id="never there"),
        pytest.param(0.0, math.inf, "frozen", id="never moves"),
        pytest.param(0.0, 0.06, 86_417, id="the first one a day and 17 s ahead"),
        pytest.param(0.15, 0.16, 86_400, id="one a day ahead"),
        pytest.param(0.15, 0.16, 17, id="one 17 s ahead"),
        pytest.param(0.15, math.inf, -3600, id="set back an hour"),
        pytest.param(0.15, math.inf, -300, id="set back 5 minutes"),
        pytest.param(0.15, math.inf, -20, id="set back 20 s"),
    ],
)
def test_a_wrong_date_costs_at_most_one_window(begin: float, end: float, wrong: object, start: float) -> None:
    played = lied(Lie("date", wrong, begin, end), start=start)
    assert played.elapsed <= optimum(250, 100, start) + 65
    assert played.server.refusals <= 8


@pytest.mark.parametrize(("wrong", "share"), [(120, 0.1), (17, 0.1), (-20, 0.5), (86_400, 0.5)])
def test_servers_behind_one_address_may_have_different_clocks(wrong: float, share: float) -> None:
    played = lied(Lie("date", wrong, share=share), n=1000)
    assert played.elapsed <= optimum(1000, 100, 30.0) + 65
    assert played.server.refusals <= 16


def test_headers_without_a_date_still_show_what_is_left() -> None:
    played = lied(Lie("date", "missing"), n=450)
    assert played.server.refusals <= 1
    assert played.elapsed <= optimum(450, 100, 30.0) + 65


@pytest.mark.parametrize("wait", [0, 1, 3600, 86_400, -1])
def test_retry_after_keeps_pauses_between_back_off_and_one_period(wait: int) -> None:
    """Other clients use the limit up for five minutes."""
    silence = Lie("permitted", "missing", 0, 300)
    played = lied(silence, Lie("retry_after", wait, 0, 300), n=20, limit=10, foreign=2.0)
    assert played.server.refusals <= 32 + 6 * 5
    assert played.elapsed <= 300 + 3 * PERIOD


@pytest.mark.parametrize("wait", [0, 3600])
def test_retry_after_of_a_429_without_details(wait: int) -> None:
    played = lied(Lie("retry_after", wait), Lie("details", "missing"), n=300, headers=False)
    assert played.server.refusals <= 32 + 6 * (played.elapsed / PERIOD + 1)
    assert played.elapsed <= optimum(300, 100, 30.0) + 3 * PERIOD


def test_headers_are_trusted_again_after_they_stopped() -> None:
    missing = Lie("permitted", "missing", 0.1, 1.0)
    played = lied(missing, n=450)
    assert played.window.belief is Belief.ALIGNED
    assert played.server.refusals == 0
    assert played.elapsed <= optimum(450, 100, 30.0) + 1


@pytest.mark.parametrize("headers", [True, False])
def test_a_far_too_low_limit_in_a_429_is_corrected(headers: bool) -> None:
    played = lied(Lie("details", 1, 0, 70), n=600, headers=headers)
    assert played.elapsed <= optimum(600, 100, 30.0) + 7 * PERIOD


def reading(remaining: int, *, date: float = 100, refused: bool = False) -> Evidence:
    return Evidence(permitted=100, remaining=remaining, date=date, refused=refused)


def taken(window: Window, now: float) -> Permit:
    permit = window.take(now)
    assert isinstance(permit, Permit)
    return permit


# -- late responses, and long runs -----------------------------------------------------------------


@pytest.mark.parametrize(("period", "limit", "n"), [(60.0, 1000, 3700), (12.0, 200, 1500)])
def test_evenly_spaced_requests_lose_no_window(period: float, limit: int, n: int) -> None:
    """The permits of each window are used up shortly before it ends."""
    start, per_second = 24.1, 17.1
    server = ModelServer(make_limiter("aligned", limit, period), latency=(0.15, 0.3), seed=3)
    gate = Gate(Window.start(period=period))

    async def paced() -> float:
        began = asyncio.get_running_loop().time()
        even = AsyncLimiter(1, 1 / per_second)
        work: list[asyncio.Task[bool]] = []
        for _ in range(n):
            await even.acquire()
            permit = await gate.take()
            work.append(asyncio.create_task(server.request(gate, permit)))
        assert all(await asyncio.gather(*work))
        return asyncio.get_running_loop().time() - began

    elapsed = virtual_time.run(paced(), start=MIDNIGHT + start)
    assert elapsed <= 1.02 * n / per_second + 3


@pytest.mark.parametrize("dated", [59, 60])
@pytest.mark.parametrize("first", [True, False])
def test_a_late_response_of_the_old_window_does_not_use_up_the_new_one(dated: int, *, first: bool) -> None:
    """It arrives after the entry was sent, before or after the response to the entry."""
    window = Window.start()
    now = MIDNIGHT + 10
    for number in range(98):  # their responses arrive at all fractions of a second
        now = MIDNIGHT + 10 + number * 0.37
        permit = taken(window, now)
        window.answered(permit, now + 0.1, reading(99 - number, date=math.floor(now + 0.05)))
    late = [taken(window, MIDNIGHT + 59.8) for _ in range(2)]
    entry = taken(window, MIDNIGHT + 60.1)
    assert entry.role is Role.ENTRY
    old, new = reading(0, date=MIDNIGHT + dated), reading(99, date=MIDNIGHT + 60)
    responses = [(late[0], old), (late[1], old), (entry, new)]
    for number, (permit, evidence) in enumerate(responses if first else reversed(responses)):
        window.answered(permit, MIDNIGHT + 60.4 + number / 100, evidence)
    permits = [window.take(MIDNIGHT + 60.5) for _ in range(90)]
    assert all(isinstance(permit, Permit) for permit in permits)


@pytest.mark.parametrize("headers", [True, False])
def test_memory_does_not_grow_with_time(headers: bool) -> None:
    window = Window.start()
    sizes: list[int] = []
    now = MIDNIGHT
    for number in range(3 * 60 * 500):
        now += 0.12
        permit = window.take(now)
        if isinstance(permit, Permit):
            evidence = Evidence(
                permitted=1000 if headers else None,
                remaining=999 - number % 500 if headers else None,
                date=math.floor(now),
            )
            window.answered(permit, now + 0.05, evidence)
        if number % 30_000 == 29_999:
            sizes.append(window.kept)
    assert max(sizes) <= min(sizes) + 100


# -- own requests that look like another client's --------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("left", [8, 15, 20, 25])
def test_a_second_job_after_a_pause_is_not_late(left: int, seed: int) -> None:
    """Permits of the old window are left. Requests sent with them are counted in the new one."""
    server = LyingServer(make_limiter("aligned", 100, PERIOD), latency=(0.0125, 0.025), seed=seed)
    gate = Gate(Window.start(period=PERIOD))

    async def both() -> float:
        await run_job(server, 100 - left, gate=gate)
        await asyncio.sleep(200)
        second = await run_job(server, 150, gate=gate)
        return second.elapsed - (PERIOD - second.started % PERIOD)

    late = virtual_time.run(both(), start=MIDNIGHT + 1.3)
    assert server.refusals == 0
    assert late <= 2


@pytest.mark.parametrize("limit", [3, 10, 100, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_a_lost_entry_does_not_look_like_another_client(limit: int, seed: int) -> None:
    server = LyingServer(make_limiter("aligned", limit, PERIOD), latency=(0.005, 0.02), seed=seed)
    gate = Gate(Window.start(period=PERIOD))

    async def main() -> None:
        left, lost = 4 * limit, False

        async def work() -> None:
            nonlocal left, lost
            while left > 0:
                left -= 1
                permit = await gate.take()
                if permit.role is Role.ENTRY and not lost:
                    lost = True
                    await server.exchange()
                    gate.lost(permit)
                else:
                    await server.request(gate, permit)

        await asyncio.gather(*(work() for _ in range(8)))

    virtual_time.run(main(), start=MIDNIGHT + 20)
    assert server.refusals == 0


@pytest.mark.parametrize("position", [2, 3, 4])
def test_with_a_limit_of_one_a_lost_response_costs_no_429(position: int) -> None:
    server = LyingServer(make_limiter("aligned", 1, PERIOD), latency=(0.01, 0.03), seed=position)
    gate = Gate(Window.start(period=PERIOD))

    async def main() -> None:
        for number in range(6):
            permit = await gate.take()
            if number + 1 == position:
                await server.exchange()
                gate.lost(permit)
            else:
                await server.request(gate, permit)

    virtual_time.run(main(), start=MIDNIGHT + 20)
    assert server.refusals == 0


@pytest.mark.parametrize("pause", [9000, 28_800, 60_000])
@pytest.mark.parametrize("limit", [10, 200])
def test_after_a_long_pause_a_whole_window_is_used(pause: float, limit: int) -> None:
    """The clock has become imprecise meanwhile. The first responses make it precise again."""
    server = LyingServer(make_limiter("aligned", limit, PERIOD), latency=(0.02, 0.08), seed=3)
    gate = Gate(Window.start(period=PERIOD))

    async def both() -> float:
        await run_job(server, limit // 2, gate=gate)
        now = asyncio.get_running_loop().time() + pause
        await asyncio.sleep(pause + PERIOD - now % PERIOD + 3)
        return (await run_job(server, limit, gate=gate, concurrency=64)).elapsed

    assert virtual_time.run(both(), start=MIDNIGHT + 3) <= 5
    assert server.refusals == 0


@pytest.mark.parametrize("limit", [20, 200])
@pytest.mark.parametrize("step", [0.1, 0.3, 0.5, 0.9])
def test_a_clock_that_is_set_back_a_little_costs_at_most_two_429s(step: float, limit: int) -> None:
    server = LyingServer(make_limiter("aligned", limit, PERIOD), latency=(0.01, 0.03), seed=5)
    gate = Gate(Window.start(period=PERIOD))

    async def set_back() -> None:
        await asyncio.sleep(5 * PERIOD)
        server.offset -= step

    async def both() -> Job:
        done, _ = await asyncio.gather(run_job(server, 15 * limit, gate=gate), set_back())
        return done

    done = virtual_time.run(both(), start=MIDNIGHT + 20)
    assert server.refusals <= 2
    assert done.elapsed <= 15 * PERIOD + 5


@pytest.mark.parametrize("limit", [5, 20, 200])
def test_a_sliding_window_that_counts_refused_requests_gets_few_probes(limit: int) -> None:
    limiter = make_limiter("sliding", limit, PERIOD, count_refused=True)
    server = LyingServer(limiter, latency=(0.02, 0.08), seed=1)
    gate = Gate(Window.start(period=PERIOD))

    async def both() -> None:
        await run_job(server, limit // 2, gate=gate)
        await asyncio.sleep(5.8)
        await run_job(server, 4 * limit, gate=gate)

    virtual_time.run(both(), start=MIDNIGHT + 20)
    blocks, _ = refused_probes(server.log)
    assert most_in_a_period(blocks, PERIOD) <= 6
    assert server.refusals <= 12


@pytest.mark.parametrize("kind", ["sliding", "bucket", "burst"])
@pytest.mark.parametrize("headers", [True, False])
def test_counted_refusals_do_not_block_a_client_for_ever(kind: str, *, headers: bool) -> None:
    limiter = make_limiter(kind, 1, PERIOD, burst=1, count_refused=True)
    server = LyingServer(limiter, headers=headers, latency=(0.02, 0.05))
    done = virtual_time.run(run_job(server, 3), start=MIDNIGHT + 20)
    assert done.elapsed <= 20 * PERIOD


# -- headers that stay wrong -----------------------------------------------------------------------


@dataclass
class _FirstRefusals(LyingServer):
    """The first few 429s name a limit of 1. `last` is the time of the last of them."""

    wrong: int = 0
    last: float = 0.0

    async def request(self, gate: Gate, permit: Permit) -> bool:
        verdict, headers = await self.exchange()
        named: object = verdict.permitted
        if not verdict.allowed and self.wrong:
            self.wrong -= 1
            self.last = asyncio.get_running_loop().time()
            named = 1
        status = 200 if verdict.allowed else 429
        gate.answered(permit, read_evidence(status, headers, total_permitted=named))
        return verdict.allowed


@pytest.mark.parametrize("kind", ["fixed", "sliding"])
@pytest.mark.parametrize("wrong", [4, 6, 7])
def test_too_low_limits_in_429s_have_no_lasting_effect(kind: str, wrong: int) -> None:
    """The headers are always right. Another client has used the first window up."""
    server = _FirstRefusals(make_limiter(kind, 100, PERIOD), latency=(0.0125, 0.025), wrong=wrong)
    for _ in range(100):
        server.limiter.hit(MIDNIGHT + 10.3)
    done = virtual_time.run(run_job(server, 1000), start=MIDNIGHT + 10.3)
    left = sum(at > server.last for at in server.admitted)
    assert done.finished - server.last <= math.ceil(left / 100) * PERIOD + 2 * PERIOD


@pytest.mark.parametrize("kind", ["aligned", "sliding"])
def test_a_remaining_that_is_always_too_high_costs_one_burst_of_429s(kind: str) -> None:
    played = lied(Lie("remaining", 100), n=3000, kind=kind)
    assert played.server.refusals <= 32 + played.elapsed / PERIOD
    assert played.elapsed <= 1.05 * 3000 / 100 * PERIOD + PERIOD


def test_a_limit_ten_times_too_high_costs_a_few_429s_a_minute() -> None:
    played = lied(Lie("permitted", 10.0), Lie("details", 5000), n=1500, kind="bucket")
    assert played.server.refusals <= 32 + 6 * played.elapsed / PERIOD
    assert played.elapsed <= 1.3 * 1500 / 100 * PERIOD


# -- limits per request type -----------------------------------------------------------------------


def test_usage_of_other_clients_does_not_look_like_separate_counters() -> None:
    async def main() -> None:
        gate = Gate(Window.start())
        gate.answered(await gate.take(kind="POST /assign"), reading(95))
        gate.answered(await gate.take(kind="GET /disk"), reading(90))
        refused = await gate.take(kind="POST /assign")
        # Another client has used 90.
        gate.answered(refused, reading(0, refused=True))
        assert gate.window.refusals == 1
        assert gate.window.in_flight == 0

    virtual_time.run(main(), start=100.2)
