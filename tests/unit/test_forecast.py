"""How long requests take, calculated from what is known of the limit."""

from __future__ import annotations

import pytest

from katapult_async.jobs.preflight.forecast import Throughput, reached, seconds_for


@pytest.mark.parametrize(
    ("requests", "throughput", "seconds"),
    [
        (0, Throughput(limit=None), 0.0),
        (10, Throughput(limit=None), None),
        (10, Throughput(limit=None, measured=5.0), None),
        # Fits into this window.
        (1000, Throughput(limit=1000), 0.0),
        (900, Throughput(limit=1000, remaining=900), 0.0),
        # Forty seconds are left of this window (now is second 20).
        (1001, Throughput(limit=1000), 40.0),
        (2000, Throughput(limit=1000), 40.0),
        (2001, Throughput(limit=1000), 100.0),
        (901, Throughput(limit=1000, remaining=900), 40.0),
        (1000, Throughput(limit=1000, remaining=0), 40.0),
        (1, Throughput(limit=1000, remaining=-5), 40.0),
        # The user's own maximum counts, alone or below the limit.
        (600, Throughput(limit=None, max_per_second=10), 60.0),
        (600, Throughput(limit=1000, max_per_second=10), 60.0),
        (6000, Throughput(limit=1000, max_per_second=10), 600.0),
        # What the connection carries counts within a window.
        (100, Throughput(limit=1000, measured=50), 2.0),
        (1100, Throughput(limit=1000, measured=50), 42.0),
        (1100, Throughput(limit=1000, measured=50, max_per_second=25), 44.0),
    ],
)
def test_the_time_for_requests(requests: int, throughput: Throughput, seconds: float | None) -> None:
    found = seconds_for(requests, throughput, now=620.0)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_another_length_of_the_window() -> None:
    assert seconds_for(250, Throughput(limit=100, period=6.0), now=601.0) == pytest.approx(11.0)


def test_the_rate_that_a_run_reaches_is_that_of_an_average_request() -> None:
    busy = [(600.0 + second, 200.0) for second in range(10)]
    assert reached([], 620.0) is None
    assert reached([(600.0, 0.0)], 620.0) is None
    assert reached(busy, 620.0) == pytest.approx(200.0)
    # Ten stragglers, one in each second, and a second that has only begun.
    stragglers = [(610.0 + second, 1.0) for second in range(10)]
    assert reached([*busy, *stragglers, (620.0, 30.0)], 620.2) == pytest.approx(200.0, rel=0.01)
    # In its first second a run has nothing else.
    assert reached([(620.0, 30.0)], 620.2) == pytest.approx(30.0)
