"""`python -m benchmarks.throughput`: all clients in one run, interleaved, medians of several rounds."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import svg
from benchmarks.command import run
from benchmarks.peers import Missing, peer
from benchmarks.result import Cell, Check, Result, Table, wish
from benchmarks.server import Server, serve
from benchmarks.spread import median, spread

from .clients import (
    IN_FLIGHT,
    Contender,
    aiohttp_by_hand,
    aiohttp_msgspec,
    aiosonic_client,
    durable,
    httpx_client,
    niquests_session,
    sdk,
)
from .floor import floor

OURS = "katapult_async"
BY_HAND = "aiohttp by hand"
HTTPX = "httpx"
FLOOR = "floor: asyncio.Protocol + httptools"
CONTENDERS = (
    Contender(OURS, sdk()),
    Contender("katapult_async, aiohttp's own way over the wire", sdk(lean=False)),
    Contender("katapult_async, journal on", durable()),
    Contender("katapult_async, answers without rate headers", sdk(bare=True)),
    Contender(BY_HAND, aiohttp_by_hand),
    Contender("aiohttp + msgspec", aiohttp_msgspec),
    Contender(HTTPX, httpx_client, "httpx"),
    Contender("niquests", niquests_session, "niquests"),
    Contender("aiosonic", aiosonic_client, "aiosonic"),
    Contender(FLOOR, floor, "httptools"),
)
WARM_UP = 200
#: Items a second at which the journal must not be noticed.
PACE = 1000.0
PACED = (
    Contender("journal off", sdk(max_per_second=PACE)),
    Contender("journal on", durable(max_per_second=PACE)),
)


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
        paced = _rounds(PACED, server, n, rounds)
    result.tables += [_table(found, n, rounds), _paced_table(paced, n, rounds)]
    result.checks += _checks(found, paced)
    result.data["rounds"] = {name: [each._asdict() for each in many] for name, many in found.items()}
    # The floor would leave no room for the others.
    rates = [(name, median([each.rate for each in many])) for name, many in found.items() if name != FLOOR]
    result.plots["throughput.svg"] = svg.bars("Requests per second", rates, unit="a second")


def _rounds(contenders: Sequence[Contender], server: Server, n: int, rounds: int) -> dict[str, list[Round]]:
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
        work = send(n)
        gc.collect()
        busy, cpu, began = server.cpu_seconds(), time.process_time(), time.perf_counter()
        await work
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


def _paced_table(found: dict[str, list[Round]], n: int, rounds: int) -> Table:
    rows: list[list[Cell]] = [
        [
            name,
            median(rates := [each.rate for each in many]),
            spread(rates),
            median([each.cpu for each in many]),
        ]
        for name, many in found.items()
    ]
    return Table(
        f"With max_per_second={PACE:g}: {n:,} requests, {rounds} rounds",
        ["katapult_async", "requests/s", "spread", "CPU µs/request"],
        rows,
    )


def _checks(found: dict[str, list[Round]], paced: dict[str, list[Round]]) -> list[Check]:
    checks: list[Check] = []
    for other, least in ((BY_HAND, 1.0), (HTTPX, 8.0)):
        if other in found:
            ratio = _times(found[OURS], found[other])
            promise = f"throughput: at least {least:g} x {other}"
            checks.append(wish(promise, holds=ratio >= least, found=f"x {ratio:.2f}"))
    off, on = paced.values()
    cost = 100 * (_times(off, on) - 1)
    promise = f"the journal costs at most 5 % of the time at {PACE:g} items a second"
    checks.append(wish(promise, holds=cost <= 5, found=f"{cost:+.1f} %"))
    return checks


def _times(ours: list[Round], others: list[Round]) -> float:
    """The median over the rounds of how many times as fast."""
    return median([one.rate / other.rate for one, other in zip(ours, others, strict=True)])


if __name__ == "__main__":
    sys.exit(main())
