"""`python -m benchmarks.screens`: record the command-line screens of a long run on the emulator.

In docs/how-to/plan-to-rollback.md, each screen follows a comment such as `<!-- screen: plan -->`.
With `--write`, the program replaces those screens with the recorded ones. Without it, the program
prints them. It takes about four minutes, because windows last a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import ROOT
from katapult_async.testing import Faults, KatapultEmulator

DISKS, MACHINES, LIMIT = 2000, 200, 1000
#: Lines of progress that a screen keeps.
PROGRESS = 3
PAGE = ROOT / "docs" / "how-to" / "plan-to-rollback.md"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help=f"replace the screens in {PAGE.name}")
    write = bool(parser.parse_args().write)
    with tempfile.TemporaryDirectory(prefix="screens-") as folder:
        screens = asyncio.run(record(Path(folder)))
    if write:
        PAGE.write_text(replaced(PAGE.read_text("utf-8"), screens), "utf-8")
    else:
        for name, text in screens.items():
            print(f"-- {name}\n{text}")
    return 0


async def record(folder: Path) -> dict[str, str]:
    """Do what the page describes; what was typed and shown, by the name of the screen."""
    emulator = KatapultEmulator(
        disks=DISKS,
        virtual_machines=MACHINES,
        limit=LIMIT,
        latency=0.05,
        faults=Faults.everywhere(0.002, seed=7),
    )
    async with emulator:
        write_plan(emulator, folder / "plan.csv")
        shell = Shell(folder, emulator.url)
        screens = {"plan": await shell.type("plan", "plan.csv")}
        async with shell.start("assign", "plan.csv", "--yes") as process:
            await until(lambda: emulator.ledger.applied_total["assign"] > LIMIT + 100)
            screens["status"] = await shell.type("status", "plan.csv.run")
            process.kill()
            first, _ = await process.communicate()
        screens["assign"] = shown("$ katapult-async assign plan.csv\n" + first.decode(), cut=True)
        screens["killed"] = await shell.type("status", "plan.csv.run")
        screens["resume"] = await shell.type("resume", "plan.csv.run")
        screens["again"] = await shell.type("assign", "plan.csv", hidden=("--yes",))
        screens["rollback"] = await shell.type("rollback", "plan.csv.run", hidden=("--yes",))
    return screens


def write_plan(emulator: KatapultEmulator, file: Path) -> None:
    """Write a manifest of all disks.

    Some disks are already on their machine, one is on another machine, and one line names no disk.
    """
    machines = emulator.virtual_machine_ids
    lines = ["disk,virtual_machine"]
    for number, disk in enumerate(emulator.disk_ids):
        machine = machines[number % MACHINES]
        lines.append(f"{disk},{machine}")
        if number < 5:
            emulator.world.disks[disk].virtual_machine = machine
        elif number == 7:
            emulator.world.disks[disk].virtual_machine = machines[0]
    lines.append(f"disk_4nTqS8mWx0cVbY2k,{machines[0]}")
    file.write_text("\n".join(lines) + "\n")


class Shell:
    """Types commands into a folder, with an emulator as the API."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "KATAPULT_API_KEY": "token",
            "KATAPULT_ORGANIZATION": "acme",
            "KATAPULT_BASE_URL": url,
            "PYTHONPATH": str(ROOT),
            # Neither the settings nor the cache of the user.
            "XDG_CONFIG_HOME": str(folder / ".config"),
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "XDG_RUNTIME_DIR": "",
        }

    async def type(self, *arguments: str, hidden: tuple[str, ...] = ()) -> str:
        """Run a command; its screen."""
        async with self.start(*arguments, *hidden) as process:
            output, _ = await process.communicate()
        return shown(f"$ katapult-async {' '.join(arguments)}\n{output.decode()}")

    def start(self, *arguments: str) -> Started:
        return Started([sys.executable, "-m", "katapult_async", *arguments], self._folder, self._environment)


class Started:
    """A process that has ended when the block is left."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._command, self._folder, self._environment = command, folder, environment

    async def __aenter__(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return self._process

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def shown(text: str, *, cut: bool = False) -> str:
    """A screen with its first lines of progress only. cut: it ends in the middle."""
    lines: list[str] = []
    progress = 0
    for line in text.splitlines():
        is_progress = re.match(r"(assigning|unassigning|preflight)\b", line) is not None
        progress += is_progress
        if not is_progress or progress <= PROGRESS:
            lines.append(line.rstrip())
        elif progress == PROGRESS + 1:
            lines.append("…")
    if cut and lines[-1] != "…":
        lines.append("…")
    return "\n".join(lines).strip() + "\n"


def replaced(page: str, screens: dict[str, str]) -> str:
    """The page with these screens."""
    for name, text in screens.items():
        pattern = re.compile(rf"(<!-- screen: {name} -->\n```console\n).*?(^```$)", re.DOTALL | re.MULTILINE)
        found = pattern.search(page)
        if found is None:
            raise SystemExit(f"{PAGE.name} has no screen {name!r}")
        page = page[: found.end(1)] + text + page[found.start(2) :]
    return page


async def until(reached: Callable[[], bool]) -> None:
    """Wait until something is true."""
    while not reached():  # noqa: ASYNC110 - the ledger of the emulator has no events
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
