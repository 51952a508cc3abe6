"""`python -m benchmarks.throughput`: all clients in one run, with interleaved rounds.

The results are medians of several rounds.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
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
    pyreqwest_client,
    sdk,
)
from .floor import floor

OURS = "katapult_async"
BY_HAND = "aiohttp by hand"
HTTPX = "httpx"
ON_UVLOOP = "katapult_async, uvloop"
BY_HAND_ON_UVLOOP = "aiohttp by hand, uvloop"
FLOOR = "floor: asyncio.Protocol + httptools"
CONTENDERS = (
    Contender(OURS, sdk()),
    Contender("katapult_async, aiohttp's own way over the wire", sdk(fast_path=False)),
    Contender("katapult_async, answers without rate headers", sdk(bare=True)),
    Contender(BY_HAND, aiohttp_by_hand),
    Contender("aiohttp + msgspec", aiohttp_msgspec),
    Contender(ON_UVLOOP, sdk(), "uvloop", uvloop=True),
    Contender(BY_HAND_ON_UVLOOP, aiohttp_by_hand, "uvloop", uvloop=True),
    Contender(HTTPX, httpx_client(), "httpx"),
    Contender("httpx2", httpx_client("httpx2"), "httpx2"),
    Contender("pyreqwest (Rust)", pyreqwest_client, "pyreqwest"),
    Contender("niquests", niquests_session, "niquests"),
    Contender("aiosonic", aiosonic_client, "aiosonic"),
    Contender(FLOOR, floor, "httptools"),
)
WARM_UP = 200
#: Least requests of a round.
LEAST = 200
#: The same of a smoke test, in which no time counts.
QUICK = 40
#: Items a second at which the journal must not be noticed.
PACE = 1000.0
OFF, ON = "journal off", "journal on"
#: A durable run must be told the truth about each of its disks: both sides ask the place that does.
JOURNAL = (Contender(OFF, sdk(echo=True)), Contender(ON, durable()))
PACED = (
    Contender(OFF, sdk(echo=True, max_per_second=PACE)),
    Contender(ON, durable(max_per_second=PACE)),
)


class Round(NamedTuple):
    """One round of one client.

    Attributes:
        n: Requests.
        rate: Requests per second.
        cpu: Microseconds of CPU per request.
        server: Busy share of the server's one worker.
    """

    n: int
    rate: float
    cpu: float
    server: float


#: By the name of the client.
Rounds = dict[str, list[Round]]


def main() -> int:
    return run(
        "throughput",
        measure,
        about="Requests per second and CPU per request, with no limit and 32 requests in flight.",
        takes="about five minutes",
    )


def measure(result: Result) -> None:
    rounds, seconds = (2, 0.1) if result.quick else (11, 1.2)
    contenders: list[Contender] = []
    for contender in CONTENDERS:
        try:
            peer(contender.needs)
            contenders.append(contender)
        except Missing as missing:
            result.notes.append(f"{contender.name}: left out, not installed: {missing}")
    with serve() as server:
        result.data["server"] = server.name
        result.notes.append(f"server, in a process of its own: {server.name}")
        sizes = _sizes_of_smoke_test if result.quick else _sizes
        found = _rounds(contenders, server, sizes(contenders, server, seconds), rounds)
        journal = _rounds(JOURNAL, server, sizes(JOURNAL, server, seconds), rounds)
        paced_size = 100 if result.quick else 2000
        paced = _rounds(PACED, server, dict.fromkeys((OFF, ON), paced_size), rounds)
    result.tables += [
        _table(f"{IN_FLIGHT} in flight, {rounds} rounds of about {seconds:g} s for each client", found),
        _pairs(found, journal, paced),
        _two(f"A durable run, as fast as it goes, {rounds} rounds", journal),
        _two(f"With max_per_second={PACE:g}: {paced_size:,} items, {rounds} rounds", paced),
    ]
    result.checks += _checks(found, paced)
    for name, rounds_of in (("rounds", found), ("journal", journal), ("paced", paced)):
        result.data[name] = {client: [each._asdict() for each in many] for client, many in rounds_of.items()}
    # The floor would leave no room for the others.
    rates = [(name, median([each.rate for each in many])) for name, many in found.items() if name != FLOOR]
    result.plots["throughput.svg"] = svg.bars("Requests per second", rates, unit="a second")


def _sizes(contenders: Sequence[Contender], server: Server, seconds: float) -> dict[str, int]:
    """The requests of a round that keep each client busy for so long: the slow ones send fewer."""
    sizes: dict[str, int] = {}
    for contender in contenders:
        rate = _run(contender, server, LEAST).rate
        sizes[contender.name] = max(LEAST, round(rate * seconds / 100) * 100)
    return sizes


def _sizes_of_smoke_test(contenders: Sequence[Contender], _server: Server, _seconds: float) -> dict[str, int]:
    return {contender.name: QUICK for contender in contenders}


def _rounds(contenders: Sequence[Contender], server: Server, sizes: Mapping[str, int], rounds: int) -> Rounds:
    """Measure every client once in each round, in a random order.

    A disturbance of the machine then affects all clients alike.
    """
    found: Rounds = {contender.name: [] for contender in contenders}
    rng = random.Random(0)
    for number in range(rounds):
        for contender in rng.sample(contenders, len(contenders)):
            found[contender.name].append(_run(contender, server, sizes[contender.name]))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def _run(contender: Contender, server: Server, n: int) -> Round:
    """In an event loop of its own."""
    run_in_loop: Callable[[Coroutine[None, None, Round]], Round] = asyncio.run
    if contender.uvloop:
        run_in_loop = peer("uvloop").run
    return run_in_loop(_one(contender, server, n))


async def _one(contender: Contender, server: Server, n: int) -> Round:
    async with contender.open(server) as send:
        await send(min(WARM_UP, n))
        work = send(n)
        gc.collect()
        busy, cpu, began = server.cpu_seconds(), time.process_time(), time.perf_counter()
        await work
        elapsed = time.perf_counter() - began
        cpu = time.process_time() - cpu
        return Round(n, n / elapsed, 1e6 * cpu / n, (server.cpu_seconds() - busy) / elapsed)


def _table(title: str, found: Rounds) -> Table:
    """By hand is hand-written aiohttp on the same event loop."""
    on_uvloop = {contender.name for contender in CONTENDERS if contender.uvloop}
    rows: list[list[Cell]] = []
    for name, many in found.items():
        rates, cpus = [each.rate for each in many], [each.cpu for each in many]
        by_hand = found[BY_HAND_ON_UVLOOP if name in on_uvloop else BY_HAND]
        rows.append(
            [
                name,
                median(rates),
                spread(rates),
                median(cpus),
                spread(cpus),
                f"x {median(_cpu(many, by_hand)):.2f}",
                f"{100 * median([each.server for each in many]):.0f} %",
            ]
        )
    columns = ["client", "requests/s", "spread", "CPU µs/request", "spread", "CPU / by hand", "server busy"]
    return Table(title, columns, rows)


def _pairs(found: Rounds, journal: Rounds, paced: Rounds) -> Table:
    """What is promised or asked of two clients, from the rounds in which both were measured."""
    pairs = [
        ("katapult_async beside aiohttp by hand", found, OURS, BY_HAND),
        ("the same, both on uvloop", found, ON_UVLOOP, BY_HAND_ON_UVLOOP),
        ("katapult_async beside httpx", found, OURS, HTTPX),
        ("a durable run, as fast as it goes, beside the same without its journal", journal, ON, OFF),
        (f"the same, both at {PACE:g} items a second", paced, ON, OFF),
    ]
    rows: list[list[Cell]] = []
    for words, rounds, one, other in pairs:
        if one in rounds and other in rounds:
            times, cpu = _times(rounds[one], rounds[other]), _cpu(rounds[one], rounds[other])
            rows.append([words, f"x {median(times):.2f}", spread(times), f"x {median(cpu):.2f}", spread(cpu)])
    columns = ["one beside the other", "requests/s", "spread", "CPU/request", "spread"]
    return Table("Pairs of the same round", columns, rows)


def _two(title: str, found: Rounds) -> Table:
    rows: list[list[Cell]] = [
        [
            name,
            median(rates := [each.rate for each in many]),
            spread(rates),
            median(cpus := [each.cpu for each in many]),
            spread(cpus),
        ]
        for name, many in found.items()
    ]
    return Table(title, ["katapult_async", "requests/s", "spread", "CPU µs/request", "spread"], rows)


def _checks(found: Rounds, paced: Rounds) -> list[Check]:
    checks: list[Check] = []
    for words, other, least in (
        ("at least", BY_HAND, 1.0),
        ("the aim:", BY_HAND, 1.5),
        ("the stretch:", BY_HAND, 2.5),
        ("at least", HTTPX, 8.0),
    ):
        if other in found:
            ratio = median(_times(found[OURS], found[other]))
            promise = f"throughput: {words} {least:g} x {other}"
            checks.append(wish(promise, holds=ratio >= least, found=f"x {ratio:.2f}"))
    cost = 100 * (median(_times(paced[OFF], paced[ON])) - 1)
    promise = f"the journal costs at most 5 % of the time at {PACE:g} items a second"
    checks.append(wish(promise, holds=cost <= 5, found=f"{cost:+.1f} %"))
    return checks


def _times(one: list[Round], other: list[Round]) -> list[float]:
    """How many times as fast, round by round."""
    return [a.rate / b.rate for a, b in zip(one, other, strict=True)]


def _cpu(one: list[Round], other: list[Round]) -> list[float]:
    """How many times the CPU per request, round by round."""
    return [a.cpu / b.cpu for a, b in zip(one, other, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
