"""Compares two load tests: the difference of each percentile, and what the noise allows. Pure.

The interval comes from a block bootstrap. Neighbouring seconds are not independent: a stall or a
collection of garbage delays many requests together. So whole blocks of consecutive seconds are
drawn at random from each test, with replacement, and the percentiles of the drawn seconds are
compared. The middle 95 % of many such differences are the interval. A bound from the binomial
distribution of single requests would be too narrow, because it counts each delayed request of one
stall as a separate fact.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

import msgspec

from .errors import LoadError
from .histogram import Histogram
from .recording import COARSE
from .result import LoadResult, second_of

#: Percentiles that are compared.
PERCENTS = (50.0, 90.0, 95.0, 99.0, 99.9)
#: Drawings of the bootstrap, and the part of the differences that the interval holds.
_DRAWINGS = 400
_CONFIDENCE = 0.95
#: Fewer blocks than this say nothing about the noise.
_FEWEST_BLOCKS = 5
#: Blocks that a test is divided into, if it is long enough.
_BLOCKS = 12
#: The relative width of a bucket in the histograms of seconds.
_RESOLUTION = 0.01
#: Samples above a percentile that are needed to estimate it.
_ABOVE = 10

Verdict = Literal["faster", "slower", "no difference", "unknown"]


class Difference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The difference of one percentile between two tests, in seconds.

    Args:
        operation: The operation, or "all".
        percent: The percentile.
        one: Its value in the first test.
        other: Its value in the second test.
        lowest: The lower end of the 95 % interval of `other - one`. None if unknown.
        highest: The upper end. None if unknown.
        verdict: Whether the second test is faster or slower than the noise allows.
    """

    operation: str
    percent: float
    one: float
    other: float
    lowest: float | None
    highest: float | None
    verdict: Verdict


class ComparisonDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/load-comparison/1",
):
    """Two load tests side by side: `katapult-async load compare A B --json`."""

    one: str
    other: str
    both_valid: bool
    differences: list[Difference]


def compare(one: LoadResult, other: LoadResult, *, seed: int = 0) -> list[Difference]:
    """Compare the latency of two tests, for all operations and for each that both have.

    Args:
        one: The first test.
        other: The second test.
        seed: The same seed gives the same intervals.

    Returns:
        The differences, by operation and percentile.

    Raises:
        LoadError: If the tests have no operation in common.
        MissingExtra: If the package hdrhistogram is not installed.
    """
    common = sorted({o.operation for o in one.operations} & {o.operation for o in other.operations})
    if not common:
        raise LoadError("the two results have no operation in common")
    found: list[Difference] = []
    for operation in [None] if len(common) == 1 else [None, *common]:
        name = operation or (common[0] if len(common) == 1 else "all")
        found += _compare(name, one, other, operation, random.Random(seed))  # noqa: S311 - no secret
    return found


def _compare(
    name: str, one: LoadResult, other: LoadResult, operation: str | None, rng: random.Random
) -> list[Difference]:
    whole = one.histogram(operation), other.histogram(operation)
    seconds = _seconds(one, operation), _seconds(other, operation)
    drawn: list[list[float]] | None = None
    if min(len(part) for part in seconds) >= _FEWEST_BLOCKS:
        drawn = _drawn_differences(seconds[0], seconds[1], rng)
    found: list[Difference] = []
    for index, percent in enumerate(PERCENTS):
        values = whole[0].percentile(percent), whole[1].percentile(percent)
        enough = min(part.total for part in whole) * (1 - percent / 100) >= _ABOVE
        lowest = highest = None
        if drawn is not None and enough:
            lowest, highest = _interval([differences[index] for differences in drawn], values)
        found.append(
            Difference(
                operation=name,
                percent=percent,
                one=values[0],
                other=values[1],
                lowest=lowest,
                highest=highest,
                verdict=_verdict(lowest, highest),
            )
        )
    return found


def _seconds(result: LoadResult, operation: str | None) -> list[Histogram]:
    found: list[Histogram] = []
    for load_second in result.timeline:
        together = Histogram(COARSE)
        for name, latency in second_of(load_second).latency.items():
            if operation in (None, name):
                together.add(latency)
        if together.total:
            found.append(together)
    return found


def _drawn_differences(
    one: Sequence[Histogram], other: Sequence[Histogram], rng: random.Random
) -> list[list[float]]:
    found: list[list[float]] = []
    for _ in range(_DRAWINGS):
        values = [_drawn(seconds, rng).percentiles(*PERCENTS) for seconds in (one, other)]
        found.append([b - a for a, b in zip(values[0], values[1], strict=True)])
    return found


def _drawn(seconds: Sequence[Histogram], rng: random.Random) -> Histogram:
    """Return as many seconds as there are, in blocks. A block may go around the end."""
    length = max(1, len(seconds) // _BLOCKS)
    together = Histogram(COARSE)
    for _ in range(math.ceil(len(seconds) / length)):
        start = rng.randrange(len(seconds))
        for step in range(length):
            together.add(seconds[(start + step) % len(seconds)])
    return together


def _interval(differences: list[float], values: tuple[float, float]) -> tuple[float, float]:
    ordered = sorted(differences)
    tail = (1 - _CONFIDENCE) / 2
    lowest = ordered[math.floor(tail * len(ordered))]
    highest = ordered[math.ceil((1 - tail) * len(ordered)) - 1]
    width = _RESOLUTION * max(values)
    difference = values[1] - values[0]
    return min(lowest, difference) - width, max(highest, difference) + width


def _verdict(lowest: float | None, highest: float | None) -> Verdict:
    if lowest is None or highest is None:
        return "unknown"
    if lowest > 0:
        return "slower"
    return "faster" if highest < 0 else "no difference"
