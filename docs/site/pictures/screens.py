"""Record commands on a terminal, with the emulator as the API."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from docs.site.pictures.drawing import terminal_svg
from docs.site.pictures.terminal import Terminal
from docs.site.shell import environment, readable
from katapult_async.testing import Counting, Faults, KatapultEmulator

COLUMNS, ROWS = 124, 24
DISKS, MACHINES, LIMIT = 2000, 200, 1000


async def record(folder: Path) -> dict[str, str]:
    """Record all screens, and return their pictures by name. Takes about half a minute."""
    emulator = KatapultEmulator(
        disks=DISKS,
        virtual_machines=MACHINES,
        counting=Counting(limit=LIMIT),
        latency=(0.2, 0.6),
        faults=Faults.everywhere(0.002, seed=7),
    )
    async with emulator:
        half = DISKS // 2
        _write_plan(emulator, folder / "plan.csv", 0, half)
        _write_plan(emulator, folder / "more.csv", half, DISKS)
        shell = Shell(folder, emulator.url)
        async with shell.types("plan plan.csv") as plan:
            await plan.until(lambda: plan.process.returncode is not None)
        async with shell.types("assign plan.csv") as first:
            await first.until(lambda: "[y/N]" in first.shown)
            first.press("y\n")
            await first.until(lambda: emulator.ledger.applied_total["assign"] > 100)
            async with (
                shell.types("assign more.csv --yes") as second,
                shell.types("budget --watch") as budget,
                shell.types("status plan.csv.run --watch") as status,
            ):
                await status.until(lambda: "requests/s" in status.shown)
                await budget.until(lambda: "2 processes" in budget.shown)
                await second.until(lambda: emulator.ledger.applied_total["assign"] > 450)
                await asyncio.sleep(1.2)  # until the watching commands have refreshed
                pictures = {
                    "plan": plan.picture(),
                    "assign": first.picture(),
                    "status-watch": status.picture(),
                    "budget-watch": budget.picture(),
                }
    return pictures


def _write_plan(emulator: KatapultEmulator, file: Path, start: int, end: int) -> None:
    """Write a manifest. Some disks are already on their machine, and one is on another one."""
    machines = emulator.virtual_machine_ids
    lines = ["disk,virtual_machine"]
    for number, disk in enumerate(emulator.disk_ids[start:end]):
        machine = machines[number % MACHINES]
        lines.append(f"{disk},{machine}")
        if number < 5:
            emulator.world.disks[disk].virtual_machine = machine
        elif number == 7:
            emulator.world.disks[disk].virtual_machine = machines[0]
    file.write_text("\n".join(lines) + "\n")


class Shell:
    """Types commands into a folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._environment = {
            **environment(folder),
            "KATAPULT_API_KEY": "token",
            "KATAPULT_ORGANIZATION": "acme",
            "KATAPULT_BASE_URL": url,
            "TERM": "xterm",
        }

    @asynccontextmanager
    async def types(self, command: str) -> AsyncIterator[Typed]:
        """Run a command on a terminal of its own. It is killed when the block is left."""
        outer, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _OWN_TERMINAL, str(inner)),
            *(sys.executable, "-m", "katapult_async", *command.split()),
            stdin=inner,
            stdout=inner,
            stderr=inner,
            pass_fds=[inner],
            start_new_session=True,
            cwd=self._folder,
            env=self._environment,
        )
        os.close(inner)
        typed = Typed(process, outer, command, self._folder)
        loop = asyncio.get_running_loop()
        loop.add_reader(outer, typed.read)
        try:
            yield typed
        finally:
            loop.remove_reader(outer)
            if process.returncode is None:
                process.kill()
            await process.wait()
            os.close(outer)


#: Makes a terminal the one that controls the process, so that questions are asked on it.
_OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Typed:
    """A command that was typed, and what it has written."""

    def __init__(
        self, process: asyncio.subprocess.Process, terminal: int, command: str, folder: Path
    ) -> None:
        self.process = process
        self._folder = folder
        self._terminal = terminal
        self._command = command
        self._output = b""

    @property
    def shown(self) -> str:
        """The output so far."""
        return self._output.decode(errors="ignore")

    def read(self) -> None:
        """Read what was written. The terminal ends with an error."""
        try:
            self._output += os.read(self._terminal, 1 << 16)
        except OSError:
            asyncio.get_running_loop().remove_reader(self._terminal)

    def press(self, keys: str) -> None:
        """Type an answer."""
        os.write(self._terminal, keys.encode())

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until something is true, at most a minute."""
        for _ in range(1200):
            if reached():
                return
            await asyncio.sleep(0.05)
        raise TimeoutError(f"{self._command} has shown only\n{self.shown}")

    def picture(self) -> str:
        """Return the picture of the terminal."""
        terminal = Terminal(COLUMNS)
        terminal.write(f"$ katapult-async {self._command}\r\n{readable(self.shown, self._folder)}")
        rows = list(terminal.last(ROWS))
        while rows and not rows[-1]:
            rows.pop()
        return terminal_svg(rows, COLUMNS, f"katapult-async {self._command} on a terminal")
