"""The frame of every benchmark: arguments, a table on standard output, files, an exit code.

The files are JSON and SVG.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

from . import machine
from .result import Result, as_text, write

RESULTS = Path(__file__).parent / "results"


def run(name: str, measure: Callable[[Result], None], *, about: str, takes: str) -> int:
    """Parse the command line, let `measure` fill in a Result, then show and keep it.

    Args:
        name: The name of the benchmark.
        measure: Fills in the Result.
        about: The description in the help.
        takes: How long the full form runs.

    Returns:
        The exit code: 0, or 1 if a fatal check failed. Bad usage exits with 2.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test of under half a minute, kept nowhere"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where JSON and SVG go (default: benchmarks/results, and nowhere with --quick)",
    )
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    output: Path | None = arguments.output or (None if quick else RESULTS)
    if not quick:
        print(f"benchmarks.{name}: the full form takes {takes}; --quick is shorter", flush=True)
    result = Result(
        name=name,
        command=f"python -m benchmarks.{name}" + (" --quick" if quick else ""),
        quick=quick,
        began=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        machine=machine.describe(),
    )
    began = time.perf_counter()
    measure(result)
    result.seconds = round(time.perf_counter() - began, 1)
    show(result)
    if output is not None:
        for path in write(result, output):
            print(f"written: {path}")
    return 0 if result.ok else 1


def show(result: Result) -> None:
    print(f"\n{result.machine}")
    print(f"{result.command}: {result.seconds:g} s, load at the beginning {result.machine.load:g}")
    for table in result.tables:
        print(f"\n{as_text(table)}")
    for title, lines in (("Notes", result.notes), ("Checks", [str(check) for check in result.checks])):
        if lines:
            print(f"\n{title}")
            for line in lines:
                print(f"- {line}")
