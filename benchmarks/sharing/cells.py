"""One measurement: so many processes share one limit in one way, on one kind of limiter."""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import msgspec

from benchmarks.result import Check, Table, wish
from benchmarks.scheduling.optimum import omniscient
from katapult_async.testing import Answers, Counting, KatapultEmulator, make_limiter

from .redis_server import calls, delayed
from .ways import FILE, REDIS, Done, Work

LIMIT = 100
#: A way may take so many times as long as there are windows of work.
MOST_WINDOWS = 3
LATENCY = (0.005, 0.02)
#: 429s that all processes together may get until they know the limit, and in each blocked window
#: after.
UNKNOWN, BLOCKED = 32, 6
#: Time over the optimum for twenty windows of work.
GOAL = 1.03
#: The part of the requests that may be refused while the store is slow, and on a server that
#: refuses bursts.
SLOW, BURST = 0.02, 0.01


@dataclass
class Cell:
    """One way on one kind of limiter, by so many processes.

    Args:
        way: The name of the way.
        processes: How many share the limit.
        kind: The kind of limiter.
        headers: Whether responses have rate limit headers.
        windows: The work of all together, in limits.
        period: Seconds of a window.
        delay: By how many seconds the responses of Redis are late.
    """

    way: str
    processes: int
    kind: str
    headers: bool
    windows: int
    period: float
    delay: float = 0.0
    done: list[Done] = field(default_factory=list[Done])
    elapsed: float = math.nan
    optimum: float = math.nan
    refusals: int = 0
    commands: int | None = None

    def __str__(self) -> str:
        headers = "headers" if self.headers else "no headers"
        return f"{self.way}, {self.processes} processes, {self.kind}, {headers}"

    @property
    def requests(self) -> int:
        return self.windows * LIMIT

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

    @property
    def most_refusals(self) -> int | None:
        """429s at most; None if nothing is promised."""
        if self.way not in (FILE, REDIS):
            return None
        if self.delay:
            return int(SLOW * self.requests) + (0 if self.headers else UNKNOWN + BLOCKED)
        if self.headers:
            return 0 if self.kind in {"aligned", "bucket"} else 2
        burst = int(BURST * self.requests) if self.kind == "burst" else 0
        return UNKNOWN + BLOCKED + burst

    @property
    def longest(self) -> float:
        """Seconds for twenty windows of work without headers, at most.

        Without headers, one window of the server's clock may be lost once.
        """
        return GOAL * self.optimum + (self.period if self.kind == "aligned" else 0.0)

    async def play(self, redis: str) -> None:
        """Measure it, with the Redis server at this URL."""
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            emulator = await stack.enter_async_context(
                KatapultEmulator(
                    disks=1,
                    counting=Counting(limit=LIMIT, limiter=self.kind, period=self.period),
                    answers=Answers(headers=self.headers),
                    latency=LATENCY,
                )
            )
            url = await stack.enter_async_context(delayed(redis, self.delay)) if self.delay else redis
            work = Work(
                self.way,
                emulator.url,
                emulator.disk_ids[0],
                self.requests // self.processes,
                LIMIT,
                self.period,
                url,
                folder,
            )
            processes = await asyncio.gather(*(start(work) for _ in range(self.processes)))
            # Begin in the middle of a window: right at a boundary the kinds cannot be told apart.
            await asyncio.sleep((0.4 * self.period - time.time()) % self.period)
            before = calls(redis)
            wall, began = time.time(), time.monotonic()
            patience = MOST_WINDOWS * self.windows * self.period
            self.done = await asyncio.gather(*(finish(process, work.n, patience) for process in processes))
            self.elapsed = max(max(done.at, default=began) for done in self.done) - began
            self.refusals = emulator.ledger.refusals
            if "Redis" in self.way:
                self.commands = calls(redis) - before
        self.optimum = omniscient(make_limiter(self.kind, LIMIT, self.period), self.requests, start=wall)[-1]


async def start(work: Work) -> Process:
    """Start a process, and return it when it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.sharing.process", stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(work) + b"\n")
    await process.stdin.drain()
    assert await process.stdout.readline() == b"ready\n", f"{work.way} does not start"
    return process


async def finish(process: Process, n: int, patience: float) -> Done:
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


def table(cells: list[Cell], title: str) -> Table:
    """A row for each cell."""
    columns = [
        "way",
        "processes",
        "limiter",
        "headers",
        "time x optimum",
        "windows more",
        "429s",
        "failed",
        "fairness",
        "calls of Redis a request",
    ]
    return Table(
        title,
        columns,
        [
            [
                cell.way,
                cell.processes,
                cell.kind,
                "yes" if cell.headers else "no",
                f"{cell.elapsed / cell.optimum:.3f}" if cell.elapsed else None,
                (cell.elapsed - cell.optimum) / cell.period if cell.elapsed else None,
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


def check_refusals(cells: list[Cell]) -> list[Check]:
    """The promises about 429s and failures."""
    return [
        Check(
            f"{cell}{_circumstances(cell)}: at most {most} 429s, nothing failed",
            cell.refusals <= most and not cell.failed,
            f"{cell.refusals} 429s, {cell.failed} failed",
        )
        for cell in cells
        if (most := cell.most_refusals) is not None
    ]


def check_times(cells: list[Cell]) -> list[Check]:
    """The goals for the time of twenty windows of work."""
    return [
        wish(
            f"{cell}{_circumstances(cell)}: within {GOAL - 1:.0%} of the optimum"
            + (", and one window once" if cell.kind == "aligned" else ""),
            holds=cell.elapsed <= cell.longest,
            found=f"x {cell.elapsed / cell.optimum:.3f},"
            f" {(cell.elapsed - cell.optimum) / cell.period:+.2f} windows",
        )
        for cell in cells
    ]


def _circumstances(cell: Cell) -> str:
    slow = f", Redis {cell.delay:g} s late" if cell.delay else ""
    return f"{slow}, {cell.windows} windows"
