"""Kills at random moments, then exactly what `status` says, then a rollback that is killed, too.

The long form: KATAPULT_KILLS=60 python -m pytest tests/e2e/test_cli_kills.py --timeout 3000
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from katapult_async.testing import Faults, KatapultEmulator
from tests.command_line import PROGRAM, TOKEN, emulator_with, environment, plan, run

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KATAPULT_KILLS", "6"))
DISKS = 60


async def killed(wait: float, *arguments: str) -> bool:
    """Run a command and kill it after some seconds; whether it had not ended before."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(KATAPULT_API_KEY=TOKEN),
    )
    try:
        await asyncio.wait_for(process.wait(), wait)
    except TimeoutError:
        process.kill()
    except asyncio.TimeoutError:
        process.kill()
    return await process.wait() != 0


async def said_by_status(url: str) -> list[str] | None:
    """The command that `status` names for going on; None if it names none."""
    code, out, err = await run("status", "plan.csv.run", env={"KATAPULT_BASE_URL": url})
    assert code == 0, err
    found = re.search(r"^Resume: +katapult-async (.+)$", out, re.MULTILINE)
    return shlex.split(found[1]) if found is not None else None


def homes(emulator: KatapultEmulator) -> dict[str, str | None]:
    return {disk.id: disk.virtual_machine for disk in emulator.world.disks.values()}


@pytest.mark.parametrize("seed", range(KILLS))
async def test_a_killed_run_ends_as_its_journal_says_and_can_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = random.Random(seed)
    faults = Faults.everywhere(0.1, seed=seed)
    async with emulator_with(
        disks=DISKS, virtual_machines=DISKS, latency=(0.02, 0.08), faults=faults
    ) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        for number in rng.sample(range(DISKS), 10):  # there already, or in the way
            elsewhere = rng.random() < 0.3
            machine = emulator.virtual_machine_ids[(number + elsewhere) % DISKS]
            emulator.world.disks[emulator.disk_ids[number]].virtual_machine = machine
        before = homes(emulator)
        common = ("--timeout", "1.5", "--yes")
        address = ("--base-url", emulator.url)
        # A third of the kills come before the first assignment.
        wait = rng.uniform(0.2, 0.9) if seed % 3 == 0 else rng.uniform(0.8, 3.0)
        await killed(wait, "assign", "plan.csv", "--organization", "acme", *common, *address)
        if not Path("plan.csv.run").exists():
            assert homes(emulator) == before
            return
        for _ in range(10):
            command = await said_by_status(emulator.url)
            if command is None:
                break
            await run(*command, *common, env={"KATAPULT_API_KEY": TOKEN, "KATAPULT_BASE_URL": emulator.url})
        assert await said_by_status(emulator.url) is None
        check_outcomes(emulator, before, await report())

        for attempt in range(12):
            words = ("rollback", "plan.csv.run", *common, *address)
            if attempt == 0:
                await killed(rng.uniform(0.5, 2.0), *words)
                continue
            code, _, err = await run(*words)
            if code == 0 or "rolled back already" in err:
                break
        assert homes(emulator) == before


async def report() -> dict[str, str]:
    """What the journal says of each disk."""
    code, out, _ = await run("report", "plan.csv.run", "--format", "json")
    assert code == 0
    return {line["disk"]: line["status"] for line in json.loads(out)["lines"]}


def check_outcomes(
    emulator: KatapultEmulator, before: dict[str, str | None], statuses: dict[str, str]
) -> None:
    """Compare each outcome with where the disk was before and is now."""
    wanted = dict(zip(emulator.disk_ids, emulator.virtual_machine_ids, strict=True))
    for disk, now in homes(emulator).items():
        if before[disk] == wanted[disk]:
            assert statuses[disk] == "already_assigned", disk
        elif before[disk] is not None:
            assert (statuses[disk], now) == ("failed", before[disk]), disk
        else:
            assert (statuses[disk] == "assigned") is (now == wanted[disk]), disk
    assert emulator.ledger.applied_more_than_once() == []
