"""`python -m benchmarks.throughput`: all clients in one run, interleaved, medians of several rounds."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from typing import NamedTuple

from benchmarks import svg
from benchmarks.command import run
from benchmarks.peers import Missing, peer
from benchmarks.result import Cell, Result, Table
from benchmarks.server import Server, serve
from benchmarks.spread import median, spread

from .clients import (
    IN_FLIGHT,
    Contender,
    aiohttp_by_hand,
    aiohttp_msgspec,
    aiosonic_client,
    httpx_client,
    niquests_session,
    sdk,
)
from .floor import floor

BY_HAND = "aiohttp by hand"
FLOOR = "floor: asyncio.Protocol + httptools"
CONTENDERS = (
    Contender("katapult_async", sdk()),
    Contender("katapult_async, answers without rate headers", sdk(bare=True)),
    Contender(BY_HAND, aiohttp_by_hand),
    Contender("aiohttp + msgspec", aiohttp_msgspec),
    Contender("httpx", httpx_client, "httpx"),
    Contender("niquests", niquests_session, "niquests"),
    Contender("aiosonic", aiosonic_client, "aiosonic"),
    Contender(FLOOR, floor, "httptools"),
)
WARM_UP = 200


class Round(NamedTuple):
    """Of one client: requests per second, microseconds of CPU per request, busy share of the server's one worker."""

    rate: float
    cpu: float
    server: float


def main() -> int:
    return run(
        "throughput",
        measure,
        about="Requests per second and CPU per request, with no limit and 32 requests in flight.",
        takes="about three minutes",
    )


def measure(result: Result) -> None:
    n, rounds = (500, 3) if result.quick else (2500, 11)
    contenders: list[Contender] = []
    for contender in CONTENDERS:
        try:
            peer(contender.needs)
            contenders.append(contender)
        except Missing as missing:
            result.notes.append(f"left out, not installed: {missing}")
    with serve() as server:
        result.data["server"] = server.name
        result.notes.append(f"server, in a process of its own: {server.name}")
        found = _rounds(contenders, server, n, rounds)
    result.tables.append(_table(found, n, rounds))
    result.data["rounds"] = {name: [each._asdict() for each in many] for name, many in found.items()}
    result.notes.append("the journal is off: nothing is written to disk")
    # The floor would leave no room for the others.
    rates = [(name, median([each.rate for each in many])) for name, many in found.items() if name != FLOOR]
    result.plots["throughput.svg"] = svg.bars("Requests per second", rates, unit="a second")


def _rounds(contenders: list[Contender], server: Server, n: int, rounds: int) -> dict[str, list[Round]]:
    """Each round measures every client once, in an order of its own: what disturbs the machine strikes all alike."""
    found: dict[str, list[Round]] = {contender.name: [] for contender in contenders}
    rng = random.Random(0)
    for number in range(rounds):
        for contender in rng.sample(contenders, len(contenders)):
            found[contender.name].append(asyncio.run(_one(contender, server, n)))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


async def _one(contender: Contender, server: Server, n: int) -> Round:
    async with contender.open(server) as send:
        await send(WARM_UP)
        gc.collect()
        busy, cpu, began = server.cpu_seconds(), time.process_time(), time.perf_counter()
        await send(n)
        elapsed = time.perf_counter() - began
        cpu = time.process_time() - cpu
        return Round(n / elapsed, 1e6 * cpu / n, (server.cpu_seconds() - busy) / elapsed)


def _table(found: dict[str, list[Round]], n: int, rounds: int) -> Table:
    by_hand = found[BY_HAND]
    rows: list[list[Cell]] = []
    for name, many in found.items():
        rates, cpus = [each.rate for each in many], [each.cpu for each in many]
        paired = [each.cpu / other.cpu for each, other in zip(many, by_hand, strict=True)]
        rows.append(
            [
                name,
                median(rates),
                spread(rates),
                median(cpus),
                spread(cpus),
                f"x {median(paired):.2f}",
                f"{100 * median([each.server for each in many]):.0f} %",
            ]
        )
    return Table(
        f"{IN_FLIGHT} in flight, {n:,} requests, {rounds} rounds",
        ["client", "requests/s", "spread", "CPU µs/request", "spread", "CPU / by hand", "server busy"],
        rows,
    )


if __name__ == "__main__":
    sys.exit(main())
