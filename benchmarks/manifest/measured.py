"""`python -m benchmarks.manifest.measured`: measure one manifest, and print its cost as JSON.

The program is a process of its own for each manifest. Its arguments are a working folder and the
number of lines. Another process writes the manifest (`write` of this module), so that the cost
does not include writing it.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import msgspec

from benchmarks.memory.measured import peak_memory
from katapult_async.jobs import Journal, LineStatus, Manifest, Run

MACHINES = 200


class Cost(msgspec.Struct):
    """Of so many lines. check, create, read: CPU seconds. peak: KiB. journal: bytes."""

    lines: int
    check: float
    create: float
    read: float
    peak: int
    journal: int


def write(path: Path, lines: int) -> None:
    """A manifest as it would be exported: ids of the usual length, a note now and then."""
    with path.open("w", encoding="utf-8") as file:
        file.write("disk,virtual_machine,note\n")
        file.writelines(
            f"disk_{number:016d},vm_{number % MACHINES:016d},{'moved' if number % 10 == 0 else ''}\n"
            for number in range(lines)
        )


def measure(directory: Path, lines: int) -> Cost:
    journal = directory / "plan.csv.run"
    with Manifest.open(directory / "plan.csv") as manifest:
        began = _cpu()
        checked = manifest.check()
        check = _cpu() - began
        if not checked.ok or checked.lines != lines:
            raise AssertionError(f"the manifest is right, and {checked} says otherwise")
        began = _cpu()
        Run.create(journal, manifest).close()
        create = _cpu() - began
    began = _cpu()
    with Journal.read(journal) as run:
        waiting = sum(line.status is LineStatus.WAITING for line in run.lines())
    read = _cpu() - began
    if waiting != lines:
        raise AssertionError(f"{waiting} of {lines} lines are in the journal")
    return Cost(lines, check, create, read, peak_memory(), journal.stat().st_size)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    directory, lines = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:] == ["write"]:
        write(directory / "plan.csv", lines)
    else:
        sys.stdout.buffer.write(msgspec.json.encode(measure(directory, lines)))


if __name__ == "__main__":
    main()
