"""What a run shows: on terminals of several widths, resized, without colors, quietly, in pipes."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import struct
import subprocess
import sys
import termios
from pathlib import Path

import anyio
import pytest

from katapult_async.jobs import Manifest, Run, RunState
from katapult_async.jobs.report.listing import listed_runs
from katapult_async.testing import FaultKind, KatapultEmulator
from tests.command_line import TOKEN, OnTerminal, emulator_with, environment, on_terminal, plan, run

CODES = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def arguments(emulator: KatapultEmulator) -> list[str]:
    Path("plan.csv").write_text(plan(emulator))
    return ["assign", "plan.csv", "--base-url", emulator.url, "--no-preflight", "--yes"]


def resize(terminal: OnTerminal, columns: int) -> None:
    fcntl.ioctl(terminal.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))


def widest(text: str) -> int:
    """The columns of the widest line that was painted."""
    return max(len(line) for line in re.split(r"[\r\n]+", CODES.sub("", text)))


async def test_the_display_follows_the_width_of_the_terminal() -> None:
    async with (
        emulator_with(disks=2000, virtual_machines=2000, latency=0.5) as emulator,
        on_terminal(*arguments(emulator)) as terminal,
    ):
        resize(terminal, 140)
        await terminal.sees("requests/s")
        for columns in (60, 140, 40):
            resize(terminal, columns)
            # The frame that is being painted may still have the old width: wait for another one.
            frames = terminal.shown.count("requests/s")
            with anyio.fail_after(20):
                while terminal.shown.count("requests/s") < frames + 2:
                    await anyio.sleep(0.01)
            start = len(terminal.shown)
            with anyio.fail_after(20):
                while terminal.shown.count("requests/s", start) < 2:
                    await anyio.sleep(0.01)
            # The journal's name stands above and is no frame; only what was painted since counts.
            assert widest(terminal.shown[start:]) < columns
        terminal.process.terminate()
        assert await terminal.ends() == 130
        # The cursor comes back.
        assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")


@pytest.mark.parametrize("no_color", [True, False])
async def test_no_color_keeps_the_bar_without_colors(no_color: bool) -> None:
    env = {"NO_COLOR": "1"} if no_color else {}
    async with (
        emulator_with(latency=0.3) as emulator,
        on_terminal(*arguments(emulator), env=env) as terminal,
    ):
        await terminal.sees("of 60")
        assert await terminal.ends() == 0
        assert ("\x1b[32m" in terminal.shown) is not no_color
        assert "\x1b[J" in terminal.shown


@pytest.mark.parametrize("option", ["--no-progress", "--quiet"])
async def test_no_progress_is_shown_if_nobody_wants_it(option: str) -> None:
    async with emulator_with(latency=0.1) as emulator:
        async with on_terminal(*arguments(emulator), option) as terminal:
            assert await terminal.ends() == 0
        assert "assigning" not in terminal.shown
        assert "\x1b" not in terminal.shown
        assert ("Assigned 60 of 60 disks" in terminal.shown) is (option == "--no-progress")


async def test_quiet_shows_failures_only() -> None:
    async with emulator_with() as emulator:
        code, out, err = await run(*arguments(emulator), "-q")
        assert (code, out, err) == (0, "", "")
        Path("more.csv").write_text("disk,virtual_machine\ndisk_none,vm_none\n")
        code, out, err = await run("assign", "more.csv", *arguments(emulator)[2:], "-q")
        assert code == 1
        assert err == ""
        assert [line.partition(" ")[0] for line in out.splitlines()] == ["Assigned", "line"]


async def test_verbose_shows_each_outcome_and_retry() -> None:
    async with emulator_with(disks=5) as emulator:
        emulator.faults.script(lambda arrival: FaultKind.UNAVAILABLE if arrival.sequence == 1 else None)
        code, _, err = await run(*arguments(emulator), "-v")
        assert code == 0
        assert err.count(": assigned\n") == 5
        assert len(re.findall(r": retry 1 in [\d.]+ s: ", err)) == 1


async def test_json_is_on_standard_output_and_everything_else_is_not() -> None:
    async with emulator_with(disks=5) as emulator:
        code, out, err = await run(*arguments(emulator), "--json", "-v")
        assert code == 0
        assert len([json.loads(line) for line in out.splitlines()]) == 6
        assert "Assigned 5 of 5 disks in " in err


async def test_an_outage_says_when_the_run_gives_up() -> None:
    async with emulator_with(disks=300, virtual_machines=300) as emulator:
        emulator.faults.script(lambda arrival: FaultKind.RESET_BEFORE if arrival.sequence > 100 else None)
        async with on_terminal(*arguments(emulator), "--concurrency", "4") as terminal:
            await terminal.sees("the run gives up in 4 min 5")
            emulator.faults.script(None)
            assert await terminal.ends() == 0
        assert emulator.ledger.applied_total["assign"] == 300


async def test_rollback_of_a_running_run_says_who_executes_it() -> None:
    with Manifest.from_items([("disk_1", "vm_1")]) as manifest, Run.create("a.run", manifest):
        code, _, err = await run("rollback", "a.run", "--yes")
    assert code == 2
    assert err.startswith(f"katapult-async: process {os.getpid()} on ")
    assert err.endswith("is executing a.run: stop it (Ctrl-C there), then roll back\n")


@pytest.mark.parametrize("module", ["katapult_async", "katapult_async.cli"])
def test_the_package_can_be_run(module: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.startswith("katapult-async ")


def test_the_shell_completes_commands_and_options() -> None:
    for typed, expected in (("katapult-async as", "assign"), ("katapult-async assign --can", "--canary")):
        done = subprocess.run(
            [sys.executable, "-m", "katapult_async"],
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
            env=environment(
                KATAPULT_API_KEY=TOKEN,
                _KATAPULT_ASYNC_COMPLETE="complete_bash",
                COMP_WORDS=typed,
                COMP_CWORD=str(typed.count(" ")),
            ),
        )
        assert done.stdout.split() == [expected]


async def test_a_warning_stands_above_the_live_lines() -> None:
    Path("plan.csv").write_text("disk,virtual_machine\n" + "".join(f"disk_{n},vm_{n}\n" for n in range(9)))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = ("--base-url", f"http://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.3")
        async with on_terminal("assign", "plan.csv", "--no-preflight", "--yes", *words) as terminal:
            assert await terminal.ends() == 3
            shown = terminal.shown
    # The lines are cleared, the warning is written, and they are painted anew below it.
    assert re.search(
        r"\x1b\[J\d requests in a row got no response from the API[^\r]*\r\n\r\x1b\[Jassigning", shown
    )
    # Nobody has refused anything.
    assert "refused the run" not in shown
    assert re.search(r"The API at http://127\.0\.0\.1:\d+ has answered none of \d+ requests", shown)
    assert "RequestTimeout" not in shown
    assert listed_runs(Path())[0][0].state is RunState.NO_ANSWER
