"""Durable runs whose process is killed: nothing is lost, repeated, or claimed blindly."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from katapult_async.jobs import (
    Journal,
    LineStatus,
    Manifest,
    Run,
    RunSummary,
    rollback_scope,
)
from katapult_async.testing import Counting, Faults, KatapultEmulator
from tests.durable_runs import (
    ASSIGN,
    client_for,
    executed,
    finish,
    plan_of,
    run_for,
    run_of,
    start,
)

#: The long form: KATAPULT_KILLS=50 python -m pytest tests/e2e/test_run_kills.py --timeout 600
KILLS = int(os.environ.get("KATAPULT_KILLS", "5"))


@pytest.mark.slow
async def test_killed_again_and_again_a_run_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    rng = random.Random(KILLS)
    path = tmp_path / "plan.run"
    kills = 0
    async with KatapultEmulator(
        disks=60 + 16 * KILLS,
        virtual_machines=60,
        counting=Counting(limit=120, period=1.0),
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
        # Whatever is unknown at the end of one session is read back in the next one.
        summary, lines = await finish(path, emulator)
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


@pytest.mark.slow
async def test_killed_again_and_again_a_rollback_takes_back_exactly_what_its_run_did(tmp_path: Path) -> None:
    """The run is killed, too.

    A sixth of the disks were on their machines before, and every machine has a boot disk.
    """
    rng = random.Random(KILLS)
    path, back = tmp_path / "plan.run", tmp_path / "back.run"
    async with KatapultEmulator(
        disks=60,
        virtual_machines=30,
        counting=Counting(limit=120, period=1.0),
        latency=(0.0, 0.02),
        task_duration=0.2,
        boot_disks=True,
        faults=Faults.everywhere(0.1, seed=KILLS),
    ) as emulator:
        world, wanted = emulator.world, plan_of(emulator)
        before = [world.disks[disk] for disk in list(wanted)[:10]]
        for disk in before:
            disk.virtual_machine, disk.attachment = wanted[disk.id], "detached"
        with run_for(path, wanted, attach=True) as run:
            async with client_for(emulator, rate_window=1.0) as client:
                await run.preflight(client, "acme")

        async def through_kills(journal: Path) -> RunSummary:
            for _ in range(max(2, KILLS // 3)):
                process = await start(journal, emulator, 1.0)
                await asyncio.sleep(rng.uniform(0.0, 1.5))
                if process.returncode is None:
                    process.kill()
                await process.wait()
            summary, _ = await finish(journal, emulator)
            return summary

        assert (await through_kills(path)).ok
        Run.roll_back(path, back).close()
        summary = await through_kills(back)
        assert summary.counts == {LineStatus.UNASSIGNED: 50, LineStatus.DETACHED: 10}
        ours = [world.disks[disk] for disk in list(wanted)[10:]]
        assert [disk.virtual_machine for disk in ours] == [None] * 50
        assert [(disk.virtual_machine, disk.attachment) for disk in before] == [
            (wanted[disk.id], "detached") for disk in before
        ]
        assert sum(disk.boot and disk.virtual_machine is not None for disk in world.disks.values()) == 30
        for action in ("assign", "attach", "detach", "unassign"):
            assert emulator.ledger.applied_more_than_once(action) == []


@pytest.mark.parametrize("preflight", [True, False])
async def test_lines_marked_as_sent_when_the_process_died_are_not_claimed_blindly(
    tmp_path: Path, preflight: bool
) -> None:
    async with KatapultEmulator(disks=40, virtual_machines=40, latency=0.3) as emulator:
        wanted = plan_of(emulator)
        first, *others = (emulator.world.disks[disk] for disk in wanted)
        for disk in others:
            disk.virtual_machine = wanted[disk.id]
        path = tmp_path / "plan.run"
        with run_of(path, wanted.items()) as run:
            if preflight:
                async with client_for(emulator) as client:
                    await run.preflight(client, "acme")
        process = await start(path, emulator, 60.0)
        while not emulator.ledger.by_path[ASSIGN]:
            await asyncio.sleep(0.01)
        process.kill()
        await process.wait()
        with Run.open(path) as run:
            counts = await executed(run, emulator)
            assert sum(counts.values()) == 40
            assert all(status.ok for status in counts)
        with Journal.read(path) as journal:
            if preflight:
                assert rollback_scope(journal).lines == 1
            else:
                assert rollback_scope(journal).lines <= 1
        if preflight:
            with Run.roll_back(path, tmp_path / "back.run") as back:
                assert await executed(back, emulator) == {LineStatus.UNASSIGNED: 1}
            assert first.virtual_machine is None
        assert all(disk.virtual_machine == wanted[disk.id] for disk in others)
