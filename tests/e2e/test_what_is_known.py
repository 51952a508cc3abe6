"""A run claims only what is known: where a disk is, how long it took, what a forecast uses."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import anyio
import pytest

from katapult_async import Observer, OutcomeEvent, WaitEvent
from katapult_async.jobs import Finding, Journal, LineRecord, LineStatus, Manifest, Run
from katapult_async.jobs.preflight.forecast import Throughput, seconds_for
from katapult_async.testing import Arrival, Counting, Fault, FaultKind, KatapultEmulator
from tests.durable_runs import client_for, plan_of, run_for
from tests.unit.test_run_state import change, first_version

ASSIGN = "/disks/disk/assign"


async def outcome_of(path: Path, emulator: KatapultEmulator, disk: str, machine: str) -> LineRecord:
    """Of a line whose request is never answered, so that its disk is read."""

    def unclear(arrival: Arrival) -> Fault | None:
        return Fault(FaultKind.SERVER_ERROR, applies=False) if arrival.path == ASSIGN else None

    emulator.faults.script(unclear)
    with Manifest.from_items([(disk, machine)]) as manifest, Run.create(path, manifest) as run:
        async with client_for(emulator) as client:
            await run.execute(client)
        (line,) = run.journal.lines()
    return line


async def test_a_disk_that_is_elsewhere_is_reported_where_it_is_and_nobody_is_accused(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=2) as emulator:
        wanted, other = (emulator.world.virtual_machines[name] for name in emulator.virtual_machine_ids)
        (disk,) = emulator.world.disks.values()
        disk.virtual_machine = other.id
        line = await outcome_of(tmp_path / "plan.run", emulator, disk.id, wanted.id)
    assert (line.status, line.code) == (LineStatus.FAILED, "assignment_conflict")
    assert line.detail == f"{disk.id} is on {other.id} ({other.fqdn}), not on {wanted.id}"


async def test_a_machine_that_does_not_exist_is_the_reason_wherever_the_disk_is(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        (disk,) = emulator.world.disks.values()
        disk.virtual_machine = emulator.virtual_machine_ids[0]
        line = await outcome_of(tmp_path / "plan.run", emulator, disk.id, "vm_doesnotexist")
    assert (line.status, line.code) == (LineStatus.FAILED, "virtual_machine_not_found")


async def test_the_preflight_and_the_run_have_one_code_for_a_disk_that_is_elsewhere(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=2) as emulator:
        (disk,) = emulator.world.disks.values()
        wanted, disk.virtual_machine = emulator.virtual_machine_ids
        with Manifest.from_items([(disk.id, wanted)]) as manifest:
            run = Run.create(tmp_path / "plan.run", manifest, organization="acme")
        with run:
            async with client_for(emulator) as client:
                preflight = await run.preflight(client)
                await run.execute(client)
            (line,) = run.journal.lines()
    assert preflight.counts == {Finding.CONFLICT: 1}
    assert line.code == Finding.CONFLICT.value == "assignment_conflict"


def test_the_code_of_an_older_journal_is_still_understood(tmp_path: Path) -> None:
    path = tmp_path / "old.run"
    first_version(path, "UPDATE line SET status = 'failed', state = 3, code = 'conflict' WHERE number = 1")
    with Journal.read(path) as journal:
        assert next(journal.lines()).code == "assignment_conflict"
    assert Finding("conflict") is Finding.CONFLICT


# -- time ------------------------------------------------------------------------------------------


class SetBack(Observer):
    """Sets the clock of this process back by two hours, in the middle of a run."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.done = False

    def on_outcome(self, event: OutcomeEvent) -> None:  # noqa: ARG002 - any will do
        if not self.done:
            self.done, real = True, time.time
            self._patch.setattr(time, "time", lambda: real() - 7200)


async def test_a_clock_that_is_set_back_makes_no_session_shorter_than_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = SetBack(monkeypatch)
    async with KatapultEmulator(disks=30, virtual_machines=30, latency=0.01) as emulator:
        with Manifest.from_items(plan_of(emulator).items()) as manifest:
            run = Run.create(tmp_path / "plan.run", manifest)
        with run:
            started = time.monotonic()
            async with client_for(emulator, observer=back) as client:
                summary = await run.execute(client)
            took = time.monotonic() - started
    assert back.done
    assert 0 < summary.elapsed <= took
    (session,) = summary.sessions
    assert session.finished_at is not None
    assert session.finished_at >= session.started_at


def test_a_killed_session_has_lasted_as_long_as_it_recorded(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    with Manifest.from_items([("disk_1", "vm_1")]) as manifest:
        Run.create(path, manifest).close()
    change(path, "INSERT INTO session (started_at, elapsed) VALUES (5000, 12.5)")
    change(path, "INSERT INTO second VALUES (100, 5, 0, 0, NULL)")  # the clock had been set back
    with Journal.read(path) as journal:
        assert journal.summary().elapsed == 12.5


# -- forecasts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "limit", "remaining", "per_second", "seconds"),
    [
        (500, 1000, 1000, None, 0.0),
        (500, 1000, 1000, 10, 49.9),
        (2000, 1000, 1000, None, 20.0),
        (2000, 1000, 1000, 10, 199.9),
        (2001, 1000, 1000, 1000, 80.0),
        (500, None, None, None, None),
        (500, None, None, 10, 49.9),
        (0, 1000, 0, 10, 0.0),
    ],
)
def test_a_forecast_honours_the_client_s_own_limit(
    requests: int, limit: int | None, remaining: int | None, per_second: float | None, seconds: float | None
) -> None:
    throughput = Throughput(limit=limit, remaining=remaining, max_per_second=per_second)
    found = seconds_for(requests, throughput, now=40.0)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=0.11))


async def test_a_preflight_knows_the_client_s_own_limit(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=40, virtual_machines=2) as emulator:
        with Manifest.from_items(plan_of(emulator).items()) as manifest:
            run = Run.create(tmp_path / "plan.run", manifest)
        with run:
            async with client_for(emulator, max_per_second=20) as client:
                preflight = await run.preflight(client, "acme")
    assert preflight.seconds == pytest.approx(40 / 20)


class LongWait(Observer):
    """Sets `begun` when requests begin to wait for more than ten seconds."""

    def __init__(self) -> None:
        self.begun = anyio.Event()

    def on_wait(self, event: WaitEvent) -> None:
        if event.until is not None and event.until - event.since > 10:
            self.begun.set()


async def test_the_duration_of_a_session_grows_while_it_waits_for_a_window(tmp_path: Path) -> None:
    """A run that is killed during a long wait was active until then."""
    path, wait = tmp_path / "plan.run", LongWait()
    counting = Counting(limit=5, period=3600.0)
    async with KatapultEmulator(disks=20, virtual_machines=20, counting=counting) as emulator:
        with run_for(path, plan_of(emulator)) as run:
            async with client_for(emulator, rate_window=3600.0, observer=wait) as client:
                executing = asyncio.ensure_future(run.execute(client))
                elapsed = 0.0
                with anyio.fail_after(60):
                    await wait.begun.wait()
                    while elapsed < 3.0:
                        await anyio.sleep(0.1)
                        with Journal.read(path) as journal:
                            elapsed = journal.summary().elapsed
                assert emulator.ledger.total <= 5
                run.stop()
                summary = await executing
    assert summary.elapsed >= elapsed
    assert summary.sessions[-1].ended == "interrupted"
