"""Rollbacks: what they revert, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

from katapult_async.cli.rollback import left_alone
from katapult_async.jobs import (
    Journal,
    LineStatus,
    RollbackScope,
    Run,
    rollback_scope,
)
from katapult_async.testing import Fault, FaultKind, KatapultEmulator
from tests.durable_runs import (
    ASSIGN,
    client_for,
    executed,
    plan_of,
    run_for,
    run_of,
)


async def test_a_rollback_leaves_alone_what_is_not_as_the_run_left_it(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=6, virtual_machines=3, task_duration=0.1) as emulator:
        world, wanted = emulator.world, plan_of(emulator)
        there, *_ = disks = [world.disks[disk] for disk in wanted]
        there.virtual_machine = wanted[there.id]
        with run_for(tmp_path / "plan.run", wanted, attach=True) as run:
            async with client_for(emulator) as client:
                await run.preflight(client, "acme")
                summary = await run.execute(client)
            assert summary.counts == {LineStatus.ATTACHED: 6}
        _, boot, moved, gone, trashed, _ = disks
        boot.boot = True
        moved.virtual_machine = emulator.virtual_machine_ids[0]
        gone.virtual_machine = None
        world.trash(trashed)
        with Run.roll_back(tmp_path / "plan.run", tmp_path / "back.run") as back:
            async with client_for(emulator) as client:
                await back.execute(client)
            became = {line.disk: (line.status, line.code) for line in back.journal.lines()}
        assert became == {
            there.id: (LineStatus.DETACHED, None),  # it was assigned before the run
            boot.id: (LineStatus.FAILED, "assignment_conflict"),
            moved.id: (LineStatus.FAILED, "assignment_conflict"),
            gone.id: (LineStatus.ALREADY_UNASSIGNED, None),
            trashed.id: (LineStatus.FAILED, "object_in_trash"),
            disks[5].id: (LineStatus.UNASSIGNED, None),
        }
        assert emulator.ledger.applied_total["unassign"] == 1
        assert boot.attachment == "attached"
        assert there.virtual_machine == wanted[there.id]


async def test_a_rollback_leaves_alone_what_may_have_been_there_before(tmp_path: Path) -> None:
    """Without a preflight nobody has seen the disk before its request, which was never answered."""
    async with KatapultEmulator(disks=2, virtual_machines=2) as emulator:
        wanted = plan_of(emulator)
        there, free = (emulator.world.disks[disk] for disk in wanted)
        there.virtual_machine = wanted[there.id]
        emulator.faults.script(
            lambda arrival: (
                Fault(FaultKind.SERVER_ERROR, applies=False)
                if arrival.disk == there.id and arrival.path == ASSIGN
                else None
            )
        )
        path = tmp_path / "plan.run"
        with run_of(path, wanted.items()) as run:
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 2}
        with Journal.read(path) as journal:
            scope = rollback_scope(journal)
            assert (scope.lines, scope.uncertain, scope.uncertain_lines) == (1, 1, (1,))
            assert left_alone(scope).endswith("The rollback leaves alone line 1")
            many = RollbackScope(1, tuple(range(1, 25)))
            assert left_alone(many).endswith(
                " leaves alone lines " + ", ".join(map(str, range(1, 21))) + " and 4 others"
            )
        with Run.roll_back(path, tmp_path / "back.run") as back:
            assert await executed(back, emulator) == {LineStatus.UNASSIGNED: 1}
        assert there.virtual_machine == wanted[there.id]
        assert free.virtual_machine is None


async def test_a_disk_attached_by_a_start_of_its_machine_is_rolled_back(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1, task_duration=0.1) as emulator:
        (disk,) = emulator.world.disks.values()
        with run_of(tmp_path / "plan.run", plan_of(emulator).items()) as run:
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 1}
        disk.attachment = "attached"
        with Run.roll_back(tmp_path / "plan.run", tmp_path / "back.run") as back:
            assert await executed(back, emulator) == {LineStatus.UNASSIGNED: 1}
        assert disk.virtual_machine is None


async def test_a_rollback_waits_until_what_it_takes_back_is_attached(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1, task_duration=1.5) as emulator:
        with run_of(tmp_path / "plan.run", plan_of(emulator).items(), attach=True) as run:
            async with client_for(emulator) as client:
                await run.execute(client, task_timeout=0.1)
        with Run.roll_back(tmp_path / "plan.run", tmp_path / "back.run") as back:
            assert await executed(back, emulator) == {LineStatus.UNASSIGNED: 1}
