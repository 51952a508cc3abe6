"""Numbers of several rounds as one: the median, and how far apart the rounds were."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Half the distance between lowest and highest, in percent of the median."""
    middle = statistics.median(values)
    return f"±{50 * (max(values) - min(values)) / middle:.0f} %" if middle else "-"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def to_worst(values: Sequence[float], form: str, worst: Callable[[Sequence[float]], float] = max) -> str:
    """`median..worst`, each formatted; one of them where they are the same."""
    middle, end = format(median(values), form), format(worst(values), form)
    return middle if middle == end else f"{middle}..{end}"
