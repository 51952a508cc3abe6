"""`python -m benchmarks.layers`: what a request costs above the wire, on it, and with a journal.

CPU time depends on the machine and its neighbours. Instructions, counted by valgrind's callgrind
where it is installed, do not. Both are differences between runs of two sizes, so that neither
contains the start of the process.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import msgspec

from benchmarks.command import run
from benchmarks.machine import ROOT
from benchmarks.result import Cell, Result, Table, wish
from benchmarks.server import Server, serve
from benchmarks.spread import median

#: The layers, and what they are.
WORDS = {
    "loop": "the event loop alone: one future for each request",
    "above": "assign_many above the wire: all responses are ready",
    "floor": "floor: asyncio.Protocol and prepared requests",
    "sdk": "assign_many",
    "echoed": "assign_many, each response shows its disk",
    "durable": "a durable run, each response shows its disk",
    "by_hand": "aiohttp by hand",
}
#: Numerator and denominator of a ratio, what it is, and the goal.
RATIOS = (
    ("sdk", "by_hand", "assign_many / aiohttp by hand", 0.33),
    ("echoed", "durable", "a run without its journal / with it", 0.80),
)


def main() -> int:
    return run(
        "layers",
        measure,
        about="CPU time and instructions of one request in each layer.",
        takes="about six minutes",
    )


def measure(result: Result) -> None:
    rounds, few, many = (1, 100, 300) if result.quick else (5, 1_000, 7_000)
    valgrind = None if result.quick else shutil.which("valgrind")
    seconds: dict[str, list[float]] = {layer: [] for layer in WORDS}
    instructions: dict[str, int] = {}
    with serve() as server:
        result.notes.append(f"server, in a process of its own: {server.name}")
        for number in range(rounds):
            for layer in WORDS:
                took = _seconds(layer, server, many) - _seconds(layer, server, few)
                seconds[layer].append(1e6 * took / (many - few))
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        if valgrind is not None:
            for layer in WORDS:
                more = _instructions(valgrind, layer, server, 1500) - _instructions(
                    valgrind, layer, server, 500
                )
                instructions[layer] = more // 1000
        elif not result.quick:
            result.notes.append("instructions were not counted: valgrind is not installed")
    rows: list[list[Cell]] = [
        [words, median(seconds[layer]), instructions.get(layer)] for layer, words in WORDS.items()
    ]
    result.tables.append(Table("One request", ["layer", "CPU µs", "instructions"], rows))
    above = [one - loop for one, loop in zip(seconds["above"], seconds["loop"], strict=True)]
    promise = "layers: an item needs at most 13 µs of CPU above the wire, without the event loop"
    result.checks.append(wish(promise, holds=median(above) <= 13, found=f"{median(above):.1f} µs"))
    for one, other, words, goal in RATIOS:
        ratio = median([a / b for a, b in zip(seconds[one], seconds[other], strict=True)])
        counted = f", instructions x {instructions[one] / instructions[other]:.2f}" if instructions else ""
        holds = ratio <= goal if goal < 0.5 else ratio >= goal
        promise = f"layers: CPU of {words}: {'at most' if goal < 0.5 else 'at least'} x {goal}"
        result.checks.append(wish(promise, holds=holds, found=f"x {ratio:.2f}{counted}"))
    result.data = {"seconds": seconds, "instructions": instructions}


def _command(layer: str, server: Server, n: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.layers.measured", layer, str(server.port), str(n)]


def _seconds(layer: str, server: Server, n: int) -> float:
    done = subprocess.run(_command(layer, server, n), cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=float)


def _instructions(valgrind: str, layer: str, server: Server, n: int) -> int:
    command = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", *_command(layer, server, n)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise AssertionError(f"valgrind counted nothing: {done.stderr[-500:]}")
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
