"""Attaching in a durable run: tasks, busy machines, and disks that others move meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio

from katapult_async import (
    AuthenticationError,
    Observer,
    OutcomeEvent,
    RetryPolicy,
)
from katapult_async.jobs import (
    LineStatus,
    Run,
)
from katapult_async.testing import Arrival, FaultKind, KatapultEmulator
from katapult_async.testing.state import VirtualMachine
from tests.durable_runs import (
    client_for,
    executed,
    plan_of,
    run_for,
    run_of,
)


async def test_a_failed_task_is_the_outcome_of_its_line_with_the_name_of_the_task(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=6, virtual_machines=2, task_duration=0.1) as emulator:
        emulator.world.tasks_fail = True
        with run_for(tmp_path / "plan.run", plan_of(emulator), attach=True) as run:
            async with client_for(emulator) as client:
                summary = await run.execute(client)
            assert summary.counts == {LineStatus.FAILED: 6}
            for line in run.journal.lines():
                assert line.code == "task_failed"
                assert line.task in emulator.world.tasks
                assert line.task in str(line.detail)
        # It was assigned all the same, and a rollback knows that.
        with Run.roll_back(tmp_path / "plan.run", tmp_path / "back.run") as back:
            async with client_for(emulator) as client:
                summary = await back.execute(client)
            assert summary.counts == {LineStatus.UNASSIGNED: 6}
        assert emulator.ledger.applied_total["detach"] == 0


async def test_waiting_asks_about_machines_and_not_about_every_task(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=60, virtual_machines=2, task_duration=1.5) as emulator:
        with run_for(tmp_path / "plan.run", plan_of(emulator), attach=True) as run:
            async with client_for(emulator, per_virtual_machine=30) as client:
                summary = await run.execute(client)
        assert summary.counts == {LineStatus.ATTACHED: 60}
        assert emulator.ledger.by_path["/tasks/task"] == 0
        # Twice for what is attached already, and some times for each machine while the tasks run.
        assert emulator.ledger.by_path["/virtual_machines/virtual_machine/disks"] <= 2 + 2 * 4


async def test_a_task_that_does_not_end_in_time_is_asked_for_again_by_a_resumed_run(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=2, virtual_machines=2, task_duration=2.0) as emulator:
        with run_for(tmp_path / "plan.run", plan_of(emulator), attach=True) as run:
            async with client_for(emulator) as client:
                summary = await run.execute(client, task_timeout=0.5)
                assert summary.counts == {LineStatus.UNKNOWN: 2}
                assert not summary.finished
                assert {line.code for line in run.journal.lines()} == {"task_timeout"}
                summary = await run.execute(client)
        assert summary.counts == {LineStatus.ATTACHED: 2}
        assert emulator.ledger.by_path["/disks/disk/attach"] == 2


async def test_what_a_forgotten_task_did_is_read_from_the_disk(tmp_path: Path) -> None:
    """Tasks are not kept for ever, and meanwhile others may have been at work."""
    async with KatapultEmulator(disks=5, virtual_machines=5, task_duration=60.0) as emulator:
        world = emulator.world
        with run_for(tmp_path / "plan.run", plan_of(emulator), attach=True) as run:
            async with client_for(emulator) as client:
                summary = await run.execute(client, task_timeout=1)
                assert summary.counts == {LineStatus.UNKNOWN: 5}
                world.tasks.clear()
                attached, detached, unassigned, trashed, busy = (
                    world.disks[disk] for disk in emulator.disk_ids
                )
                attached.attachment = "attached"
                detached.attachment = "detached"
                unassigned.virtual_machine = None
                world.trash(trashed)
                busy.attachment = "attaching"
                summary = await run.execute(client, task_timeout=2)
            by_disk = {line.disk: line for line in run.journal.lines()}
    assert summary.counts == {LineStatus.ATTACHED: 1, LineStatus.FAILED: 3, LineStatus.UNKNOWN: 1}
    assert by_disk[attached.id].status is LineStatus.ATTACHED
    assert by_disk[busy.id].code == "task_timeout"
    assert by_disk[detached.id].code == "task_failed"
    assert by_disk[unassigned.id].code == "assignment_conflict"
    assert by_disk[trashed.id].code == "object_in_trash"


async def test_an_error_while_tasks_are_waited_for_ends_nothing_and_a_refused_token_ends_the_session(
    tmp_path: Path,
) -> None:
    async with KatapultEmulator(disks=3, virtual_machines=3, task_duration=2.5) as emulator:

        def unavailable_at_first(arrival: Arrival) -> FaultKind | None:
            asked = emulator.ledger.by_path["/tasks/task"]
            return FaultKind.UNAVAILABLE if arrival.path == "/tasks/task" and asked < 5 else None

        emulator.faults.script(unavailable_at_first)
        with run_for(tmp_path / "plan.run", plan_of(emulator), attach=True) as run:
            once = RetryPolicy(attempts=1)
            async with client_for(emulator, retry=once) as client:
                assert (await run.execute(client)).counts == {LineStatus.ATTACHED: 3}
    async with KatapultEmulator(disks=2, virtual_machines=2, task_duration=60) as emulator:
        with run_for(tmp_path / "other.run", plan_of(emulator), attach=True) as run:
            async with client_for(emulator) as client, anyio.create_task_group() as group:

                async def refuse_later() -> None:
                    while not emulator.ledger.by_path["/tasks/task"]:
                        await anyio.sleep(0.05)
                    emulator.tokens.clear()

                group.start_soon(refuse_later)
                await run.execute(client)
            summary = run.summary()
            assert summary.counts == {LineStatus.WAITING: 2}
            assert isinstance(run.refused_by, AuthenticationError)
            assert summary.sessions[-1].ended == "refused"


async def test_a_disk_is_not_attached_to_a_machine_that_does_not_run(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=4, virtual_machines=2, task_duration=0.1) as emulator:
        emulator.world.virtual_machines[emulator.virtual_machine_ids[0]].state = "stopped"
        with run_for(tmp_path / "plan.run", plan_of(emulator), attach=True) as run:
            async with client_for(emulator) as client:
                summary = await run.execute(client)
            assert summary.counts == {LineStatus.ASSIGNED: 2, LineStatus.ATTACHED: 2}
            assert summary.ok
            first = next(run.journal.lines())
            assert first.detail == "the virtual machine is stopped: the disk is attached when it starts"


class StopBeforeAttaching(Observer):
    run: Run

    def on_outcome(self, event: OutcomeEvent) -> None:
        if event.action == "assign":
            self.run.stop()


async def test_a_disk_that_has_gone_elsewhere_is_not_attached_there(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=2) as emulator:
        wanted = plan_of(emulator)
        (disk,) = (emulator.world.disks[name] for name in wanted)
        stop = StopBeforeAttaching()
        with run_of(tmp_path / "plan.run", wanted.items(), attach=True) as stop.run:
            await executed(stop.run, emulator, observer=stop)
        disk.virtual_machine = emulator.virtual_machine_ids[1]
        with Run.open(tmp_path / "plan.run") as run:
            assert await executed(run, emulator) == {LineStatus.FAILED: 1}
            assert next(run.journal.lines()).code == "assignment_conflict"
        assert emulator.ledger.by_path["/disks/disk/attach"] == 0


def busy_for(
    machine: VirtualMachine, emulator: KatapultEmulator, *, attaches: int
) -> Callable[[Arrival], FaultKind | None]:
    """The machine migrates from its first attach request until it has refused so many of them."""

    def script(arrival: Arrival) -> FaultKind | None:
        if arrival.path == "/disks/disk/attach":
            busy = emulator.ledger.by_path["/disks/disk/attach"] <= attaches
            machine.state = "migrating" if busy else "started"
        return None

    return script


async def test_machines_that_take_one_task_at_a_time_are_not_asked_in_vain(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=12, virtual_machines=3, task_duration=0.05) as emulator:
        emulator.world.one_task_a_machine = True
        with run_of(tmp_path / "plan.run", plan_of(emulator).items(), attach=True) as run:
            assert await executed(run, emulator) == {LineStatus.ATTACHED: 12}
        # One request for each disk, and one for each machine to learn that it is so.
        assert emulator.ledger.by_path["/disks/disk/attach"] == 12 + 3


async def test_a_busy_machine_is_waited_for(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=2, virtual_machines=1, task_duration=0.05) as emulator:
        (machine,) = emulator.world.virtual_machines.values()
        with run_of(tmp_path / "plan.run", plan_of(emulator).items(), attach=True) as run:
            async with client_for(emulator) as client:
                emulator.faults.script(busy_for(machine, emulator, attaches=2))
                summary = await run.execute(client)
        assert summary.counts == {LineStatus.ATTACHED: 2}


async def test_a_machine_that_stays_busy_is_left_to_a_resumed_run(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=2, virtual_machines=1, task_duration=0.05) as emulator:
        (machine,) = emulator.world.virtual_machines.values()
        with run_of(tmp_path / "plan.run", plan_of(emulator).items(), attach=True) as run:
            async with client_for(emulator) as client:
                emulator.faults.script(busy_for(machine, emulator, attaches=10_000))
                summary = await run.execute(client, task_timeout=0.1)
                assert summary.counts == {LineStatus.WAITING: 2}
                assert {line.code for line in run.journal.lines()} == {"task_queueing_error"}
                emulator.faults.script(None)
                machine.state = "started"
                assert (await run.execute(client)).counts == {LineStatus.ATTACHED: 2}


async def test_somebody_else_s_attaching_is_as_good_as_ours(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1, task_duration=0.5) as emulator:
        wanted = plan_of(emulator)
        (disk,) = emulator.world.disks.values()
        disk.virtual_machine = wanted[disk.id]
        async with client_for(emulator) as client:
            await client.disks.attach(disk.id)
        with run_of(tmp_path / "plan.run", wanted.items(), attach=True) as run:
            assert await executed(run, emulator) == {LineStatus.ATTACHED: 1}
