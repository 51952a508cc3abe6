"""A slow Redis: each of its responses is half a second late."""

from __future__ import annotations

from benchmarks.result import Check, wish

from .cells import Cell
from .ways import REDIS

#: Seconds by which each response is late.
DELAY = 0.5
#: Seconds of a window, and the work of all processes in windows. A look at the budget takes a
#: second or more, so windows must be longer than elsewhere.
PERIOD, WINDOWS = 12.0, 4


def slow_cells() -> list[Cell]:
    """With and without headers."""
    return [Cell(REDIS, 4, "aligned", headers, WINDOWS, PERIOD, DELAY) for headers in (True, False)]


def check_slow(cells: list[Cell]) -> list[Check]:
    """No process loses its budget."""
    return [
        wish(
            f"{cell}, Redis {cell.delay:g} s late: no process continues without its budget",
            holds=not any(done.alone for done in cell.done),
            found=f"{sum(done.alone for done in cell.done)} times",
        )
        for cell in cells
    ]
