"""Schedules of load tests: their arguments, and how they are called."""

from __future__ import annotations

import pytest

from katapult_async.load import ClosedLoop, FixedRate, OpenLoop, Part, Plan, Poisson, Ramp
from katapult_async.load.arrivals import arrival_times


def test_a_fixed_rate_begins_at_once_and_keeps_its_distance() -> None:
    assert list(FixedRate(4).times(1)) == [0.0, 0.25, 0.5, 0.75]


def test_a_ramp_reaches_its_rates() -> None:
    times = list(Ramp(0, 100).times(10))
    assert len(times) == 500
    assert sum(at >= 9 for at in times) == 95
    falling = list(Ramp(100, 0).times(10))
    assert len(falling) == 500
    assert sum(at < 1 for at in falling) == 95


def test_a_poisson_process_depends_on_its_seed_only() -> None:
    assert list(Poisson(50, 1).times(2)) == list(Poisson(50, 1).times(2))
    assert list(Poisson(50, 1).times(2)) != list(Poisson(50, 2).times(2))


def test_the_warm_up_has_the_first_rate() -> None:
    times = list(arrival_times(Ramp(10, 100), warm_up=2, duration=1, part=Part()))
    assert sum(at < 2 for at in times) == 20
    assert sum(at >= 2 for at in times) == 55
    assert not [at for at in arrival_times(Ramp(0, 9), warm_up=2, duration=1, part=Part()) if at < 2]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FixedRate(0), "rate must be above 0"),
        (lambda: FixedRate(float("nan")), "rate must be above 0"),
        (lambda: Poisson(1e9), "at most 100,000 per second"),
        (lambda: Ramp(0, 0), "above 0 at its start or its end"),
        (lambda: Ramp(-1, 5), "rate must be above 0"),
        (lambda: Part(0, 2), "from 1/2 to 2/2, not 0/2"),
        (lambda: Part(3, 2), "from 1/2 to 2/2, not 3/2"),
        (lambda: OpenLoop(arrivals=FixedRate(1), max_in_flight=0), "max_in_flight must be at least 1"),
        (lambda: ClosedLoop(in_flight=0), "in_flight must be at least 1"),
        (lambda: ClosedLoop(in_flight=1, think=-1), "think must be 0 or more"),
        (lambda: Plan(schedule=ClosedLoop(in_flight=1), duration=0), "duration must be at least 0.1"),
        (
            lambda: Plan(schedule=ClosedLoop(in_flight=1), duration=1, warm_up=-1),
            "warm_up must be at least 0",
        ),
    ],
)
def test_a_wrong_argument_is_refused(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


def test_how_schedules_are_called() -> None:
    assert str(OpenLoop(arrivals=FixedRate(500))) == "open loop, 500/s"
    assert str(OpenLoop(arrivals=Poisson(0.5))) == "open loop, 0.5/s (Poisson)"
    assert str(OpenLoop(arrivals=Ramp(1, 9))) == "open loop, 1/s to 9/s"
    assert str(ClosedLoop(in_flight=8, think=0.1)) == "closed loop, 8 in flight, 0.1 s think time"
