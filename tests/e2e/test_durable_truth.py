"""What a durable run claims to have done, and what a rollback reverts, when others act at the same time, answers are
lost, and processes die at the wrong moment.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from katapult_async import Observer, OutcomeEvent, RequestEvent, RetryEvent
from katapult_async.jobs import (
    Finding,
    Journal,
    JournalDamaged,
    JournalError,
    JournalExists,
    JournalLocked,
    LineStatus,
    Manifest,
    Run,
    rollback_scope,
)
from katapult_async.testing import Arrival, Fault, FaultKind, KatapultEmulator
from katapult_async.testing.state import VirtualMachine
from tests.e2e.test_durable import CHILD, client_for, plan_of, start

ASSIGN = "/disks/disk/assign"


def run_of(path: Path, items: Iterable[tuple[str, str]], *, attach: bool = False) -> Run:
    with Manifest.from_items(items) as manifest:
        return Run.create(path, manifest, attach=attach)


async def executed(run: Run, emulator: KatapultEmulator, **settings: object) -> dict[LineStatus, int]:
    async with client_for(emulator, **settings) as client:
        return (await run.execute(client)).counts


class Stop(Observer):
    """Stops a run when something happens."""

    run: Run

    def __init__(self, *, at_read_back: bool = False, at_retry: bool = False) -> None:
        self._at_read_back, self._at_retry = at_read_back, at_retry

    def on_request(self, event: RequestEvent) -> None:
        if self._at_read_back and event.operation == "POST /disks/disk/assign":
            asyncio.get_running_loop().call_later(0.02, self.run.stop)

    def on_retry(self, event: RetryEvent) -> None:
        if self._at_retry and event.operation.startswith("assign"):
            self.run.stop()


# -- what is this run's, and what is not ----------------------------------------------------------------------------


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
            assert (rollback_scope(journal).lines, rollback_scope(journal).uncertain) == (1, 1)
        with Run.roll_back(path, tmp_path / "back.run") as back:
            assert await executed(back, emulator) == {LineStatus.UNASSIGNED: 1}
        assert there.virtual_machine == wanted[there.id]
        assert free.virtual_machine is None


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


async def test_a_run_stopped_while_it_reads_back_goes_on_with_the_line(tmp_path: Path) -> None:
    stop = Stop(at_read_back=True)
    async with KatapultEmulator(disks=1, virtual_machines=1, latency=0.1) as emulator:
        emulator.faults.next(FaultKind.SERVER_ERROR, applies=False)
        with run_of(tmp_path / "plan.run", plan_of(emulator).items()) as stop.run:
            counts = await executed(stop.run, emulator, observer=stop)
            assert counts == {LineStatus.UNKNOWN: 1}
        emulator.faults.script(None)
        with Run.open(tmp_path / "plan.run") as run:
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 1}


async def test_what_a_slow_server_does_after_the_run_was_stopped_is_still_the_run_s(tmp_path: Path) -> None:
    """The answer was lost, the disk was read and was not there, the run was stopped, and then the server came to it."""
    stop = Stop(at_retry=True)
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        wanted = plan_of(emulator)
        (disk,) = (emulator.world.disks[name] for name in wanted)
        emulator.faults.script(lambda arrival: FaultKind.TIMEOUT_BEFORE if arrival.path == ASSIGN else None)
        with run_of(tmp_path / "plan.run", wanted.items()) as stop.run:
            counts = await executed(stop.run, emulator, observer=stop)
            assert counts == {LineStatus.UNKNOWN: 1}
        disk.virtual_machine = wanted[disk.id]
        with Run.open(tmp_path / "plan.run") as run:
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 1}
        with Run.roll_back(tmp_path / "plan.run", tmp_path / "back.run") as back:
            assert await executed(back, emulator) == {LineStatus.UNASSIGNED: 1}


async def test_a_line_that_never_got_a_clear_answer_is_left_to_a_resumed_run(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        emulator.faults.script(
            lambda arrival: Fault(FaultKind.SERVER_ERROR, applies=False) if arrival.path == ASSIGN else None
        )
        with run_of(tmp_path / "plan.run", plan_of(emulator).items()) as run:
            assert await executed(run, emulator) == {LineStatus.WAITING: 1}
            line = next(run.journal.lines())
            assert line.code == "unhandled_exception"
        emulator.faults.script(None)
        with Run.open(tmp_path / "plan.run") as run:
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 1}


# -- disks and machines that others move ----------------------------------------------------------------------------


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


async def test_a_machine_that_was_named_is_known_by_its_id_from_then_on(tmp_path: Path) -> None:
    """Names are given away: a disk that has gone to another machine with the old name stays there."""
    async with KatapultEmulator(disks=1, virtual_machines=2) as emulator:
        (name,) = emulator.disk_ids
        disk = emulator.world.disks[name]
        first, second = (emulator.world.virtual_machines[machine] for machine in emulator.virtual_machine_ids)
        web = first.fqdn
        with run_of(tmp_path / "plan.run", [(name, web)]) as run:
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 1}
        emulator.world.rename(first, "old." + web)
        emulator.world.rename(second, web)
        disk.virtual_machine = second.id
        with Run.roll_back(tmp_path / "plan.run", tmp_path / "back.run") as back:
            assert await executed(back, emulator) == {LineStatus.FAILED: 1}
        assert disk.virtual_machine == second.id


async def test_a_name_with_capitals_and_a_dot_at_its_end_is_the_same_name(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        machine = emulator.world.virtual_machines[emulator.virtual_machine_ids[0]]
        with run_of(tmp_path / "plan.run", [(emulator.disk_ids[0], machine.fqdn.upper() + ".")]) as run:
            async with client_for(emulator) as client:
                assert (await run.preflight(client, "acme")).counts == {Finding.TO_ASSIGN: 1}
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 1}


async def test_a_disk_attached_by_a_start_of_its_machine_is_rolled_back(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1, task_duration=0.1) as emulator:
        (disk,) = emulator.world.disks.values()
        with run_of(tmp_path / "plan.run", plan_of(emulator).items()) as run:
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 1}
        disk.attachment = "attached"
        with Run.roll_back(tmp_path / "plan.run", tmp_path / "back.run") as back:
            assert await executed(back, emulator) == {LineStatus.UNASSIGNED: 1}
        assert disk.virtual_machine is None


# -- machines that are busy -----------------------------------------------------------------------------------------


def busy_for(
    machine: VirtualMachine, emulator: KatapultEmulator, *, attaches: int
) -> Callable[[Arrival], FaultKind | None]:
    """The machine begins to migrate once its disks are assigned, and does so until it has refused so many tasks."""

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


async def test_a_rollback_waits_until_what_it_takes_back_is_attached(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1, task_duration=1.5) as emulator:
        with run_of(tmp_path / "plan.run", plan_of(emulator).items(), attach=True) as run:
            async with client_for(emulator) as client:
                await run.execute(client, task_timeout=0.1)
        with Run.roll_back(tmp_path / "plan.run", tmp_path / "back.run") as back:
            assert await executed(back, emulator) == {LineStatus.UNASSIGNED: 1}


# -- files ----------------------------------------------------------------------------------------------------------


async def killed(path: Path, emulator: KatapultEmulator, *, after: int) -> None:
    process = await start(path, emulator, 60.0)
    while emulator.ledger.by_path[ASSIGN] < after:
        await asyncio.sleep(0.01)
    process.kill()
    await process.wait()


async def test_what_is_left_of_a_run_is_not_taken_for_a_new_one_s(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(disks=60, virtual_machines=60, latency=0.05) as emulator:
        run_of(path, plan_of(emulator).items()).close()
        await killed(path, emulator, after=20)
        assert path.with_name("plan.run-wal").exists()
        path.unlink()
        with pytest.raises(JournalExists, match=r"plan\.run-wal belongs to the journal"):
            run_of(path, plan_of(emulator).items())


async def test_a_damaged_file_is_left_as_it_is_with_what_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(disks=2000, virtual_machines=100, latency=0.05) as emulator:
        run_of(path, plan_of(emulator).items()).close()
        await killed(path, emulator, after=20)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(b"\xff" * 4096)
        before = {
            name: name.read_bytes() for name in tmp_path.iterdir() if name.suffix in (".run", ".run-wal")
        }
        with pytest.raises(JournalDamaged, match="not changed"):
            Run.open(path)
        with pytest.raises(JournalDamaged):
            Run.roll_back(path, tmp_path / "back.run")
        assert {name: name.read_bytes() for name in before} == before


async def test_one_journal_has_one_lock_whatever_it_is_called(tmp_path: Path) -> None:
    path, link, twin = tmp_path / "plan.run", tmp_path / "link.run", tmp_path / "twin.run"
    with run_of(path, [("disk_1", "vm_1")]):
        link.symlink_to(path)
        with pytest.raises(JournalLocked):
            Run.open(link)
        with Journal.read(link) as journal:
            assert journal.summary().locked_by is not None
    os.link(path, twin)
    with pytest.raises(JournalError, match="second name"):
        Run.open(twin)


async def test_a_preflight_of_long_ago_settles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(disks=2, virtual_machines=2) as emulator:
        wanted = plan_of(emulator)
        there, elsewhere = (emulator.world.disks[disk] for disk in wanted)
        there.virtual_machine, elsewhere.virtual_machine = wanted[there.id], wanted[there.id]
        with run_of(path, wanted.items()) as run:
            async with client_for(emulator) as client:
                found = await run.preflight(client, "acme")
                assert found.counts == {Finding.ALREADY_THERE: 1, Finding.CONFLICT: 1}
            run.journal.query(sqlite3.Connection.execute, "UPDATE run SET looked_at = looked_at - 3600")
            there.virtual_machine = elsewhere.virtual_machine = None
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 2}


async def test_what_the_lists_do_not_show_is_sent_all_the_same(tmp_path: Path) -> None:
    """More than are read one by one: another organization's disks that the token may use."""
    async with KatapultEmulator(disks=260, virtual_machines=20) as emulator:
        wanted = plan_of(emulator)
        hidden = list(emulator.world.disks)[:150]
        emulator.world.unlisted.update(hidden)
        with run_of(tmp_path / "plan.run", wanted.items()) as run:
            async with client_for(emulator) as client:
                found = await run.preflight(client, "acme")
                assert found.counts == {Finding.TO_ASSIGN: 210, Finding.NOT_LISTED: 50}
                assert (await run.preflight(client, "acme", thorough=True)).counts == {Finding.TO_ASSIGN: 260}
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 260}


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="becoming somebody else needs root"
)
async def test_somebody_else_may_look_and_sees_the_truth(tmp_path: Path) -> None:
    """Also of a run that is being executed, or was killed: its last records are not in the file itself yet."""
    path = tmp_path / "plan.run"
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/") and folder != Path("/tmp"):  # noqa: S108
            folder.chmod(0o755)
    async with KatapultEmulator(disks=300, virtual_machines=300, limit=120) as emulator:
        run_of(path, plan_of(emulator).items()).close()
        process = await start(path, emulator, 60.0)
        while emulator.ledger.by_path[ASSIGN] < 100:
            await asyncio.sleep(0.01)
        alive = await _seen_by_nobody(path)
        process.kill()
        await process.wait()
        assert f"Running in process {process.pid} on " in alive
        dead = await _seen_by_nobody(path)
        path.with_name("plan.run-shm").unlink()
        without = await _seen_by_nobody(path)
        with Journal.read(path) as journal:
            done = journal.summary().counts[LineStatus.ASSIGNED]
    for seen in (dead, without):
        assert f"{done} of 300 lines done" in seen
        assert "katapult-async resume " in seen


async def _seen_by_nobody(path: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", AS_NOBODY, str(path)),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2]), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


#: Loads everything first, also what is loaded late: nobody may not read every folder that Python lies in.
AS_NOBODY = (
    "import os, sys, tempfile, shutil, random, importlib, pkgutil; from katapult_async import cli, jobs\n"
    "for package in (cli, jobs):\n"
    "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
    "        importlib.import_module(module.name)\n"
    "from katapult_async.cli.status import run_status\n"
    "os.setgid(65534); os.setuid(65534); sys.exit(run_status(sys.argv[1]))"
)
