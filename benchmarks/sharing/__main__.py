"""`python -m benchmarks.sharing`: a table, and the promises about 429s.

The program exits with 1 if a promise is broken.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from benchmarks.command import run
from benchmarks.result import Check, Result, Table
from benchmarks.scheduling.optimum import omniscient
from katapult_async.testing import Answers, Counting, KatapultEmulator, make_limiter

from .ways import FILE, NO_BUDGET, OTHERS, REDIS, SDK, Done, Work, installed

KINDS = ("aligned", "fixed", "sliding", "bucket", "burst")
LIMIT = 100
#: A way may take so many times as long as there are windows of work.
MOST_WINDOWS = 3
LATENCY = (0.005, 0.02)
#: 429s that one process may meet until it knows the limit, and in each blocked window after.
UNKNOWN, BLOCKED = 32, 6


@dataclass
class Cell:
    """One way on one kind of limiter, by so many processes."""

    way: str
    processes: int
    kind: str
    headers: bool
    done: list[Done] = field(default_factory=list[Done])
    elapsed: float = math.nan
    optimum: float = math.nan
    refusals: int = 0
    commands: int | None = None

    @property
    def failed(self) -> int:
        return sum(done.failed for done in self.done)

    @property
    def fairness(self) -> float:
        """Jain's index of what each has done while all had work."""
        end = min((max(done.at) for done in self.done if done.at), default=math.inf)
        shares = [sum(at <= end for at in done.at) for done in self.done]
        squares = len(shares) * sum(share * share for share in shares)
        return sum(shares) ** 2 / squares if squares else math.nan

    def promised(self, windows: int) -> int | None:
        """429s at most; None if nothing is promised."""
        if self.way not in (FILE, REDIS):
            return None
        if self.headers:
            return 0 if self.kind in {"aligned", "bucket"} else 2
        return UNKNOWN + BLOCKED * windows


def main() -> int:
    return run(
        "sharing",
        measure,
        about="Processes that share the limit of one token: time over the optimum, 429s, fairness.",
        takes="about a quarter of an hour",
    )


def measure(result: Result) -> None:
    period, windows = (2.0, 2) if result.quick else (3.0, 5)
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
    result.notes.append(
        "Celery's rate_limit is left out: it counts in each worker (its documentation says so), and shares nothing."
    )
    cells = list(_cells(ways, quick=result.quick))
    with _redis(redis) as url:
        for number, cell in enumerate(cells, 1):
            print(f"{number}/{len(cells)} {cell.way}, {cell.kind}", file=sys.stderr, flush=True)
            asyncio.run(_play(cell, windows * LIMIT, period, url))
    result.tables.append(_table(cells, f"{windows} L requests, L = {LIMIT} in {period:g} s"))
    result.checks += _checks(cells, windows)


def _cells(ways: Sequence[str], *, quick: bool) -> Iterator[Cell]:
    for processes, kind in itertools.product((2,) if quick else (2, 4, 8), KINDS[:1] if quick else KINDS):
        if processes != 4 and kind != "aligned":
            continue
        for way in ways:
            yield Cell(way, processes, kind, headers=way in SDK)
            if way in SDK and way != NO_BUDGET and not quick:
                yield Cell(way, processes, kind, headers=False)


async def _play(cell: Cell, n: int, period: float, redis: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with KatapultEmulator(
            disks=1,
            counting=Counting(limit=LIMIT, limiter=cell.kind, period=period),
            answers=Answers(headers=cell.headers),
            latency=LATENCY,
        ) as emulator:
            work = Work(
                cell.way,
                emulator.url,
                emulator.disk_ids[0],
                n // cell.processes,
                LIMIT,
                period,
                redis,
                folder,
            )
            processes = await asyncio.gather(*(_start(work) for _ in range(cell.processes)))
            # Begin in the middle of a window: right at a boundary the kinds cannot be told apart.
            await asyncio.sleep((0.4 * period - time.time()) % period)
            before = _commands(redis)
            start, began = time.time(), time.monotonic()
            patience = MOST_WINDOWS * n / LIMIT * period
            cell.done = await asyncio.gather(*(_finish(process, work.n, patience) for process in processes))
            cell.elapsed = max(max(done.at, default=began) for done in cell.done) - began
            cell.refusals = emulator.ledger.refusals
            if "Redis" in cell.way:
                cell.commands = _commands(redis) - before
    cell.optimum = omniscient(make_limiter(cell.kind, LIMIT, period), n, start=start)[-1]


async def _finish(process: Process, n: int, patience: float) -> Done:
    """Return what one process has done.

    A process that takes far too long is killed, and all of its work counts as failed.
    """
    try:
        out, _ = await asyncio.wait_for(process.communicate(b"go\n"), patience)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return Done([], n)
    return msgspec.json.decode(out, type=Done)


async def _start(work: Work) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.sharing.process", stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(work) + b"\n")
    await process.stdin.drain()
    assert await process.stdout.readline() == b"ready\n", f"{work.way} does not start"
    return process


@contextmanager
def _redis(program: str | None) -> Iterator[str]:
    if program is None:
        yield ""
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
    )
    url = f"redis://127.0.0.1:{port}/0"
    try:
        while not _answers(port):
            time.sleep(0.01)
        yield url
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _commands(url: str) -> int:
    """Commands that the server has carried out, those of scripts not counted."""
    if not url:
        return 0
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))) as connection:
        connection.sendall(b"INFO commandstats\r\n")
        text = connection.recv(1 << 16).decode()
    names = ("eval", "evalsha", "set", "publish")
    counts = {
        line.partition(":")[0].removeprefix("cmdstat_"): int(line.partition("calls=")[2].partition(",")[0])
        for line in text.splitlines()
        if line.startswith("cmdstat_")
    }
    return sum(counts.get(name, 0) for name in names[:3])


def _table(cells: Sequence[Cell], title: str) -> Table:
    return Table(
        f"Processes that share a token, {title}",
        [
            "way",
            "processes",
            "limiter",
            "headers",
            "time x optimum",
            "429s",
            "failed",
            "fairness",
            "calls of Redis a request",
        ],
        [
            [
                cell.way,
                cell.processes,
                cell.kind,
                "yes" if cell.headers else "no",
                cell.elapsed / cell.optimum if cell.elapsed else None,
                cell.refusals,
                cell.failed,
                cell.fairness,
                cell.commands / answered
                if cell.commands is not None and (answered := sum(len(done.at) for done in cell.done))
                else None,
            ]
            for cell in cells
        ],
    )


def _checks(cells: Sequence[Cell], windows: int) -> list[Check]:
    checks: list[Check] = []
    for cell in cells:
        promised = cell.promised(windows)
        if promised is None:
            continue
        with_headers = "headers" if cell.headers else "no headers"
        checks.append(
            Check(
                f"{cell.way}, {cell.processes} processes, {cell.kind}, {with_headers}: at most {promised} 429s,"
                " nothing failed",
                cell.refusals <= promised and not cell.failed,
                f"{cell.refusals} 429s, {cell.failed} failed",
            )
        )
    return checks


if __name__ == "__main__":
    sys.exit(main())
