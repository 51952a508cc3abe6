"""`python -m benchmarks.sharing`: tables, and the promises about 429s, times and cost.

The program exits with 1 if a promise about 429s or failures is broken.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.command import run
from benchmarks.result import Result, Table
from benchmarks.server import serve

from .cells import LIMIT, Cell, check_refusals, check_times, table
from .cost import check_cost, cost_table, measure_cost
from .redis_server import redis_server
from .slow import check_slow, slow_cells
from .ways import FILE, OTHERS, REDIS, SDK, installed

KINDS = ("aligned", "fixed", "sliding", "bucket", "burst")
#: Seconds of a window, and the work of all processes in windows, with --quick.
QUICK_PERIOD, QUICK = 2.0, 2
#: The same for the comparison with others.
PERIOD, WINDOWS = 3.0, 5
#: The same for budgets that learn the limit. The time that a window costs (round trips, looks)
#: does not depend on its length. Longer windows are closer to the API's minute.
LONG_PERIOD, LONG = 6.0, 20
#: Rounds of the measurement of CPU, and seconds of each.
ROUNDS, SECONDS = 5, 5.0


def main() -> int:
    return run(
        "sharing",
        measure,
        about="Processes that share the limit of one token: time over the optimum, 429s, fairness, cost.",
        takes="about 40 minutes",
    )


def measure(result: Result) -> None:
    redis = shutil.which("redis-server")
    ways = [*SDK, *installed()]
    result.notes += [
        f"left out, not installed: {name} ({' and '.join(modules)})"
        for name, (modules, _) in OTHERS.items()
        if name not in ways
    ]
    if redis is None:
        result.notes.append("left out, without redis-server on PATH: all ways that need Redis")
        ways = [way for way in ways if "Redis" not in way]
    else:
        version = subprocess.run([redis, "--version"], capture_output=True, text=True, check=True).stdout
        result.notes.append(" ".join(version.split()[:3]))
    result.notes.append(
        "Celery's rate_limit is left out: it counts in each worker (its documentation says so), and shares nothing."
    )
    with redis_server(redis) as url:
        cells = list(_cells(ways, quick=result.quick))
        _play(cells, url)
        result.tables.append(_table(cells, "Processes that share a token"))
        result.checks += check_refusals(cells)
        if result.quick:
            return
        _twenty_windows(result, ways, url)
        if url:
            _slow_redis(result, url)
        _cost(result, url)
    one, five, fifteen = os.getloadavg()
    result.notes.append(
        f"load of the machine at the end, over 1, 5 and 15 minutes: {one:.1f}, {five:.1f}, {fifteen:.1f}"
    )


def _cells(ways: Sequence[str], *, quick: bool) -> Iterator[Cell]:
    period, windows = (QUICK_PERIOD, QUICK) if quick else (PERIOD, WINDOWS)
    for processes, kind in itertools.product((2,) if quick else (2, 4, 8), KINDS[:1] if quick else KINDS):
        if processes != 4 and kind != "aligned":
            continue
        for way in ways:
            yield Cell(way, processes, kind, way in SDK, windows, period)
            if way in (FILE, REDIS) and processes != 4 and not quick:
                yield Cell(way, processes, kind, headers=False, windows=windows, period=period)


def _play(cells: Sequence[Cell], url: str, *, together: int = 1) -> None:
    """Measure cells, so many at the same time."""

    async def play(group: Sequence[Cell]) -> None:
        await asyncio.gather(*(cell.play(url) for cell in group))

    for first in range(0, len(cells), together):
        group = cells[first : first + together]
        names = "; ".join(map(str, group))
        print(f"{first + len(group)}/{len(cells)} {names}", file=sys.stderr, flush=True)
        asyncio.run(play(group))


def _table(cells: list[Cell], title: str) -> Table:
    one = cells[0]
    return table(cells, f"{title}, {one.windows} L requests, L = {LIMIT} in {one.period:g} s")


def _twenty_windows(result: Result, ways: Sequence[str], url: str) -> None:
    """Budgets that learn the limit from the first 429.

    The file and Redis are measured at the same time, because the processes mostly wait.
    """
    budgets = [way for way in (FILE, REDIS) if way in ways]
    cells = [
        Cell(way, 4, kind, headers=False, windows=LONG, period=LONG_PERIOD)
        for kind in KINDS
        for way in budgets
    ]
    _play(cells, url, together=len(budgets))
    result.tables.append(_table(cells, "No headers, nothing known"))
    result.checks += check_refusals(cells) + check_times(cells)


def _slow_redis(result: Result, url: str) -> None:
    cells = slow_cells()
    _play(cells, url)
    result.tables.append(_table(cells, f"Each response of Redis {cells[0].delay:g} s late"))
    result.checks += check_refusals(cells) + check_slow(cells)


def _cost(result: Result, url: str) -> None:
    with serve() as server:
        result.notes.append(f"server for the cost, in a process of its own: {server.name}")
        costs = measure_cost(server, url, rounds=ROUNDS, seconds=SECONDS)
    result.tables.append(cost_table(costs, rounds=ROUNDS, seconds=SECONDS))
    result.checks += check_cost(costs)


if __name__ == "__main__":
    sys.exit(main())
