"""`katapult-async emulate`: what a harness asks of it, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from katapult_async import Client

TOKEN = "s3cret-token"
PROGRAM = [sys.executable, "-W", "error", "-m", "katapult_async.cli", "emulate", "--token", TOKEN]


@contextlib.asynccontextmanager
async def emulating(*arguments: str) -> AsyncGenerator[tuple[str, str], None]:
    """A process that serves; the URLs of the API and of the ledger."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(3)]
    try:
        yield lines[0].split("listens on ")[1].split()[0], lines[2].split("ledger: ")[1].strip()
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")


async def read(url: str) -> Any:
    """The ledger, when every request is over: a server learns late that its client has gone."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as response:
                ledger = await response.json()
            if not ledger["in_flight"]:
                return ledger


async def test_its_ledger_can_be_read_while_it_runs_and_afterwards(tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.csv", tmp_path / "ledger.json"
    async with emulating("--disks", "3", "--plan-out", str(plan), "--ledger-out", str(out)) as (url, ledger):
        assert b"\r" not in plan.read_bytes()
        disk, machine = plan.read_text().splitlines()[1].split(",")
        assert json.loads(out.read_text())["requests"] == 0
        async with Client(TOKEN, base_url=url) as client:
            await client.disks.assign(disk, machine)
        seen = await read(ledger)
        assert (seen["requests"], seen["changes"]) == (1, {"assign": {disk: 1}})
        assert seen["assigned"] == {disk: machine}
    assert json.loads(out.read_text()) == seen


async def test_the_same_seed_makes_the_same_disks_and_strikes_the_same_requests(tmp_path: Path) -> None:
    plans, struck = list[str](), list[dict[str, int]]()
    for number, seed in enumerate(("7", "7", "8")):
        plan = tmp_path / f"{number}.csv"
        options = ("--disks", "20", "--seed", seed, "--faults", "0.5", "--plan-out", str(plan))
        async with emulating(*options) as (url, ledger):
            plans.append(plan.read_text())
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
                for line in plans[-1].splitlines()[1:]:
                    # Whatever comes back, or does not: the ledger says what struck.
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError, asyncio.TimeoutError):
                        query = f"disk[id]={line.split(',')[0]}"
                        # Long enough for any request to arrive on a busy machine.
                        brief = aiohttp.ClientTimeout(total=1)
                        async with session.get(f"{url}/disks/disk?{query}", timeout=brief) as response:
                            await response.read()
            struck.append((await read(ledger))["by_fault"])
    assert plans[0] == plans[1] != plans[2]
    assert struck[0] == struck[1] != struck[2]


@pytest.mark.parametrize("option", ["--ledger-out", "--plan-out"])
def test_a_file_that_cannot_be_written_is_said_at_once(option: str, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "file"
    done = subprocess.run(  # noqa: S603 - our own program
        [*PROGRAM, option, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert f"cannot write {path}: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_emulator_that_finds_its_port_taken_writes_no_file(tmp_path: Path) -> None:
    """The files may belong to the emulator that has the port."""
    files = [tmp_path / name for name in ("plan.csv", "ledger.json")]
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        options = ("--port", port, "--plan-out", str(files[0]), "--ledger-out", str(files[1]))
        done = subprocess.run(  # noqa: S603 - our own program
            [*PROGRAM, *options], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot listen on port {port}" in done.stderr
    assert [file for file in files if file.exists()] == []
