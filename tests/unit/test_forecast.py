"""How long requests take, calculated from what is known of the limit."""

from __future__ import annotations

import pytest

from katapult_async.jobs.preflight.forecast import Pace, seconds_for


@pytest.mark.parametrize(
    ("requests", "pace", "seconds"),
    [
        (0, Pace(limit=None), 0.0),
        (10, Pace(limit=None), None),
        (10, Pace(limit=None, measured=5.0), None),
        # Fits into this window.
        (1000, Pace(limit=1000), 0.0),
        (900, Pace(limit=1000, remaining=900), 0.0),
        # Forty seconds are left of this window (now is second 20).
        (1001, Pace(limit=1000), 40.0),
        (2000, Pace(limit=1000), 40.0),
        (2001, Pace(limit=1000), 100.0),
        (901, Pace(limit=1000, remaining=900), 40.0),
        (1000, Pace(limit=1000, remaining=0), 40.0),
        (1, Pace(limit=1000, remaining=-5), 40.0),
        # The user's own maximum counts, alone or below the limit.
        (600, Pace(limit=None, max_per_second=10), 60.0),
        (600, Pace(limit=1000, max_per_second=10), 60.0),
        (6000, Pace(limit=1000, max_per_second=10), 600.0),
        # What the connection carries counts within a window.
        (100, Pace(limit=1000, measured=50), 2.0),
        (1100, Pace(limit=1000, measured=50), 42.0),
        (1100, Pace(limit=1000, measured=50, max_per_second=25), 44.0),
    ],
)
def test_the_time_for_requests(requests: int, pace: Pace, seconds: float | None) -> None:
    found = seconds_for(requests, pace, now=620.0)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_another_length_of_the_window() -> None:
    assert seconds_for(250, Pace(limit=100, period=6.0), now=601.0) == pytest.approx(11.0)
