"""Durable runs: executed, stopped, resumed, and read back, while answers are lost or late."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from katapult_async import (
    Observer,
    OutcomeEvent,
    RequestEvent,
    RetryEvent,
    StepEvent,
)
from katapult_async.jobs import (
    Finding,
    JournalMismatch,
    LineState,
    LineStatus,
    Manifest,
    Run,
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
    """The journal marks lines as sent before their turn. Without a turn, a line is not sent."""

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
    """The server applies the request after the run has stopped.

    The response was lost, and the read-back showed that the disk was not on the machine.
    """
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


async def test_a_machine_that_was_named_is_known_by_its_id_from_then_on(tmp_path: Path) -> None:
    """Another machine may get the old name. A disk that has moved to that machine stays there."""
    async with KatapultEmulator(disks=1, virtual_machines=2) as emulator:
        (name,) = emulator.disk_ids
        disk = emulator.world.disks[name]
        first, second = (emulator.world.virtual_machines[machine] for machine in emulator.virtual_machine_ids)
        web = first.fqdn
        with run_of(tmp_path / "plan.run", [(name, web)]) as run:
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 1}
        emulator.world.change_fqdn(first, "old." + web)
        emulator.world.change_fqdn(second, web)
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
