"""The plots of one load test, and of two. Pure: results in, plots out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from katapult_async.load.histogram import Histogram
from katapult_async.load.recording import COARSE
from katapult_async.load.result import LoadResult, LoadSecond, second_of
from katapult_async.page import shown
from katapult_async.words import milliseconds

from .plot import Plot, Points, Series

#: Seconds are joined, so that a long test has at most this many points.
_MOST_POINTS = 400
#: The percentile curve ends where fewer than this many calls are above.
_NINES = (
    (0.0, "p0"),
    (0.9, "p90"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
    (0.99999, "p99.999"),
)
#: Classes of styles for the tests A and B.
_KINDS = ("one", "two")


class Span(NamedTuple):
    """Some consecutive seconds, joined.

    Args:
        at: Their first second.
        length: Number of seconds.
        latency: Latency of the calls that were due in them.
        offered: Calls that were due, per second.
        ended: Calls that ended, per second.
        failed: Calls that failed, per second.
        rate_limited: 429s, per second.
    """

    at: int
    length: int
    latency: Histogram
    offered: float
    ended: float
    failed: float
    rate_limited: float


def spans(result: LoadResult) -> list[Span]:
    """Return the seconds of a test, joined if there are many."""
    by_number = {second.second: second for second in result.timeline}
    seconds = max(math.ceil(result.duration), 1)
    length = math.ceil(seconds / _MOST_POINTS)
    found: list[Span] = []
    for start in range(0, seconds, length):
        numbers = range(start, min(start + length, seconds))
        found.append(_span(start, length, [by_number[n] for n in numbers if n in by_number]))
    return found


def _span(at: int, length: int, seconds: Sequence[LoadSecond]) -> Span:
    latency = Histogram(COARSE)
    for second in seconds:
        for histogram in second_of(second).latency.values():
            latency.add(histogram)
    return Span(
        at,
        length,
        latency,
        sum(second.offered for second in seconds) / length,
        sum(second.ended for second in seconds) / length,
        sum(second.failed for second in seconds) / length,
        sum(second.rate_limited for second in seconds) / length,
    )


def latency_over_time(result: LoadResult, found: Sequence[Span]) -> Plot:
    """Return the plot of p50, p99 and the maximum in each of the spans of a test."""
    series = [
        Series("three", _points(found, lambda span: span.latency.max)),
        Series("one", _points(found, lambda span: span.latency.percentile(50))),
        Series("two", _points(found, lambda span: span.latency.percentile(99))),
    ]
    return _over_time("Latency by the second in which calls were due", series, [result], milliseconds, 0.001)


def compared_latency(one: LoadResult, other: LoadResult) -> Plot:
    """Return the plot of the p99 of two tests in each second."""
    series = [
        Series(kind, _points(spans(result), lambda span: span.latency.percentile(99)))
        for kind, result in zip(_KINDS, (one, other), strict=True)
    ]
    return _over_time("p99 by the second in which calls were due", series, [one, other], milliseconds, 0.001)


def percentile_curve(*results: LoadResult) -> Plot:
    """Return the plot of latency by percentile. Each further nine has the same width."""
    histograms = [result.histogram() for result in results]
    most = max((histogram.total for histogram in histograms), default=1)
    x_end = max(math.log10(max(most, 10)), 1.0)
    series = [Series(kind, _curve(histogram)) for kind, histogram in zip(_KINDS, histograms, strict=False)]
    ticks = [(_nines(part), name) for part, name in _NINES if _nines(part) <= x_end]
    return Plot(
        title="Latency by percentile",
        series=series,
        x_end=x_end,
        ticks=ticks,
        value=milliseconds,
        lowest=0.001,
    )


def _curve(histogram: Histogram) -> Points:
    most = _nines(1 - 1 / max(histogram.total, 2))
    # The last bucket holds 100 %, which would be infinitely far away.
    points = [(min(_nines(percent / 100), most), seconds) for percent, seconds in histogram.curve()]
    return [(0.0, points[0][1]), *points] if points else []


def _nines(part: float) -> float:
    return -math.log10(1 - part) if part < 1 else math.inf


def throughput(result: LoadResult, found: Sequence[Span]) -> Plot:
    """Return the plot of offered and ended calls per second."""
    series = [
        Series("one", _points(found, lambda span: span.ended)),
        Series("two", _points(found, lambda span: span.offered)),
    ]
    return _over_time("Calls per second", series, [result], shown, 1.0)


def compared_throughput(one: LoadResult, other: LoadResult) -> Plot:
    """Return the plot of the ended calls of two tests per second."""
    series = [
        Series(kind, _points(spans(result), lambda span: span.ended))
        for kind, result in zip(_KINDS, (one, other), strict=True)
    ]
    return _over_time("Calls per second that ended", series, [one, other], shown, 1.0)


def errors(result: LoadResult, found: Sequence[Span]) -> Plot:
    """Return the plot of failed calls and 429s per second."""
    series = [
        Series("two", _points(found, lambda span: span.rate_limited)),
        Series("bad", [(span.at, span.failed) for span in found], bars=True),
    ]
    return _over_time("Errors and 429s per second", series, [result], shown, 1.0)


def compared_errors(one: LoadResult, other: LoadResult) -> Plot:
    """Return the plot of the failed calls of two tests per second."""
    series = [
        Series(kind, _points(spans(result), lambda span: span.failed))
        for kind, result in zip(_KINDS, (one, other), strict=True)
    ]
    return _over_time("Errors per second", series, [one, other], shown, 1.0)


def _points(found: Sequence[Span], value: Callable[[Span], float]) -> Points:
    return [(span.at + span.length / 2, value(span)) for span in found]


def _over_time(
    title: str,
    series: Sequence[Series],
    results: Sequence[LoadResult],
    value: Callable[[float], str],
    lowest: float,
) -> Plot:
    end = max(*(math.ceil(result.duration) for result in results), 1)
    step = next((s for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if end / s <= 12), 3600)
    ticks = [(float(at), f"{at} s") for at in range(0, end + 1, step)]
    return Plot(title=title, series=series, x_end=float(end), ticks=ticks, value=value, lowest=lowest)
