"""Durable runs against the emulator: killed, interrupted, out of room, locked; resumed; taken back."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

from katapult_async.jobs import Journal, LineStatus, Manifest, Run
from katapult_async.testing import Faults, KatapultEmulator

CHILD = Path(__file__).with_name("durable_child.py")
#: The long form: KATAPULT_KILLS=50 python -m pytest tests/e2e/test_durable.py -k kill --timeout 600
KILLS = int(os.environ.get("KATAPULT_KILLS", "5"))


async def start(run: Path, emulator: KatapultEmulator, window: float) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(CHILD), str(run), emulator.url, str(window)),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])},
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"executing\n"
    return process


async def test_killed_again_and_again_a_run_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    rng = random.Random(KILLS)
    path = tmp_path / "plan.run"
    kills = 0
    async with KatapultEmulator(
        disks=60 + 16 * KILLS,
        virtual_machines=60,
        limit=60,
        period=1.0,
        latency=(0.0, 0.02),
        task_duration=0.3,
        faults=Faults.everywhere(0.15, seed=KILLS),
    ) as emulator:
        machines = emulator.virtual_machine_ids
        wanted = {disk: machines[number % 60] for number, disk in enumerate(emulator.disk_ids)}
        with Manifest.from_items(wanted.items()) as manifest, Run.create(path, manifest, attach=True):
            pass
        while kills < KILLS:
            process = await start(path, emulator, 1.0)
            await asyncio.sleep(rng.uniform(0.0, 1.0))
            if process.returncode is None:
                process.kill()
                kills += 1
            await process.wait()
        for _ in range(5):
            # Whatever is unknown at the end of one session is read back in the next one.
            assert await (await start(path, emulator, 1.0)).wait() == 0
            with Journal.read(path) as journal:
                summary, lines = journal.summary(), list(journal.lines())
            if summary.finished:
                break
    ledger, world = emulator.ledger, emulator.world
    assert len(summary.sessions) > KILLS
    assert {disk: world.disks[disk].virtual_machine for disk in wanted} == wanted
    assert ledger.applied_more_than_once() == []
    assert ledger.applied_more_than_once("attach") == []
    # Nothing is sent again that has taken effect: it is read back first.
    applied = {change.disk: change.time for change in ledger.applied if change.action == "assign"}
    late = [
        a for a in ledger.arrivals if a.path == "/disks/disk/assign" and a.time > applied[str(a.disk)] + 0.05
    ]
    assert late == []
    assert len(lines) == len(wanted)
    attached = {disk for disk in wanted if world.disks[disk].attachment == "attached"}
    assert {line.disk for line in lines if line.status is LineStatus.ATTACHED} == attached == set(wanted)
    assert summary.counts == {LineStatus.ATTACHED: len(wanted)}
