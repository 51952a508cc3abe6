"""`python -m benchmarks.manifest`: measure each size in a fresh process.

The program exits with 1 if a large manifest needs more memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

import msgspec

from benchmarks import svg
from benchmarks.command import run
from benchmarks.machine import ROOT
from benchmarks.result import Cell, Check, Result, Table

from .measured import Cost

#: MiB by which the largest manifest may need more than the smallest one.
MOST_GROWTH = 60.0


def main() -> int:
    return run(
        "manifest",
        measure,
        about="Peak memory and time of manifests of several sizes: checked, made into a run, read through.",
        takes="about a minute",
    )


def measure(result: Result) -> None:
    sizes = (1_000, 50_000) if result.quick else (10_000, 100_000, 1_000_000)
    costs: list[Cost] = []
    for lines in sizes:
        print(f"{lines:,} lines", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
            command = [sys.executable, "-m", "benchmarks.manifest.measured", directory, str(lines)]
            subprocess.run([*command, "write"], cwd=ROOT, check=True)
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        costs.append(msgspec.json.decode(done.stdout, type=Cost))
    result.tables.append(_table(costs))
    result.data["costs"] = [msgspec.structs.asdict(cost) for cost in costs]
    growth = (costs[-1].peak - costs[0].peak) / 1024
    result.checks.append(
        Check(
            f"memory: a manifest of {costs[-1].lines:,} lines needs at most {MOST_GROWTH:g} MiB more than one of"
            f" {costs[0].lines:,}",
            growth <= MOST_GROWTH,
            f"{growth:+.1f} MiB",
        )
    )
    peaks = [(f"{cost.lines:,} lines", cost.peak / 1024) for cost in costs]
    result.plots["manifest.svg"] = svg.bars("Peak memory", peaks, unit="MiB")


def _table(costs: list[Cost]) -> Table:
    rows: list[list[Cell]] = [
        [
            f"{cost.lines:,}",
            cost.peak / 1024,
            *(1e6 * seconds / cost.lines for seconds in (cost.check, cost.create, cost.read)),
            cost.journal / cost.lines,
        ]
        for cost in costs
    ]
    columns = ["lines", "peak, MiB", "check, CPU µs/line", "make a run", "read it", "journal, bytes/line"]
    return Table("Manifests", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
