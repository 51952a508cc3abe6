"""`python -m benchmarks.load`: how punctual the calls of an open loop are.

The server is a process of its own that answers at once. The lag of a call is the time from when it
was due until it started. Latency includes it, so it must be small.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.command import run
from benchmarks.result import Cell, Result, Table, wish
from benchmarks.server import DISK, serve
from katapult_async.load import FixedRate, LoadResult, LoadTest, OpenLoop, Plan, Poisson, ReadDisk

#: Calls per second, and the seconds of each rate.
RATES = (500, 1000, 2000, 3000)
TARGET, PUNCTUAL, PART = 2000, 0.005, 0.99


def main() -> int:
    return run(
        "load",
        measure,
        about="How punctual the calls of an open loop are.",
        takes="about a minute and a half",
    )


def measure(result: Result) -> None:
    seconds, rates = (1.0, (TARGET,)) if result.quick else (10.0, RATES)
    rows: list[list[Cell]] = []
    with serve() as server:
        for rate in rates:
            for name, arrivals in (("fixed", FixedRate(rate)), ("Poisson", Poisson(rate))):
                plan = Plan(schedule=OpenLoop(arrivals=arrivals), duration=seconds, warm_up=0.5)
                found = asyncio.run(LoadTest(ReadDisk([DISK]), plan).run("token", base_url=server.url))
                rows.append(_row(f"{rate:,}/s {name}", found))
                if rate == TARGET:
                    part = punctual(found)
                    promise = f"load: {PART:.0%} of {rate:,} calls a second ({name}) start within 5 ms"
                    result.checks.append(wish(promise, holds=part >= PART, found=f"{part:.2%}"))
        result.notes.append(f"the server is {server.name}, in a process of its own")
    columns = ["calls", "lag p50 ms", "lag p99 ms", "lag max ms", "within 5 ms", "latency p99 ms", "valid"]
    result.tables.append(Table(f"Open loops of {seconds:g} s", columns, rows))


def punctual(found: LoadResult) -> float:
    """The part of the calls that started within 5 ms of when they were due."""
    from katapult_async.load.result import histogram_of

    lag = histogram_of(found.lag)
    return 1 - lag.above(PUNCTUAL) / max(lag.total, 1)


def _row(name: str, found: LoadResult) -> list[Cell]:
    lag = found.lag
    values: list[Cell] = [1000 * lag.p50, 1000 * lag.p99, 1000 * lag.max]
    return [name, *values, f"{punctual(found):.2%}", 1000 * found.latency.p99, "yes" if found.valid else "no"]


if __name__ == "__main__":
    sys.exit(main())
