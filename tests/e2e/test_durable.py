"""Durable runs against the emulator: killed, interrupted, out of room, locked; resumed; taken back."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from katapult_async import (
    AuthenticationError,
    Client,
    Observer,
    OutcomeEvent,
    RetryPolicy,
    StepEvent,
    Timeout,
)
from katapult_async.jobs import (
    Found,
    Journal,
    JournalError,
    JournalLocked,
    JournalMismatch,
    JournalWriteError,
    LineRecord,
    LineState,
    LineStatus,
    Manifest,
    Run,
    RunSummary,
    preview,
)
from katapult_async.testing import Arrival, Counting, FaultKind, Faults, KatapultEmulator

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


async def finish(path: Path, emulator: KatapultEmulator) -> tuple[RunSummary, list[LineRecord]]:
    """Execute a run until nothing is left to do; where it stands then."""
    while True:
        assert await (await start(path, emulator, 1.0)).wait() == 0
        with Journal.read(path) as journal:
            summary = journal.summary()
            if summary.finished:
                return summary, list(journal.lines())


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
    """The run is killed, too. A sixth of the disks were on their machines before, and every machine has a boot disk."""
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


def plan_of(emulator: KatapultEmulator) -> dict[str, str]:
    machines = emulator.virtual_machine_ids
    return {disk: machines[number % len(machines)] for number, disk in enumerate(emulator.disk_ids)}


def run_for(path: Path, wanted: dict[str, str], *, attach: bool = False) -> Run:
    with Manifest.from_items(wanted.items()) as manifest:
        return Run.create(path, manifest, attach=attach)


def client_for(emulator: KatapultEmulator, **settings: object) -> Client:
    options: dict[str, object] = {
        "base_url": emulator.url,
        "retry": RetryPolicy(base=0.01, cap=0.05),
        "timeout": Timeout(total=0.5),
        **settings,
    }
    return Client("token", **options)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of files")
async def test_a_full_disk_ends_with_a_clear_sentence_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(disks=1500, virtual_machines=300, limit=100_000) as emulator:
        wanted = plan_of(emulator)
        run_for(path, wanted).close()
        room = path.stat().st_size  # for SQLite's write-ahead log, too: it takes more than that in the end
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", f'ulimit -f {room // 1024}; exec "$@"', "-"),
            *(sys.executable, "-W", "error", "-m", "katapult_async.cli"),
            *("resume", str(path), "--base-url", emulator.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                # What measures the coverage has no room for its own file either.
                **{name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
                "PYTHONPATH": str(CHILD.parents[2]),
                "KATAPULT_API_KEY": "token",
            },
        )
        _, err = await process.communicate()
        assert process.returncode == 1
        assert b"Traceback" not in err
        assert b"cannot be written" in err
        assert f"katapult-async resume {path}".encode() in err
        sent = emulator.ledger.by_path["/disks/disk/assign"]
        assert 0 < sent < 1500
        summary, _ = await finish(path, emulator)
        assert summary.counts == {LineStatus.ASSIGNED: 1500}
        assert emulator.ledger.by_path["/disks/disk/assign"] == 1500
        assert emulator.ledger.applied_more_than_once() == []


async def test_a_folder_that_is_not_there_or_not_writable_is_said_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    folders = [tmp_path / "none", tmp_path / "file"]
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        folders.append(tmp_path / "closed")
    for folder in folders:
        with pytest.raises(JournalWriteError, match=str(folder)):
            run_for(folder / "plan.run", {"disk_1": "vm_1"})
    assert not list(tmp_path.rglob("*.lock"))


async def test_only_one_process_executes_a_run(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(
        disks=200, virtual_machines=20, counting=Counting(limit=20, period=1.0)
    ) as emulator:
        run_for(path, plan_of(emulator)).close()
        process = await start(path, emulator, 1.0)
        with pytest.raises(JournalLocked, match=f"process {process.pid} on "):
            Run.open(path)
        with pytest.raises(JournalError, match="stop it there"):
            Run.roll_back(path, tmp_path / "back.run")
        with Journal.read(path) as journal:
            assert f"process {process.pid} on" in str(journal.summary().locked_by)
        process.kill()
        await process.wait()
        # The operating system has taken the lock back.
        with Run.open(path) as run:
            assert run.summary().locked_by is None


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
                plugged, unplugged, unassigned, trashed, busy = (
                    world.disks[disk] for disk in emulator.disk_ids
                )
                plugged.attachment = "attached"
                unplugged.attachment = "detached"
                unassigned.virtual_machine = None
                world.trash(trashed)
                busy.attachment = "attaching"
                summary = await run.execute(client, task_timeout=2)
            by_disk = {line.disk: line for line in run.journal.lines()}
    assert summary.counts == {LineStatus.ATTACHED: 1, LineStatus.FAILED: 3, LineStatus.UNKNOWN: 1}
    assert by_disk[plugged.id].status is LineStatus.ATTACHED
    assert by_disk[busy.id].code == "task_timeout"
    assert by_disk[unplugged.id].code == "task_failed"
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


async def test_a_disk_is_not_plugged_into_a_machine_that_does_not_run(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=4, virtual_machines=2, task_duration=0.1) as emulator:
        emulator.world.virtual_machines[emulator.virtual_machine_ids[0]].state = "stopped"
        with run_for(tmp_path / "plan.run", plan_of(emulator), attach=True) as run:
            async with client_for(emulator) as client:
                summary = await run.execute(client)
            assert summary.counts == {LineStatus.ASSIGNED: 2, LineStatus.ATTACHED: 2}
            assert summary.ok
            first = next(run.journal.lines())
            assert first.detail == "the virtual machine is stopped: the disk is attached when it starts"


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


async def test_a_run_knows_its_installation(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1) as emulator:
        with Manifest.from_items(plan_of(emulator).items()) as manifest:
            run = Run.create(tmp_path / "plan.run", manifest, base_url="https://other.example/core/v1")
        with run:
            async with client_for(emulator) as client:
                with pytest.raises(JournalMismatch, match=r"was made for https://other\.example"):
                    await run.execute(client)
        assert emulator.ledger.total == 0


async def test_logs_and_observers_follow_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Watching(Observer):
        def __init__(self) -> None:
            self.steps: list[str] = []
            self.outcomes: list[str] = []

        def on_step(self, event: StepEvent) -> None:
            self.steps.append(f"{event.step} {event.lines}")

        def on_outcome(self, event: OutcomeEvent) -> None:
            self.outcomes.append(f"{event.action} {event.status}")

    watching = Watching()
    async with KatapultEmulator(disks=3, virtual_machines=1, task_duration=0.1) as emulator:
        with caplog.at_level("DEBUG", logger="katapult_async"):
            with run_for(tmp_path / "plan.run", plan_of(emulator), attach=True) as run:
                async with client_for(emulator, observer=watching) as client:
                    await run.execute(client)
    assert watching.steps == ["assign 3", "attach 3", "wait 3"]
    assert watching.outcomes == ["assign assigned"] * 3 + ["attach attached"] * 3 + ["wait attached"] * 3
    records = [record for record in caplog.records if record.name.startswith("katapult_async")]
    assert {record.name for record in records} >= {"katapult_async.transport", "katapult_async.jobs"}
    assert {record.__dict__["run_id"] for record in records} == {run.info.run_id}
    sent = [record for record in records if record.name == "katapult_async.transport"]
    assert all(record.__dict__["request_id"] != "-" for record in sent)


async def test_a_run_that_was_stopped_has_nothing_to_read_back(tmp_path: Path) -> None:
    """Lines are marked as sent before their turn comes. Those whose turn did not come are not sent."""

    class StopAfterSome(Observer):
        def on_outcome(self, event: OutcomeEvent) -> None:
            if event.ok:
                run.stop()

    async with KatapultEmulator(disks=300, virtual_machines=300, latency=0.01) as emulator:
        with run_for(tmp_path / "plan.run", plan_of(emulator)) as run:
            async with client_for(emulator, observer=StopAfterSome()) as client:
                summary = await run.execute(client)
            done = summary.counts[LineStatus.ASSIGNED]
            assert 0 < done < 150
            assert emulator.ledger.by_path["/disks/disk/assign"] == done
            for line in run.journal.lines():
                begun = line.status is LineStatus.ASSIGNED
                assert (line.attempts, line.state is LineState.SETTLED) == (int(begun), begun)
                assert (line.sent_at is not None) == begun
                assert begun or line.state is LineState.WAITING
        with Run.open(tmp_path / "plan.run") as run:
            async with client_for(emulator) as client:
                assert (await run.execute(client)).counts == {LineStatus.ASSIGNED: 300}
        assert emulator.ledger.by_path["/disks/disk/assign"] == 300
        assert emulator.ledger.by_path["/disks/disk"] == 0


async def test_the_second_execution_of_a_finished_run_sends_nothing(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=5, virtual_machines=2) as emulator:
        with run_for(tmp_path / "plan.run", plan_of(emulator)) as run:
            async with client_for(emulator) as client:
                await run.execute(client)
                before = emulator.ledger.total
                summary = await run.execute(client)
        assert emulator.ledger.total == before
        assert len(summary.sessions) == 2


async def test_the_look_ahead_reads_whole_pages(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1000, virtual_machines=40, limit=10_000) as emulator:
        wanted = plan_of(emulator)
        async with client_for(emulator) as client:
            with Manifest.from_items(wanted.items()) as manifest:
                preflight = await preview(client, manifest, "acme")
        assert preflight.counts == {Found.TO_ASSIGN: 1000}
        assert emulator.ledger.by_path["/organizations/organization/disks"] == 5
        assert preflight.requests == emulator.ledger.total == 5 + 1 + 40
        assert preflight.seconds is not None
        assert preflight.seconds < 30  # as long as the connection takes: the limit does not matter
        assert preflight.not_compared == 1000
    assert list(tmp_path.iterdir()) == []
