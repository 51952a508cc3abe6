"""Percentiles from a histogram match the durations, and adding histograms adds their counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.jobs.journal.latency import Histogram, Latency

DURATIONS = st.lists(st.floats(2e-6, 1e5), min_size=1, max_size=200)


def histogram_of(durations: list[float]) -> Histogram:
    histogram = Histogram()
    for seconds in durations:
        histogram.record(seconds)
    return histogram


@given(DURATIONS, st.sampled_from([1.0, 50.0, 95.0, 99.0, 100.0]))
def test_a_percentile_is_within_one_per_cent(durations: list[float], per_cent: float) -> None:
    true = sorted(durations)[math.ceil(len(durations) * per_cent / 100) - 1]
    assert histogram_of(durations).percentile(per_cent) == pytest.approx(true, rel=0.0102)


@given(DURATIONS, DURATIONS)
def test_two_histograms_add_up_to_one_of_all(some: list[float], others: list[float]) -> None:
    both = Histogram(histogram_of(some).pairs())
    both.add(histogram_of(others).pairs())
    assert both.pairs() == histogram_of(some + others).pairs()
    assert both.count == len(some) + len(others)


@pytest.mark.parametrize("seconds", [0.0, -7200.0, 1e-9])
def test_no_duration_at_all_is_the_shortest_one(seconds: float) -> None:
    found = histogram_of([seconds]).percentile(50)
    assert found is not None
    assert 0 < found < 2e-6


def test_nothing_counted_has_no_percentiles() -> None:
    latency = Latency.of(Histogram(), -1.0)
    assert (latency.requests, latency.p50, latency.p99, latency.longest) == (0, None, None, None)
    assert latency.waited == 0.0


def test_an_hour_of_requests_stays_small() -> None:
    histogram = histogram_of([0.02 + n % 5000 / 1000 for n in range(60_000)])
    assert len(histogram.pairs()) < 300
