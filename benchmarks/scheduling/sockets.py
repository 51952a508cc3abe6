"""The same over real sockets: the emulator with a window of a few seconds, real HTTP, real clocks.

Only policies that scale to a short window run here. Back-off in seconds does not scale. All cells
run at the same time, each with a server of its own, far below the capacity of the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.peers import Missing, peer
from benchmarks.result import Check, Table
from katapult_async import Assignment, Client, OutcomeStatus
from katapult_async.testing import Answers, Counting, KatapultEmulator, make_limiter

from .optimum import omniscient

LIMIT = 150
MACHINES = 64


@dataclass
class Cell:
    """One policy on one kind of limiter. promised: 429s at most, None if nothing is promised."""

    policy: str
    kind: str
    headers: bool
    promised: int | None
    run: Callable[[KatapultEmulator, int, float], Awaitable[int]]
    refusals: int = 0
    failed: int = 0
    elapsed: float = 0.0
    optimum: float = 0.0


def _pairs(emulator: KatapultEmulator, n: int) -> Iterator[Assignment]:
    machines = emulator.virtual_machine_ids
    return (Assignment(disk, machines[i % len(machines)]) for i, disk in enumerate(emulator.disk_ids[:n]))


def _sdk(total_permitted: int | None) -> Callable[[KatapultEmulator, int, float], Awaitable[int]]:
    async def run(emulator: KatapultEmulator, n: int, period: float) -> int:
        async with Client(
            "token", base_url=emulator.url, rate_window=period, total_permitted=total_permitted
        ) as client:
            report = await client.disks.assign_many(_pairs(emulator, n))
        return n - report.counts.get(OutcomeStatus.ASSIGNED, 0)

    return run


async def _post(session: aiohttp.ClientSession, emulator: KatapultEmulator, pair: Assignment) -> bool:
    body = {"disk": {"id": pair.disk}, "virtual_machine": {"id": pair.virtual_machine}}
    async with session.post(f"{emulator.url}/disks/disk/assign", json=body) as response:
        await response.read()
        return response.status == 200


async def _async_limiter(emulator: KatapultEmulator, n: int, period: float) -> int:
    limiter = AsyncLimiter(LIMIT, period)
    flight = asyncio.Semaphore(32)
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer token"}) as session:

        async def one(pair: Assignment) -> bool:
            async with flight, limiter:
                return await _post(session, emulator, pair)

        return n - sum(await asyncio.gather(*(one(pair) for pair in _pairs(emulator, n))))


async def _aiometer(emulator: KatapultEmulator, n: int, period: float) -> int:
    done = 0
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer token"}) as session:

        async def one(pair: Assignment) -> None:
            nonlocal done
            ok = await _post(session, emulator, pair)
            done += ok

        pairs = list(_pairs(emulator, n))
        await peer("aiometer").run_on_each(one, pairs, max_at_once=32, max_per_second=LIMIT / period)
    return n - done


def _cells(*, quick: bool) -> Iterator[Cell]:
    for kind in ("aligned",) if quick else ("aligned", "sliding", "bucket"):
        # One window may pass before a sliding one is known from an aligned one: at most two 429s.
        yield Cell(
            "katapult_async, headers", kind, True, 0 if kind in {"aligned", "bucket"} else 2, _sdk(None)
        )
        yield Cell("katapult_async, limit told, no headers", kind, False, 0, _sdk(LIMIT))
        if not quick:
            yield Cell("katapult_async, no headers", kind, False, 32 + 6 * 6, _sdk(None))
        yield Cell("AsyncLimiter(L, window)", kind, False, None, _async_limiter)
        try:
            peer("aiometer")
        except Missing:
            continue
        yield Cell("aiometer, L/window", kind, False, None, _aiometer)


async def _play(cell: Cell, n: int, period: float) -> None:
    async with KatapultEmulator(
        disks=n,
        virtual_machines=MACHINES,
        counting=Counting(limit=LIMIT, limiter=cell.kind, period=period),
        answers=Answers(headers=cell.headers),
        latency=(0.005, 0.02),
    ) as emulator:
        start, began = time.time(), time.perf_counter()
        cell.failed = await cell.run(emulator, n, period)
        cell.elapsed = time.perf_counter() - began
        cell.optimum = omniscient(make_limiter(cell.kind, LIMIT, period), n, start=start)[-1]
        cell.refusals = emulator.ledger.refusals


async def _all(cells: list[Cell], n: int, period: float) -> None:
    # Begin in the middle of a window: right at a boundary the kinds cannot be told apart.
    await asyncio.sleep((0.4 * period - time.time()) % period)
    await asyncio.gather(*(_play(cell, n, period) for cell in cells))


def over_sockets(*, quick: bool) -> tuple[Table, list[Check]]:
    """A table, and the checks of 429s (never of a time)."""
    period, windows = (2.0, 3) if quick else (4.0, 6)
    cells = list(_cells(quick=quick))
    asyncio.run(_all(cells, windows * LIMIT, period))
    table = Table(
        f"Over real sockets: {windows} L requests, L = {LIMIT} in {period:g} s",
        ["policy", "limiter", "seconds", "optimum", "429s", "failed"],
        [[cell.policy, cell.kind, cell.elapsed, cell.optimum, cell.refusals, cell.failed] for cell in cells],
    )
    checks = [
        Check(
            f"over sockets, {cell.kind}, {cell.policy}: at most {cell.promised} 429s, nothing failed",
            cell.refusals <= cell.promised and not cell.failed,
            f"{cell.refusals} 429s, {cell.failed} failed",
        )
        for cell in cells
        if cell.promised is not None
    ]
    return table, checks
