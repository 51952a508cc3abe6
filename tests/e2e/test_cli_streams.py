"""Standard streams that are closed, full or read by nobody, with real descriptors."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from katapult_async.jobs import Manifest, Run
from tests.command_line import PROGRAM, TOKEN, check_output, emulator_with, environment, plan

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
CLOSED = "katapult-async: cannot write to standard output: it is closed\n"
FULL = "katapult-async: cannot write to standard output: No space left on device\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Manifest.from_items([("disk_1", "vm_1")]) as manifest:
        Run.create("a.run", manifest, confirmed=False).close()


async def shell(redirection: str, *arguments: str, program: list[str] = PROGRAM) -> tuple[int, str, str]:
    """Run a command with a redirection of the shell.

    Returns:
        The exit code, standard output and standard error.
    """
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *program, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment(KATAPULT_API_KEY=TOKEN),
    )
    out, err = await process.communicate()
    check_output(out.decode() + err.decode())
    assert b"Exception ignored" not in err
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("assign", "--help"),
        ("--version",),
        ("status", "a.run"),
        ("report", "a.run"),
        ("report", "a.run", "--format", "csv"),
    ],
)
@pytest.mark.parametrize(("redirection", "words"), [(">&-", CLOSED), (">/dev/full", FULL)])
async def test_output_that_cannot_be_written_is_one_sentence(
    arguments: tuple[str, ...], redirection: str, words: str
) -> None:
    code, _, err = await shell(redirection, *arguments)
    assert code == 2
    assert err == words


async def test_a_run_whose_output_cannot_be_written_is_in_its_journal() -> None:
    async with emulator_with(disks=3) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        words = ("assign", "plan.csv", "--no-preflight", "--yes", "--base-url", emulator.url, "--json")
        # Closed: refused before anything is sent. Full: nobody can know before.
        code, _, err = await shell(">&-", *words)
        assert (code, err) == (2, CLOSED)
        assert emulator.ledger.total == 0
        code, _, err = await shell(">/dev/full", *words)
        assert code == 2
        assert err.endswith(FULL)
        assert emulator.ledger.applied_total["assign"] == 3


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
async def test_standard_error_that_cannot_be_written_changes_nothing(redirection: str) -> None:
    assert (await shell(redirection, "status", "a.run"))[0] == 0
    assert (await shell(redirection, "status", "none.run"))[0] == 2


async def test_a_closed_descriptor_is_not_given_to_a_journal() -> None:
    """What is written to standard error would otherwise go into the next file that is opened."""
    code, _, _ = await shell("<&- 2>&-", "resume", "a.run")
    assert code == 2
    assert b"cannot ask for confirmation" not in Path("a.run").read_bytes()
    assert (await shell("", "status", "a.run"))[0] == 0


async def test_a_log_that_becomes_full_is_said_once() -> None:
    """The log's descriptor is replaced by one of a full device, as if its disk had become full."""
    async with emulator_with(disks=40, virtual_machines=40) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        code = (
            "import os, sys\n"
            "import katapult_async.cli.log_file as log_file\n"
            "log_to = log_file.log_to\n"
            "def onto_full(path):\n"
            "    log_to(path)\n"
            "    os.dup2(os.open('/dev/full', os.O_WRONLY), handler().stream.fileno())\n"
            "def handler():\n"
            "    import logging\n"
            "    return logging.getLogger('katapult_async').handlers[-1]\n"
            "log_file.log_to = onto_full\n"
            "from katapult_async.cli import main\n"
            "main()\n"
        )
        words = ("assign", "plan.csv", "--no-preflight", "--yes", "--base-url", emulator.url, "--log", "log")
        exit_code, out, err = await shell("", *words, program=[sys.executable, "-c", code])
    assert exit_code == 0
    assert err.count("cannot write the log") == 1
    assert f"cannot write the log {Path('log').absolute()}: No space left on device." in err
    assert "Logging error" not in err
    assert "Assigned 40 of 40 disks" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_an_interrupt_while_nothing_is_in_flight_is_one_sentence(number: signal.Signals) -> None:
    with Manifest.from_items((f"disk_{n}", "vm_1") for n in range(5000)) as manifest:
        Run.create("long.run", manifest).close()
    process = await asyncio.create_subprocess_exec(
        *(*PROGRAM, "report", "long.run", "--format", "csv"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        limit=1024,  # nobody reads further than this: the report waits
        env=environment(),
    )
    assert process.stdout is not None
    assert await process.stdout.readexactly(500)
    process.send_signal(number)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode() in ("katapult-async: interrupted\n", "")
