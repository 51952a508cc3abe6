"""Each limiter counts exactly as its kind says: the proofs of the client's pace stand on them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.testing import (
    AlignedWindow,
    FixedWindow,
    Limiter,
    LimiterKind,
    SlidingLog,
    TokenBucket,
    make_limiter,
)

KINDS = ["aligned", "fixed", "sliding", "bucket", "burst"]
MOMENT = 1_767_225_600.0  # a whole minute of the wall clock


def admitted(limiter: Limiter, times: list[float]) -> list[float]:
    return [now for now in times if limiter.hit(now).allowed]


def test_aligned_window_ends_with_the_minute_of_the_wall_clock() -> None:
    limiter = AlignedWindow(2, 60.0)
    assert limiter.hit(MOMENT + 59.0) == (True, 2, 1, 0.0)
    assert limiter.hit(MOMENT + 59.5) == (True, 2, 0, 0.5)
    assert limiter.hit(MOMENT + 59.75) == (False, 2, 0, 0.25)
    assert limiter.hit(MOMENT + 60.0) == (True, 2, 1, 0.0)


@given(number=st.integers(0, 10**9), period=st.floats(0.05, 100.0))
def test_aligned_boundaries_are_the_multiples_of_the_period_in_spite_of_rounding(
    number: int, period: float
) -> None:
    boundary = number * period
    before = math.nextafter(boundary, -math.inf)
    limiter = AlignedWindow(1, period)
    assert limiter.hit(before).allowed
    assert limiter.hit(boundary).allowed
    assert not limiter.hit(math.nextafter((number + 1) * period, -math.inf)).allowed
    assert limiter.hit((number + 1) * period).allowed


def test_fixed_window_is_opened_by_the_first_request_after_the_last_one_ended() -> None:
    limiter = FixedWindow(2, 10.0)
    assert [limiter.hit(now).allowed for now in (3.0, 12.0, 12.9)] == [True, True, False]
    assert limiter.hit(13.0).remaining == 1
    # Nobody came when that one ended: the next opens late.
    assert limiter.hit(30.0).allowed
    assert limiter.hit(39.0).allowed
    assert limiter.hit(39.5).retry_after == pytest.approx(0.5)


def test_sliding_log_gives_each_request_back_one_period_after_it() -> None:
    limiter = SlidingLog(2, 10.0)
    assert limiter.hit(0.0) == (True, 2, 1, 0.0)
    assert limiter.hit(4.0) == (True, 2, 0, 6.0)
    assert limiter.hit(9.0) == (False, 2, 0, 1.0)
    assert limiter.hit(10.0) == (True, 2, 0, 4.0)
    assert not limiter.hit(13.9).allowed
    assert limiter.hit(14.0).allowed


def test_bucket_lets_its_capacity_through_at_once_and_then_one_for_each_that_came_back() -> None:
    limiter = TokenBucket(10, 10.0)
    assert len(admitted(limiter, [0.0] * 15)) == 10
    assert limiter.hit(0.5) == (False, 10, 0, 0.5)
    assert len(admitted(limiter, [3.0] * 5)) == 3


def test_burst_lets_only_its_small_capacity_through_at_once() -> None:
    limiter = make_limiter("burst", 60, 60.0, burst=5)
    assert len(admitted(limiter, [MOMENT] * 20)) == 5
    assert len(admitted(limiter, [MOMENT + second for second in range(1, 61)])) == 60


def test_bucket_does_not_drift_over_a_long_run() -> None:
    limiter = TokenBucket(1000, 60.0)
    admitted(limiter, [MOMENT] * 1000)
    times = [MOMENT + 0.06 * number for number in range(1, 100_001)]
    assert len(admitted(limiter, times)) == 100_000


@pytest.mark.parametrize("kind", KINDS)
def test_remaining_is_what_is_left_after_this_request(kind: str) -> None:
    limiter = make_limiter(kind, 3, 60.0, burst=3)
    assert [limiter.hit(MOMENT).remaining for _ in range(5)] == [2, 1, 0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_clock_that_is_set_back_opens_nothing(kind: str) -> None:
    limiter = make_limiter(kind, 3, 10.0, burst=3)
    admitted(limiter, [MOMENT] * 3)
    for now in (MOMENT - 1000.0, MOMENT - 5.0, MOMENT):
        assert not limiter.hit(now).allowed


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_of_nothing_never_permits(kind: str) -> None:
    limiter = make_limiter(kind, 0, 10.0)
    assert limiter.hit(MOMENT) == (False, 0, 0, math.inf)


@pytest.mark.parametrize("kind", ["aligned", "fixed", "sliding"])
def test_a_changed_limit_counts_from_the_next_request(kind: str) -> None:
    limiter = make_limiter(kind, 2, 60.0)
    admitted(limiter, [MOMENT] * 2)
    limiter.limit = 3
    assert [limiter.hit(MOMENT + 1).allowed for _ in range(2)] == [True, False]
    limiter.limit = 1
    assert limiter.hit(MOMENT + 2) == (False, 1, 0, 58.0 if kind != "sliding" else 59.0)


def test_a_changed_limit_refills_a_bucket_at_the_new_rate() -> None:
    limiter = TokenBucket(10, 10.0)
    admitted(limiter, [0.0] * 10)
    limiter.limit = 20
    assert len(admitted(limiter, [1.0] * 5)) == 2
    limiter.limit = 1
    assert limiter.hit(1.0) == (False, 1, 0, 10.0)
    assert len(admitted(limiter, [1000.0] * 5)) == 1


def test_refused_requests_count_only_where_asked() -> None:
    for count_refused, expected in ((False, True), (True, False)):
        limiter = SlidingLog(1, 10.0, count_refused=count_refused)
        assert [limiter.hit(now).allowed for now in (0.0, 9.0)] == [True, False]
        assert limiter.hit(10.0).allowed is expected


def test_a_bucket_that_counts_refused_requests_loses_what_had_come_back() -> None:
    limiter = TokenBucket(1, 10.0, count_refused=True)
    assert [limiter.hit(now).allowed for now in (0.0, 9.0, 18.0, 28.0)] == [True, False, False, True]


def test_windows_that_count_refused_requests_remember_them_when_the_limit_rises() -> None:
    for kind in (AlignedWindow, FixedWindow):
        limiter = kind(1, 10.0, count_refused=True)
        assert [limiter.hit(0.0).allowed for _ in range(3)] == [True, False, False]
        limiter.limit = 3
        assert not limiter.hit(1.0).allowed


@pytest.mark.parametrize(("limit", "period"), [(-1, 60.0), (1, 0.0), (1, math.inf), (1, math.nan)])
def test_senseless_settings_are_refused(limit: int, period: float) -> None:
    for kind in LimiterKind:
        with pytest.raises(ValueError, match=r"limit|period"):
            make_limiter(kind, limit, period)
    with pytest.raises(ValueError, match="burst"):
        TokenBucket(10, burst=0)


def test_repr_says_the_state() -> None:
    for kind in KINDS:
        limiter = make_limiter(kind, 7, 60.0)
        limiter.hit(0.0)
        assert "7" in repr(limiter)


gaps = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 3.0, 11.0]), max_size=150)


@given(gaps=gaps, limit=st.integers(1, 8), kind=st.sampled_from(KINDS), count_refused=st.booleans())
def test_never_more_than_the_limit_in_any_window_of_the_kind(
    gaps: list[float], limit: int, kind: str, *, count_refused: bool
) -> None:
    period = 10.0
    limiter = make_limiter(kind, limit, period, burst=2, count_refused=count_refused)
    now, times = MOMENT, list[float]()
    for gap in gaps:
        now += gap
        times.append(now)
    let_through = admitted(limiter, times)
    capacity = min(2, limit) if kind == "burst" else limit
    opened = -math.inf
    for index, start in enumerate(let_through):
        later = let_through[index:]
        if kind == "aligned":
            begin = start // period * period
            assert sum(begin <= at < begin + period for at in let_through) <= limit
        elif kind == "fixed":
            if start >= opened + period:
                opened = start
                assert sum(at < start + period for at in later) <= limit
        elif kind == "sliding":
            assert sum(at < start + period for at in later) <= limit
        else:
            for count, at in enumerate(later, 1):
                assert count <= capacity + (at - start) * limit / period + 1e-4


@given(gaps=gaps, limit=st.integers(1, 8), kind=st.sampled_from(KINDS))
def test_a_request_after_retry_after_is_permitted_and_one_before_is_not(
    gaps: list[float], limit: int, kind: str
) -> None:
    def rerun() -> tuple[Limiter, float, float]:
        limiter = make_limiter(kind, limit, 10.0, burst=2)
        now, wait = MOMENT, 0.0
        for gap in gaps:
            now += gap
            wait = limiter.hit(now).retry_after
        return limiter, now, wait

    limiter, now, wait = rerun()
    assert limiter.hit(now + wait + 1e-5).allowed
    limiter, now, wait = rerun()
    if wait > 0.01:
        assert not limiter.hit(now + wait - 0.005).allowed
