"""Signals that come again and again.

A run still ends by itself. It closes its journal and prints its last sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.command_line import PROGRAM, TOKEN, check_output, emulator_with, environment, plan, run


@pytest.mark.parametrize("pause", [0.002, 0.02])
@pytest.mark.parametrize("uvloop", [True, False])
async def test_many_interrupts_end_a_run_like_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float, uvloop: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    if not uvloop:
        Path("uvloop.py").write_text("raise ModuleNotFoundError('uvloop')\n")
    paths = {} if uvloop else {"PYTHONPATH": f"{tmp_path}:{environment()['PYTHONPATH']}"}
    async with emulator_with(disks=400, virtual_machines=400, latency=0.05) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, "assign", "plan.csv", "--no-preflight", "--yes", "--base-url", emulator.url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment(KATAPULT_API_KEY=TOKEN), **paths},
        )
        while emulator.ledger.total < 40:
            await asyncio.sleep(0.01)
        ending = asyncio.ensure_future(process.communicate())
        while not ending.done():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGINT)  # `send_signal` would reap the process
            await asyncio.sleep(pause)
        out, err = await ending
        said = out.decode() + err.decode()
        check_output(said)
        assert process.returncode == 130, said
        assert "Resume: katapult-async resume plan.csv.run" in said
        assert not Path("plan.csv.run-wal").exists()
        code, status, _ = await run("status", "plan.csv.run")
        assert code == 0
        assert "Interrupted" in status
