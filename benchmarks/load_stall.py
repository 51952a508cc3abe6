"""`python -m benchmarks.load_stall`: the same stall of a server in an open and in a closed loop.

An emulator stalls for two seconds in the middle of a minute. The open loop sends on, and counts
latency from when a call was due. Each user of the closed loop waits, so hardly any call of it is
slow. The picture goes to docs/how-to/load-stall.svg, which the guide shows.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from benchmarks import svg
from benchmarks.command import run
from benchmarks.machine import ROOT
from benchmarks.result import Cell, Check, Result, Table
from benchmarks.svg import COLOURS, Chart, Series
from katapult_async.load import (
    ClosedLoop,
    FixedRate,
    LoadResult,
    LoadTest,
    OpenLoop,
    Plan,
    ReadDisk,
    Schedule,
)
from katapult_async.load.page.charts import spans

PICTURE = ROOT / "docs" / "how-to" / "load-stall.svg"
RATE, USERS, STALL = 500, 10, 2.0
OPEN, CLOSED = COLOURS[1], COLOURS[0]
#: An emulator that stalls for as many seconds as a line of its input says, until its input ends.
SERVER = """
import asyncio, sys
from katapult_async.testing import KatapultEmulator

async def main():
    async with KatapultEmulator(disks=100, virtual_machines=10, limit=1_000_000) as emulator:
        print(emulator.url, *emulator.disk_ids, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            emulator.stall(float(line))

asyncio.run(main())
"""


def main() -> int:
    return run(
        "load_stall",
        measure,
        about="The same stall of a server in an open and in a closed loop.",
        takes="two minutes",
    )


def measure(result: Result) -> None:
    duration = 6.0 if result.quick else 60.0
    schedules: tuple[Schedule, Schedule] = (
        OpenLoop(arrivals=FixedRate(RATE)),
        # As many calls per second as the open loop sends, while the server does not stall.
        ClosedLoop(in_flight=USERS, think=USERS / RATE),
    )
    one, other = (_test(schedule, duration) for schedule in schedules)
    columns = ["loop", "calls", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "calls over 1 s", "valid"]
    rows: list[list[Cell]] = [
        [
            name,
            found.offered,
            *(1000 * value for value in (found.latency.p50, found.latency.p99, found.latency.p999)),
            1000 * found.latency.max,
            found.histogram().above(1.0),
            "yes" if found.valid else "no",
        ]
        for name, found in (("open", one), ("closed", other))
    ]
    result.tables.append(Table(f"{duration:g} s with a stall of {STALL:g} s", columns, rows))
    # 1 % of the calls are due while 1 % of the duration passes. On top comes the time in which the
    # server works off its backlog.
    expected = STALL - 0.01 * duration
    shown = one.latency.p99 >= expected - 0.01
    found = f"{one.latency.p99:.2f} s"
    promise = f"load_stall: the p99 of the open loop is at least {expected:.2f} s"
    result.checks.append(Check(promise, shown, found))
    result.plots["load-stall.svg"] = picture(one, other)
    if not result.quick:
        PICTURE.write_text(result.plots["load-stall.svg"])
        print(f"written: {Path('docs', 'how-to', PICTURE.name)}")


def _test(schedule: Schedule, duration: float) -> LoadResult:
    """Run one test against an emulator in a process of its own, which stalls in the middle."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    commands, stalled = server.stdin, False
    with server:
        url, *disks = server.stdout.readline().split()
        test = LoadTest(ReadDisk(disks), Plan(schedule=schedule, duration=duration))

        def stall_in_the_middle() -> None:
            nonlocal stalled
            middle = (duration - STALL) / 2
            if test.runner is not None and test.runner.elapsed >= middle and not stalled:
                stalled = True
                print(STALL, file=commands, flush=True)

        try:
            return asyncio.run(test.run("token", base_url=url, progress=stall_in_the_middle))
        finally:
            commands.close()  # ends the server


def picture(one: LoadResult, other: LoadResult) -> str:
    """Latency over time, and of the slowest calls, of both loops."""
    pairs = (("open loop", one, OPEN), ("closed loop", other, CLOSED))
    over_time = Chart(
        "p99 of each second",
        "seconds",
        "latency in s",
        [
            Series(name, [(span.at, span.latency.percentile(99)) for span in spans(found)], "step", colour)
            for name, found, colour in pairs
        ],
        x_end=float(round(one.duration)),
        y_end=STALL * 1.25,
    )
    histograms = [(name, found.histogram(), colour) for name, found, colour in pairs]
    slowest = [0.01 * step for step in range(501)]
    by_percentile = Chart(
        "The slowest calls",
        "percent of the calls that are slower",
        "latency in s",
        [
            Series(name, [(part, histogram.percentile(100 - part)) for part in slowest], "line", colour)
            for name, histogram, colour in histograms
        ],
        x_end=5.0,
        y_end=STALL * 1.25,
    )
    return svg.draw([over_time, by_percentile], columns=2)


if __name__ == "__main__":
    sys.exit(main())
