"""`python -m benchmarks.startup`: import the package and run `--help`, in cold processes.

Each has a pair with the least possible cost: importing aiohttp, and importing typer and rich
(which typer brings along). The two processes of a pair run one right after the other, so the ratio
of a pair is more reliable than either number.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from benchmarks import svg
from benchmarks.command import run
from benchmarks.machine import ROOT
from benchmarks.result import Cell, Check, Result, Table, wish
from benchmarks.spread import median, spread

HELP = "import sys; sys.argv = ['katapult-async', '--help']; from katapult_async.cli import main; main()"
PROGRAMS = {
    "python, nothing imported": "pass",
    "import katapult_async": "import katapult_async",
    "import katapult_async, and use Client": "import katapult_async; katapult_async.Client",
    "import aiohttp": "import aiohttp",
    "katapult-async --help": HELP,
    "import typer, rich": "import typer, rich",
}
#: The pairs, and how much more the first of a pair may cost. The package loads its modules on
#: first use, so a program that uses the package pays for the second line.
PAIRS = (
    ("import katapult_async", "import aiohttp", 1.25),
    # Some sixty small modules, measured beside other work: about 1.2 on a quiet machine.
    ("import katapult_async, and use Client", "import aiohttp", 1.4),
    ("katapult-async --help", "import typer, rich", 1.5),
)


class Start(NamedTuple):
    """Milliseconds: by the clock, and of CPU."""

    wall: float
    cpu: float


def main() -> int:
    return run(
        "startup",
        measure,
        about="Cold starts: importing the package, and --help, beside the least that they could cost.",
        takes="about a minute",
    )


def measure(result: Result) -> None:
    rounds = 5 if result.quick else 31
    found: dict[str, list[Start]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as compiled:
        for number in range(rounds + 1):
            for name, code in PROGRAMS.items():
                start = _start(code, compiled)
                if number:  # the first round fills the caches of the disk and of compiled modules
                    found[name].append(start)
    nothing = median([start.wall for start in found["python, nothing imported"]])
    rows: list[list[Cell]] = []
    for name, starts in found.items():
        walls, cpus = [start.wall for start in starts], [start.cpu for start in starts]
        rows.append([name, median(walls), spread(walls), median(walls) - nothing, median(cpus)])
    columns = ["process", "ms", "spread", "ms more than nothing", "CPU ms"]
    result.tables.append(Table(f"Cold processes, {rounds} rounds", columns, rows))
    pairs: list[list[Cell]] = []
    for ours, least, most in PAIRS:
        cpu = [a.cpu / b.cpu for a, b in zip(found[ours], found[least], strict=True)]
        wall = [a.wall / b.wall for a, b in zip(found[ours], found[least], strict=True)]
        pairs.append([f"{ours} / {least}", f"x {median(wall):.2f}", f"x {median(cpu):.2f}", spread(cpu)])
        promise = f"startup: {ours} costs at most {most:g} x {least}"
        result.checks.append(wish(promise, holds=median(cpu) <= most, found=f"x {median(cpu):.2f}"))
    result.tables.append(Table("Pairs", ["pair", "time", "CPU", "spread"], pairs))
    result.data["starts"] = {name: [start._asdict() for start in starts] for name, starts in found.items()}
    values = [(name, median([start.cpu for start in starts])) for name, starts in found.items()]
    result.plots["startup.svg"] = svg.bars("CPU milliseconds of a cold process", values, unit="ms")
    result.checks.append(_check_imports())


def _start(code: str, compiled: str) -> Start:
    """Run one process, which must succeed.

    Args:
        code: The program.
        compiled: The folder for all modules that the process compiles. Without it, if Python may
            write no bytecode, each start would compile a checkout, but not the packages that pip
            has installed.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code!r} ended with {process.returncode}")
    return Start(1000 * wall, 1000 * (usage.ru_utime + usage.ru_stime))


def _check_imports() -> Check:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", HELP], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    loaded = sorted(name for name in modules if name.partition(".")[0] == "aiohttp")
    return Check(
        "startup: --help loads no HTTP client",
        not loaded and "typer" in modules,
        f"{len(modules)} modules, of aiohttp {len(loaded)}",
    )


if __name__ == "__main__":
    sys.exit(main())
