"""The `run` document with which a command with --json ends, and what others see while it runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from katapult_async.jobs import Run
from tests.command_line import (
    PROGRAM,
    TOKEN,
    check_output,
    emulator_with,
    environment,
    on_terminal,
    plan,
    run,
)

COMMON = ("--no-preflight", "--yes", "--json")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run_document(out: str) -> dict[str, Any]:
    """Return the document of the run, the last line of standard output."""
    found: dict[str, Any] = json.loads(out.splitlines()[-1])["run"]
    return found


async def test_the_run_document_says_done_and_names_no_process() -> None:
    async with emulator_with(disks=3) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        code, out, err = await run("assign", "plan.csv", *COMMON, "--base-url", emulator.url)
        assert code == 0, err
        document = run_document(out)
        assert (document["state"], document["finished"], document["locked_by"]) == ("done", True, None)
        code, out, err = await run("rollback", "plan.csv.run", "--yes", "--json", "--base-url", emulator.url)
        assert code == 0, err
        document = run_document(out)
        assert (document["state"], document["locked_by"]) == ("done", None)


async def test_the_run_document_says_done_with_failures() -> None:
    async with emulator_with(disks=3) as emulator:
        Path("plan.csv").write_text(plan(emulator) + "disk_notThere00000000,vm_notThere0000000000\n")
        code, out, err = await run("assign", "plan.csv", *COMMON, "--base-url", emulator.url)
        assert code == 1, err
        document = run_document(out)
        assert (document["state"], document["locked_by"]) == ("done_with_failures", None)


async def test_the_run_document_says_interrupted() -> None:
    async with emulator_with(disks=400, virtual_machines=400, latency=0.05) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, "assign", "plan.csv", *COMMON, "--base-url", emulator.url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(KATAPULT_API_KEY=TOKEN),
        )
        ending = asyncio.ensure_future(process.communicate())
        while emulator.ledger.total < 40:
            await asyncio.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        out, err = await ending
        check_output(out.decode() + err.decode())
        assert process.returncode == 130, err
        document = run_document(out.decode())
        assert (document["state"], document["locked_by"]) == ("interrupted", None)


async def test_runs_says_that_a_run_is_being_rolled_back() -> None:
    async with emulator_with(disks=3) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        code, _, err = await run("assign", "plan.csv", *COMMON, "--base-url", emulator.url)
        assert code == 0, err
    with Run.roll_back("plan.csv.run", "back.run"):  # this process has its lock
        _, out, _ = await run("runs")
        assert "being rolled back" in out
        assert "rollback unfinished" not in out
        _, out, _ = await run("runs", "--json")
        listed = {entry["journal"]: entry for entry in json.loads(out)["runs"]}
        assert listed["plan.csv.run"]["rollback_running"] is True
        assert listed["back.run"]["rollback_running"] is False
    _, out, _ = await run("runs")
    assert "rollback unfinished" in out


async def test_the_progress_after_a_canary_shows_its_failures() -> None:
    async with emulator_with(disks=3) as emulator:
        Path("plan.csv").write_text(
            plan(emulator).replace("\n", "\ndisk_notThere00000000,vm_notThere0000000000\n", 1)
        )
        common = ("--no-preflight", "--base-url", emulator.url)
        async with on_terminal("assign", "plan.csv", "--canary", "1", *common) as command:
            await command.sees("?")
            command.types("y\n")
            await command.sees("the other 3 disks")
            command.types("y\n")
            await command.sees("1 failed before")
            assert await command.ends() == 1
