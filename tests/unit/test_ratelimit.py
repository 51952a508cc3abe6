"""The parts of the rate limit, one by one. Their promises together are tested in tests/property."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.ratelimit import (
    Evidence,
    Gate,
    GateByType,
    Permit,
    Wait,
    WaitReason,
    Window,
    read_evidence,
)
from katapult_async.ratelimit.belief import Belief
from katapult_async.ratelimit.clock import ServerClock
from katapult_async.ratelimit.counter import ServerCounter
from katapult_async.ratelimit.pace import Pace
from katapult_async.ratelimit.trailing import TrailingCount
from tests import virtual_time

LIMIT_HEADERS = {"X-Ratelimit-Permitted": "1000", "X-Ratelimit-Remaining": "999"}
DATE = {"Date": "Sat, 15 Aug 2026 16:08:05 GMT"}


# -- evidence --------------------------------------------------------------------------------------


def test_evidence_of_an_ordinary_response() -> None:
    evidence = read_evidence(200, {**LIMIT_HEADERS, **DATE})
    assert (evidence.permitted, evidence.remaining) == (1000, 999)
    assert evidence.date == 1786810085.0
    assert not evidence.refused


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Ratelimit-Permitted": "0", "X-Ratelimit-Remaining": "0"},
        {"X-Ratelimit-Permitted": "-1", "X-Ratelimit-Remaining": "0"},
        {"X-Ratelimit-Permitted": "many", "X-Ratelimit-Remaining": "5"},
        {"X-Ratelimit-Permitted": "10", "X-Ratelimit-Remaining": "11"},
        {"X-Ratelimit-Permitted": "10"},
        {"X-Ratelimit-Remaining": "10"},
        {"X-Ratelimit-Permitted": "2000000", "X-Ratelimit-Remaining": "5"},
        {"X-Ratelimit-Permitted": "1_0", "X-Ratelimit-Remaining": "5"},
        {"X-Ratelimit-Permitted": "١٠", "X-Ratelimit-Remaining": "5"},
        {"Date": "yesterday"},
        {},
    ],
)
def test_implausible_headers_are_ignored(headers: dict[str, str]) -> None:
    evidence = read_evidence(200, headers)
    assert evidence.permitted is None
    assert evidence.remaining is None
    assert evidence.date is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("Sat, 15 Aug 2026 16:08:35 GMT", 30), ("-1", None), ("99999", None), ("soon", None)],
)
def test_retry_after_in_seconds_and_as_a_date(text: str, seconds: float | None) -> None:
    assert read_evidence(429, {**DATE, "Retry-After": text}).retry_after == seconds


def test_total_permitted_is_read_from_429s_only() -> None:
    assert read_evidence(429, {}, total_permitted=50).total_permitted == 50
    assert read_evidence(429, {}, total_permitted="50").absurd
    assert read_evidence(200, {}, total_permitted=50).total_permitted is None


# -- clock -----------------------------------------------------------------------------------------


@given(
    st.floats(-1e3, 1e3),
    st.lists(st.tuples(st.floats(0.001, 5), st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=60),
)
def test_the_true_offset_is_never_excluded(offset: float, steps: list[tuple[float, float, float]]) -> None:
    clock = ServerClock()
    now = 1000.0
    for pause, there, back in steps:
        sent = now + pause
        answered = sent + there
        now = answered + back
        clock.observe(math.floor(answered + offset), sent, now)
        assert clock.earliest_server_time(now) <= now + offset + 1e-6
        assert clock.latest_local_time(60.0) >= 60.0 - offset - 1e-6
        assert clock.earliest_local_time(60.0) <= 60.0 - offset + 1e-6


def test_requests_at_informative_moments_narrow_the_clock_interval() -> None:
    clock = ServerClock()
    now, offset, trips = 100.0, 0.37, 0
    clock.observe(math.floor(now + offset), now, now + 0.02)
    while clock.imprecise:
        now = clock.informative_time(now + 0.02)
        clock.observe(math.floor(now + 0.01 + offset), now, now + 0.02)
        trips += 1
    assert trips <= 6
    assert clock.uncertainty <= 0.05
    assert "offset" in repr(clock)


def observe(clock: ServerClock, offset: float, *, start: float, responses: int, pause: float = 0.5) -> None:
    """Process responses of a server whose clock is ahead of the local one by `offset`."""
    for number in range(responses):
        now = start + number * pause
        clock.observe(math.floor(now + offset), now - 0.01, now + 0.01)


def test_agreeing_responses_replace_the_clock_after_it_was_set() -> None:
    clock = ServerClock()
    observe(clock, 0.0, start=100, responses=20)
    observe(clock, 17.0, start=110, responses=3)
    assert clock.earliest_server_time(112) == pytest.approx(112, abs=0.6)
    observe(clock, 17.0, start=111.5, responses=2)
    assert clock.replacements == 1
    assert clock.earliest_server_time(112) == pytest.approx(129, abs=1)
    assert repr(ServerClock()) == "<ServerClock unknown>"


@pytest.mark.parametrize("wrong", [86_400.0, -3600.0, -300.0, 120.0])
def test_a_date_wrong_by_whole_windows_does_no_harm(wrong: float) -> None:
    clock, other = ServerClock(), ServerClock()
    observe(clock, 0.37, start=100, responses=20)
    observe(other, 0.37, start=100, responses=20)
    assert clock.observe(112 + wrong, 111.7, 111.8) == 112
    assert other.observe(112, 111.7, 111.8) == 112
    assert repr(clock) == repr(other)
    assert clock.replacements == 0


@pytest.mark.parametrize("wrong", [17.0, -20.0, 29.0])
def test_a_single_wrong_date_is_set_aside(wrong: float) -> None:
    clock = ServerClock()
    observe(clock, 0.37, start=100, responses=20)
    before = clock.latest_local_time(180.0)
    assert clock.observe(112 + wrong, 111.7, 111.8) is None
    assert clock.latest_local_time(180.0) == pytest.approx(before)


def test_a_frozen_date_does_not_replace_the_clock() -> None:
    clock = ServerClock()
    observe(clock, 0.0, start=100, responses=20)
    for number in range(200):
        clock.observe(105, 110 + number * 0.05, 110.01 + number * 0.05)
    assert clock.replacements == 0


def test_two_servers_with_different_clocks_replace_the_clock_a_few_times_only() -> None:
    clock = ServerClock()
    rng = random.Random(1)
    for number in range(5000):
        now = 100 + number * 0.7
        clock.observe(math.floor(now + rng.choice([0.0, 20.0])), now - 0.01, now + 0.01)
    assert clock.replacements <= 5


# -- counts ----------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 7), max_size=200), st.integers(1, 50), st.integers(0, 5))
def test_the_trailing_count_never_drops_a_response_too_early(
    gaps: list[float], limit: int, in_flight: int
) -> None:
    count = TrailingCount(60.0)
    exact: deque[float] = deque()
    now = 0.0
    for gap in gaps:
        now += gap
        count.add(now)
        exact.append(now)
    kept = sum(at > now - 60.0 for at in exact)
    assert kept <= count.count(now)
    free_at = count.free_at(now, limit, in_flight)
    if free_at < math.inf:
        assert sum(at > max(now, free_at) - 60.0 + 1e-9 for at in exact) + in_flight < limit
    else:
        assert in_flight >= limit


def test_the_trailing_count_has_a_bounded_size() -> None:
    count = TrailingCount(60.0)
    for number in range(200_000):
        count.add(number / 2000)
    assert count.count(100.0) == pytest.approx(120_000, rel=0.01)
    assert len(count) <= 1001


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=40),
    st.integers(0, 200),
)
def test_the_server_permits_every_request_that_the_counter_leaves(
    requests: list[tuple[int, int, int]], refill: int
) -> None:
    """The server counts at a moment between send and response, and raises its counter once."""
    limit = 1000
    events: list[tuple[int, int, str, int]] = []
    for number, (start, there, back) in enumerate(requests):
        events += [
            (start, 0, "send", number),
            (start + there, 1, "count", number),
            (start + there + back, 2, "answer", number),
        ]
    counter, left, in_flight = ServerCounter(TrailingCount(60.0)), limit, 0
    remaining: dict[int, int] = {}
    refilled = False
    for time, _order, kind, number in sorted(events):
        if not refilled and time > 30:
            left, refilled = min(limit, left + refill), True
        if kind == "send":
            in_flight += 1
        elif kind == "count":
            left -= 1
            remaining[number] = left
        else:
            in_flight -= 1
            counter.add_reading(requests[number][0], time, remaining[number])
            assert counter.free(in_flight) <= left
    assert counter.lowest is not None


def test_a_counter_without_a_reading_leaves_no_request() -> None:
    counter = ServerCounter(TrailingCount(60.0))
    assert counter.free(0) == 0
    assert counter.refilled(5.0, 1.0, 10, 0) == 0
    counter.add_unread(1.0)
    counter.add_reading(0.5, 2.0, 10)
    assert counter.free(3) == 6
    counter.add_reading(2.5, 3.0, 8)
    assert counter.free(1, 1.0) == 6
    assert counter.refilled(5.0, 2.0, 10, 1) == 9
    assert "lowest=8" in repr(counter)


def test_the_pace_falls_by_a_factor_and_rises_by_steps_up_to_the_limit() -> None:
    pace = Pace.start(0, period=60, value=100, limit=100)
    pace.slow_down(10)
    assert pace.at(10) == pytest.approx(70)
    assert pace.at(69) == pytest.approx(70)
    assert pace.at(70) == pytest.approx(75)
    assert pace.at(3600) == 100
    pace.set_limit(3600, 40)
    assert pace.at(3600) == 40
    pace.set_limit(3600, 80)
    assert pace.at(3600) == 80
    pace.restart_window(3630)
    assert "80" in repr(pace)


# -- window ----------------------------------------------------------------------------------------


def take(window: Window, now: float, waiting: int = 1) -> Permit:
    permit = window.take(now, waiting=waiting)
    assert isinstance(permit, Permit)
    return permit


def assert_belief(window: Window, belief: Belief) -> None:
    assert window.belief is belief


def test_the_first_request_is_solo() -> None:
    window = Window.start()
    first = take(window, 0)
    wait = window.take(0.1)
    assert isinstance(wait, Wait)
    assert wait.reason is WaitReason.ANSWER
    window.answered(first, 0.2, Evidence())
    assert_belief(window, Belief.OPEN)
    for _ in range(100):
        take(window, 0.3)
    assert window.in_flight == 100


def test_a_missing_response_blocks_the_others_for_a_bounded_time() -> None:
    window = Window.start()
    hung = take(window, 0)
    wait = window.take(1)
    assert isinstance(wait, Wait)
    assert isinstance(window.take(wait.until), Permit)
    window.lost(hung, 60)


def test_an_unsent_request_is_not_counted() -> None:
    window = Window.start(limit=1)
    window.unused(take(window, 0))
    window.answered(take(window, 0), 0.1, Evidence())
    wait = window.take(0.2)
    assert isinstance(wait, Wait)
    assert wait.until == pytest.approx(60.1, abs=0.1)


def test_headers_that_stop_lead_to_the_trailing_rule() -> None:
    window = Window.start()
    permit = take(window, 100.5)
    window.answered(permit, 100.6, Evidence(permitted=10, remaining=9, date=100))
    assert_belief(window, Belief.ALIGNED)
    for number in range(3):
        window.answered(take(window, 101 + number), 101.1 + number, Evidence())
    assert_belief(window, Belief.TRAILING)
    assert window.limit == 10


def test_a_429_that_names_less_than_the_headers_counts() -> None:
    window = Window.start()
    window.answered(take(window, 100.5), 100.6, Evidence(permitted=1000, remaining=999, date=100))
    refused = Evidence(permitted=1000, remaining=900, date=101, refused=True, total_permitted=20)
    window.answered(take(window, 101), 101.1, refused)
    assert_belief(window, Belief.TRAILING)
    assert window.limit == 20
    assert "closed until" in repr(window)


def test_retry_after_sets_the_pause_of_the_closure() -> None:
    window = Window.start()
    refusal = Evidence(refused=True, retry_after=17.0, total_permitted=50)
    window.answered(take(window, 0), 1, refusal)
    assert window.refusals == 1
    wait = window.take(1.1)
    assert isinstance(wait, Wait)
    assert wait.until >= 18
    assert wait.reason is WaitReason.REFUSED


@pytest.mark.parametrize("settings", [{"period": 0}, {"period": -1}, {"limit": 0}])
def test_invalid_window_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Window.start(**settings)


# -- gate ------------------------------------------------------------------------------------------


def test_a_cancelled_request_gives_its_place_to_the_next() -> None:
    import asyncio

    async def main() -> None:
        gate = Gate(Window.start(limit=1, period=10))
        first = await gate.take()
        waiting = [asyncio.create_task(gate.take()) for _ in range(3)]
        await asyncio.sleep(0)
        assert gate.waiting == 3
        gate.answered(first, Evidence())
        waiting[0].cancel()
        await asyncio.sleep(10.1)
        assert waiting[1].done()
        assert not waiting[2].done()
        waiting[2].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert gate.waiting == 0
        assert "waiting=0" in repr(gate)

    virtual_time.run(main())


def test_a_429_can_show_that_request_types_have_separate_counters() -> None:
    import asyncio

    def reading(remaining: int, *, refused: bool = False) -> Evidence:
        return Evidence(
            permitted=100,
            remaining=remaining,
            date=100,
            refused=refused,
            total_permitted=100 if refused else None,
        )

    async def main() -> None:
        gate = GateByType(Window.start())
        gate.answered(await gate.take(kind="POST /assign"), reading(50))
        gate.answered(await gate.take(kind="GET /disk"), reading(90))
        refused = await gate.take(kind="POST /assign")
        other = await gate.take(kind="POST /assign")
        gate.answered(refused, reading(0, refused=True))
        gate.answered(other, reading(0, refused=True))
        # Assigning waits for its own window now. Reading does not.
        waiting = asyncio.create_task(gate.take(kind="POST /assign"))
        for _ in range(20):
            gate.answered(await gate.take(kind="GET /disk"), reading(80))
        assert not waiting.done()
        assert gate.window.refusals == 0
        assert gate.window.in_flight == 0
        assert gate.limit == 100
        permit = await waiting
        assert asyncio.get_running_loop().time() >= 120
        gate.lost(permit)
        gate.unused(await gate.take(kind="POST /assign"))

    virtual_time.run(main(), start=100.2)


# -- buckets that other clients drain --------------------------------------------------------------


def bucket_window(remaining: Callable[[float], int]) -> tuple[Window, float]:
    """A window whose counter has shown a token bucket, and the time of that reading."""
    window, now = Window.start(period=60.0), 1_000_003.0
    for _ in range(200):
        permit = window.take(now)
        if isinstance(permit, Permit):
            now += 0.05
            evidence = Evidence(permitted=60, remaining=remaining(now), date=math.floor(now))
            window.answered(permit, now, evidence)
            if window.belief is Belief.REFILLING:
                return window, now
        else:
            now = permit.until
    raise AssertionError(f"it was not found out: {window!r}")


def test_lost_requests_stop_counting_once_the_bucket_has_refilled() -> None:
    level = iter([*range(58, 2, -1), *([3] * 200)])
    window, now = bucket_window(lambda _: next(level))
    for _ in range(3):
        now += 120  # the bucket is full again, and all its requests get lost
        taken: list[Permit] = []
        while isinstance(permit := window.take(now), Permit):
            taken.append(permit)
        assert len(taken) > 50
        for permit in taken:
            window.lost(permit, now + 1)


def test_an_empty_bucket_is_probed_after_it_has_refilled() -> None:
    """Another client drains the bucket: every reading has been zero."""
    counter = ServerCounter(TrailingCount(60.0))
    counter.add_reading(0.0, 1.0, 0)
    assert counter.refilled(1.0, 1.0, 1, 0) < 1
    assert counter.refilled(2.0, 1.0, 1, 0) >= 1
