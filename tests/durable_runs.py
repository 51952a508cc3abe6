"""Durable runs against the emulator, in this process or in one that may be killed. Not a test."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from katapult_async import (
    Client,
    RetryPolicy,
    Timeout,
)
from katapult_async.jobs import (
    Journal,
    LineRecord,
    LineStatus,
    Manifest,
    Run,
    RunSummary,
)
from katapult_async.testing import KatapultEmulator

CHILD = Path(__file__).parent / "e2e" / "durable_child.py"


ASSIGN = "/disks/disk/assign"


async def start(run: Path, emulator: KatapultEmulator, window: float) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(CHILD), str(run), emulator.url, str(window)),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])},
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"executing\n"
    return process


async def finish(path: Path, emulator: KatapultEmulator) -> tuple[RunSummary, list[LineRecord]]:
    """Execute a run until nothing is left to do; where it stands then."""
    while True:
        assert await (await start(path, emulator, 1.0)).wait() == 0
        with Journal.read(path) as journal:
            summary = journal.summary()
            if summary.finished:
                return summary, list(journal.lines())


def plan_of(emulator: KatapultEmulator) -> dict[str, str]:
    machines = emulator.virtual_machine_ids
    return {disk: machines[number % len(machines)] for number, disk in enumerate(emulator.disk_ids)}


def run_for(path: Path, wanted: dict[str, str], *, attach: bool = False) -> Run:
    with Manifest.from_items(wanted.items()) as manifest:
        return Run.create(path, manifest, attach=attach)


def run_of(path: Path, items: Iterable[tuple[str, str]], *, attach: bool = False) -> Run:
    with Manifest.from_items(items) as manifest:
        return Run.create(path, manifest, attach=attach)


def client_for(emulator: KatapultEmulator, **settings: object) -> Client:
    options: dict[str, object] = {
        "base_url": emulator.url,
        "retry": RetryPolicy(base=0.01, cap=0.05),
        "timeout": Timeout(total=2),
        **settings,
    }
    return Client("token", **options)  # type: ignore[arg-type]


async def executed(run: Run, emulator: KatapultEmulator, **settings: object) -> dict[LineStatus, int]:
    async with client_for(emulator, **settings) as client:
        return (await run.execute(client)).counts


async def killed(path: Path, emulator: KatapultEmulator, *, after: int) -> None:
    process = await start(path, emulator, 60.0)
    while emulator.ledger.by_path[ASSIGN] < after:
        await asyncio.sleep(0.01)
    process.kill()
    await process.wait()
