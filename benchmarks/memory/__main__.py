"""`python -m benchmarks.memory`: measure each size in a fresh process.

The program exits with 1 if a large run needs more memory.
"""

from __future__ import annotations

import itertools
import subprocess
import sys

import msgspec

from benchmarks import svg
from benchmarks.command import run
from benchmarks.machine import ROOT
from benchmarks.result import Cell, Check, Result, Table, wish
from benchmarks.server import Server, serve

from .measured import FEW, Cost

#: Runs of FEW items after a large one.
RUNS_OF_FEW = 5
#: MiB by which the largest run may need more than the smallest one.
MOST_GROWTH = 60.0
#: A larger run may need this many bytes more for each additional item, and NOISE KiB in any case.
#: The least that a client could keep of an item, an outcome and its assignment, is larger.
MOST_PER_ITEM = 300
NOISE = 1024
WHO = {
    "sdk": "katapult_async, assign_many",
    "durable": "katapult_async, a durable run",
    "refused": "katapult_async, assign_many, every item refused",
    "gather": "aiohttp, gather over everything",
}


def main() -> int:
    return run(
        "memory",
        measure,
        about="Peak memory and event loop lag of bulk runs of several sizes, each in a process of its own.",
        takes="about ten minutes",
    )


def measure(result: Result) -> None:
    few = (2_000, 20_000) if result.quick else (10_000, 100_000)
    many = few if result.quick else (*few, 1_000_000)
    others = (1_000, 5_000) if result.quick else few
    sizes = {"sdk": many, "durable": many, "refused": others, "gather": others}
    runs_of_few = 1 if result.quick else RUNS_OF_FEW
    found: dict[str, list[Cost]] = {}
    with serve() as server:
        result.notes.append(f"server, in a process of its own: {server.name}")
        for who, counts in sizes.items():
            for n in counts:
                print(f"{WHO[who]}: {n:,}", file=sys.stderr, flush=True)
                found.setdefault(who, []).append(_measured(who, server, n, runs_of_few))
    result.tables += [_memory(found), _lag(found)]
    result.data |= {who: [msgspec.structs.asdict(cost) for cost in costs] for who, costs in found.items()}
    ours = found["sdk"]
    growth = (ours[-1].peak - ours[0].peak) / 1024
    result.checks.append(
        Check(
            f"memory: {ours[-1].n:,} assignments need at most {MOST_GROWTH:g} MiB more than {ours[0].n:,}",
            growth <= MOST_GROWTH,
            f"{growth:+.1f} MiB",
        )
    )
    result.checks += [kept_of_items(WHO[who], found[who]) for who in ("sdk", "durable")]
    largest = ours[-1]
    more = 100 * (largest.cpu / largest.n / (largest.cpu_of_few / FEW) - 1)
    promise = f"memory: an item of {largest.n:,} costs at most 10 % more CPU than one of {FEW:,} in the same process"
    result.checks.append(wish(promise, holds=more <= 10, found=f"{more:+.1f} %"))
    longest = 1000 * max(cost.lag_longest for cost in ours)
    promise = "memory: the event loop is never blocked for 50 ms"
    result.checks.append(wish(promise, holds=longest < 50, found=f"at most {longest:.1f} ms"))
    peaks = [(f"{WHO[who]}, {cost.n:,}", cost.peak / 1024) for who, costs in found.items() for cost in costs]
    result.plots["memory.svg"] = svg.bars("Peak memory", peaks, unit="MiB")


def kept_of_items(who: str, costs: list[Cost]) -> Check:
    """From each size to the next: what would be kept of every item would show."""
    steps = [
        (1024 * max(0, larger.peak - smaller.peak - NOISE) / (larger.n - smaller.n), larger, smaller)
        for smaller, larger in itertools.pairwise(costs)
    ]
    most, larger, smaller = max(steps, key=lambda step: step[0])
    return Check(
        f"memory: {who}: at most {MOST_PER_ITEM} bytes for each item more (beyond {NOISE // 1024} MiB in any case)",
        most <= MOST_PER_ITEM,
        f"at most {most:.0f} ({smaller.n:,} to {larger.n:,} items)",
    )


def _measured(who: str, server: Server, n: int, runs_of_few: int) -> Cost:
    url = {"refused": server.refusing_url, "durable": server.echo_url}.get(who, server.url)
    command = [sys.executable, "-m", "benchmarks.memory.measured", who, url, str(n), str(runs_of_few)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=Cost)


def _memory(found: dict[str, list[Cost]]) -> Table:
    rows: list[list[Cell]] = []
    for who, costs in found.items():
        for cost in costs:
            more, items = cost.peak - costs[0].peak, cost.n - costs[0].n
            per_item = f"{1024 * more / items:.1f}" if items else None
            rows.append([f"{WHO[who]}: {cost.n:,}", cost.before / 1024, cost.peak / 1024, per_item])
    return Table("Memory", ["run", "before, MiB", "peak, MiB", "bytes for each item more"], rows)


def _lag(found: dict[str, list[Cost]]) -> Table:
    rows: list[list[Cell]] = [
        [
            f"{WHO[who]}: {cost.n:,}",
            cost.elapsed,
            1e6 * cost.cpu / cost.n,
            1000 * cost.lag_median,
            1000 * cost.lag_99,
            1000 * cost.lag_longest,
        ]
        for who, costs in found.items()
        for cost in costs
    ]
    columns = ["run", "seconds", "CPU µs/item", "lag median, ms", "99 %, ms", "longest, ms"]
    return Table("How late the event loop was for a timer of 2 ms during the run", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
