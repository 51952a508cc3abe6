"""What holds for every load test: arrivals, histograms, and the sum of several processes."""

from __future__ import annotations

import math
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from katapult_async.load import (
    Arrivals,
    FixedRate,
    Histogram,
    LoadResult,
    Part,
    Poisson,
    Ramp,
    from_json,
    merge,
    to_json,
)
from katapult_async.load.arrivals import arrival_times
from tests.load_results import Made, result

RATES = st.floats(0.5, 300)
SCHEDULES = st.one_of(
    st.builds(FixedRate, RATES),
    st.builds(Poisson, RATES, st.integers(0, 9)),
    st.builds(Ramp, RATES | st.just(0.0), RATES),
    st.builds(Ramp, RATES, st.just(0.0)),
)
DURATIONS = st.floats(0.1, 20)
MICROS = st.lists(st.integers(0, 3_600_000_000), min_size=1, max_size=60)


def made(
    due: float, latency: float, operation: str, outcome: str, lag: float, waited: float, refused: int
) -> Made:
    return Made(due, due + latency, operation, outcome, lag, min(waited, latency), refused)


CALLS = st.lists(
    st.builds(
        made,
        st.floats(0, 9.99),
        st.floats(0, 20),
        st.sampled_from(["disk", "assign"]),
        st.sampled_from(["ok", "disk_not_found", "RequestTimeout"]),
        st.floats(0, 1),
        st.floats(0, 1),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(SCHEDULES, DURATIONS)
def test_arrivals_are_in_order_and_as_many_as_expected(arrivals: Arrivals, duration: float) -> None:
    times = list(arrivals.times(duration))
    assert times == sorted(times)
    assert all(0 <= at < duration for at in times)
    assert times == list(arrivals.times(duration))
    expected = arrivals.expected(duration)
    # Six standard deviations of a Poisson process. The others are exact.
    allowed = 1 + (6 * math.sqrt(expected) + 5 if isinstance(arrivals, Poisson) else 1e-6 * expected)
    assert abs(len(times) - expected) <= allowed


@given(SCHEDULES, DURATIONS, st.floats(0, 5), st.integers(1, 5))
def test_the_parts_of_all_processes_are_the_whole(
    arrivals: Arrivals, duration: float, warm_up: float, of: int
) -> None:
    def times(part: Part) -> list[float]:
        return list(arrival_times(arrivals, warm_up=warm_up, duration=duration, part=part))

    together = sorted(at for number in range(1, of + 1) for at in times(Part(number, of)))
    assert together == times(Part())


@given(MICROS, st.sampled_from([2, 3]), st.floats(0.1, 100))
def test_a_percentile_is_the_nearest_rank_to_the_width_of_a_bucket(
    values: list[int], digits: int, percent: float
) -> None:
    histogram = Histogram(digits)
    for value in values:
        histogram.record_micros(value)
    exact = sorted(values)[max(1, math.ceil(percent / 100 * len(values) - 1e-9)) - 1]
    found = histogram.percentile(percent) * 1e6
    assert exact <= found + 0.5
    assert found <= exact * (1 + 10**-digits) + 1.5
    assert histogram.max == max(values) / 1e6


@given(MICROS, st.sampled_from([2, 3]))
def test_a_histogram_survives_hdrhistograms_form(values: list[int], digits: int) -> None:
    histogram = Histogram(digits)
    for value in values:
        histogram.record_micros(value)
    decoded = Histogram.decode(histogram.encode(), digits=digits, longest=histogram.max)
    assert decoded == histogram
    hdr = cast("Any", histogram.hdr())
    assert hdr.get_total_count() == len(values)
    assert {value: hdr.get_count_at_value(value) for value in histogram.counts} == histogram.counts


def measured(found: LoadResult) -> LoadResult:
    """All of a result but who has measured it."""
    return replace(found, parts=[], problems=[], notes=[])


@settings(max_examples=25)  # each example encodes hundreds of histograms
@given(st.lists(CALLS, min_size=1, max_size=3))
def test_results_of_several_processes_add_up_to_that_of_one_that_saw_all(processes: list[list[Made]]) -> None:
    parts = [result(calls, process=number) for number, calls in enumerate(processes)]
    whole = result([call for calls in processes for call in calls])
    assert measured(merge([from_json(to_json(part)) for part in parts])) == measured(whole)


@settings(max_examples=8)
@given(CALLS, CALLS, CALLS)
def test_the_order_of_merging_makes_no_difference(
    one: list[Made], two: list[Made], three: list[Made]
) -> None:
    parts = [result(calls, process=number) for number, calls in enumerate((one, two, three))]
    at_once = merge(parts)
    in_steps = merge([parts[2], merge([parts[1], parts[0]])])
    assert measured(at_once) == measured(in_steps)
