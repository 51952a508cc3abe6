"""Round numbers for the axes of charts."""

from __future__ import annotations

import math

from katapult_async.words import count

_DIGITS = (1, 2, 4, 6, 10)


def round_up(value: float, *, lowest: float = 1.0) -> float:
    """Return the next of 1, 2, 4, 6, 10, 20, 40, …: a scale whose half is a plain number, too.

    Args:
        value: The largest value of a chart.
        lowest: The smallest result.
    """
    value = max(value, lowest)
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in _DIGITS if digit * power >= value)


def shown(value: float) -> str:
    """Return a number of an axis."""
    return count(round(value)) if value == round(value) else f"{value:g}"
