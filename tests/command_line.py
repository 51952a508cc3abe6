"""The command line as its users meet it: a process with pipes, or one on a terminal of its own."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from katapult_async.testing import KatapultEmulator

TOKEN = "s3cret-token-9f8e7d"
PROGRAM = [sys.executable, "-W", "error", "-m", "katapult_async.cli"]
ROOT = Path(__file__).parents[1]
#: Makes a descriptor the controlling terminal, closes it, and becomes the program.
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; side = int(sys.argv[1]); fcntl.ioctl(side, termios.TIOCSCTTY, 0)\n"
    "os.close(side); os.execv(sys.argv[2], sys.argv[2:])"
)


def environment(**extra: str) -> dict[str, str]:
    """The environment of a test, without settings of this program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KATAPULT")}
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


async def run(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command without a terminal: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # without a terminal, also if the tests have one
        env=environment(**(env if env is not None else {"KATAPULT_API_KEY": TOKEN})),
    )
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    check_output(out.decode() + err.decode())
    return process.returncode, out.decode(), err.decode()


def check_output(text: str) -> None:
    """What no output may ever hold."""
    assert "Traceback" not in text, text
    assert "\x1b" not in text
    assert TOKEN not in text


def plan(emulator: KatapultEmulator) -> str:
    """A manifest of all disks of an emulator."""
    machines = emulator.virtual_machine_ids
    lines = (f"{disk},{machines[n % len(machines)]}" for n, disk in enumerate(emulator.disk_ids))
    return "disk,virtual_machine\n" + "\n".join(lines) + "\n"


def emulator_with(**options: object) -> KatapultEmulator:
    """An emulator of sixty disks that accepts TOKEN."""
    settings: dict[str, object] = {"disks": 60, "virtual_machines": 20, "tokens": (TOKEN,), **options}
    return KatapultEmulator(**settings)  # type: ignore[arg-type]


class OnTerminal:
    """A command on a terminal of its own. `shown` is everything that it has written there."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self.process = process
        self.terminal = terminal
        self._shown = bytearray()

    @property
    def shown(self) -> str:
        return self._shown.decode(errors="replace")

    def read(self) -> None:
        try:
            self._shown += os.read(self.terminal, 65536)
        except OSError:  # Linux says so when the other side is closed
            asyncio.get_running_loop().remove_reader(self.terminal)

    async def sees(self, words: str) -> None:
        """Wait until these words are on the terminal."""
        with anyio.fail_after(30):
            while words not in self.shown:
                assert self.process.returncode is None or words in self.shown, self.shown
                await anyio.sleep(0.01)

    def types(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    async def ends(self) -> int:
        with anyio.fail_after(30):
            code = await self.process.wait()
        assert "Traceback" not in self.shown, self.shown
        assert TOKEN not in self.shown
        return code


@asynccontextmanager
async def on_terminal(
    *arguments: str,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    program: Sequence[str] = PROGRAM,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[OnTerminal]:
    """Run a command on a terminal that controls it.

    stdin, stdout, stderr: descriptors to use in place of the terminal. program: what is run.
    """
    import pty

    terminal, side = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWN_TERMINAL, str(side), *program, *arguments),
        stdin=side if stdin is None else stdin,
        stdout=side if stdout is None else stdout,
        stderr=side if stderr is None else stderr,
        pass_fds=[side],
        start_new_session=True,
        env=environment(KATAPULT_API_KEY=TOKEN, TERM="xterm", **(env or {})),
    )
    os.close(side)
    session = OnTerminal(process, terminal)
    asyncio.get_running_loop().add_reader(terminal, session.read)
    try:
        yield session
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(terminal)
        os.close(terminal)


def run_many(cases: list[dict[str, object]], folder: Path) -> list[dict[str, Any]]:
    """Run commands in a process of their own, one after the other: code, out and err of each."""
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "error", str(ROOT / "tests" / "many_commands.py")],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=50,
        check=True,
        start_new_session=True,
        env=environment(KATAPULT_API_KEY=TOKEN, COLUMNS="80", TERM="dumb"),
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def check_golden(name: str, found: str) -> None:
    """Compare text with a file of tests/golden. KATAPULT_GOLDEN=write writes the file anew."""
    file = ROOT / "tests" / "golden" / name
    if os.environ.get("KATAPULT_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(found, encoding="utf-8")
    expected = file.read_text(encoding="utf-8")
    difference = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), "golden", "found", lineterm="", n=1
    )
    assert found == expected, "\n".join(difference)
