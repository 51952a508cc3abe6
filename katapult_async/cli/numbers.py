"""Parsers of numbers in options, with bounds and messages that name the expected range."""

from __future__ import annotations

import math
from collections.abc import Callable

import typer


def whole(lowest: int, highest: int | None = None) -> Callable[[str | float], int]:
    """Return a parser of whole numbers.

    Args:
        lowest: The smallest accepted number.
        highest: The largest accepted number. None for no bound.
    """
    expected = _expected("a whole number", lowest, highest)

    def parse(value: str | float) -> int:
        try:
            number = int(value)
        except ValueError:
            raise typer.BadParameter(f"expected {expected}, found {value!r}") from None
        if number < lowest or (highest is not None and number > highest):
            raise typer.BadParameter(f"expected {expected}, found {value}")
        return number

    return parse


def decimal(lowest: float, highest: float) -> Callable[[str | float], float]:
    """Return a parser of decimal numbers.

    Args:
        lowest: The smallest accepted number.
        highest: The largest accepted number.
    """
    expected = _expected("a number", lowest, highest)

    def parse(value: str | float) -> float:
        try:
            number = float(value)
        except ValueError:
            raise typer.BadParameter(f"expected {expected}, found {value!r}") from None
        if math.isnan(number) or not lowest <= number <= highest:
            raise typer.BadParameter(f"expected {expected}, found {value}")
        return number

    return parse


def _expected(kind: str, lowest: float, highest: float | None) -> str:
    if highest is None:
        return f"{kind} of at least {lowest:g}"
    return f"{kind} from {lowest:g} to {highest:,.10g}"
