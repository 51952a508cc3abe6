"""Power actions on many machines, and waiting for the tasks of a run, over real sockets.

The actions are start, stop, shut down and reset.
"""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from katapult_async import (
    AuthenticationError,
    Client,
    NotFound,
    Outcome,
    OutcomeStatus,
    RetryPolicy,
    ScopeNotGranted,
    TaskFailed,
    TaskQueueingError,
    TaskTimeout,
    Timeout,
    VirtualMachine,
)
from katapult_async.bulk import ItemT, Outcomes, ResultT, task_wait
from katapult_async.models import TaskStatus
from katapult_async.resources import Machine, read_again
from katapult_async.testing import FaultKind, Faults, KatapultEmulator

S = OutcomeStatus
QUICK = RetryPolicy(base=0.01, cap=0.05)
ENDS = {"start": "started", "stop": "stopped", "shutdown": "stopped", "reset": "started"}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other after milliseconds, not seconds."""
    monkeypatch.setattr(read_again, "READ_PAUSES", (0.02, 0.04))
    monkeypatch.setattr(task_wait, "FIRST_POLL", 0.02)
    monkeypatch.setattr(task_wait, "LONGEST_PAUSE", 0.1)


def client_for(emulator: KatapultEmulator, token: str = "token") -> Client:
    return Client(token, base_url=emulator.url, retry=QUICK, timeout=Timeout(total=1.0))


async def collect(run: Outcomes[ItemT, ResultT]) -> list[Outcome[ItemT, ResultT]]:
    async with run as outcomes:
        return [outcome async for outcome in outcomes]


def power(
    client: Client, action: str, machines: list[str], *, wait: bool
) -> Outcomes[Machine, VirtualMachine]:
    each = {
        "start": client.virtual_machines.start_each,
        "stop": client.virtual_machines.stop_each,
        "shutdown": client.virtual_machines.shutdown_each,
        "reset": client.virtual_machines.reset_each,
    }
    return each[action](machines, wait=wait)


@pytest.mark.parametrize("action", list(ENDS))
async def test_many_machines_and_one(action: str) -> None:
    async with KatapultEmulator(virtual_machines=21, task_duration=0.1) as emulator:
        machines = emulator.world.virtual_machines
        for machine in machines.values():
            machine.state = "stopped" if action == "start" else "started"
        one, *others = emulator.virtual_machine_ids
        async with client_for(emulator) as client:
            outcomes = await collect(power(client, action, others, wait=True))
            assert {outcome.status for outcome in outcomes} == {S.DONE}
            assert {machines[vm].state for vm in others} == {ENDS[action]}
            ends = {outcome.task.status for outcome in outcomes if outcome.task is not None}
            assert ends == {TaskStatus.COMPLETED}
            assert emulator.ledger.applied_total[action] == 20
            single = getattr(client.virtual_machines, action)
            with anyio.fail_after(10):
                task = await single(machines[one].fqdn, wait=True)
            assert (task.status, machines[one].state) == (TaskStatus.COMPLETED, ENDS[action])
            assert (await client.virtual_machines.get(one)).state == ENDS[action]


async def test_a_machine_that_is_there_already_is_no_failure_and_a_reset_of_a_stopped_one_is() -> None:
    async with KatapultEmulator(virtual_machines=2) as emulator, client_for(emulator) as client:
        (outcome, _) = await collect(client.virtual_machines.start_each(emulator.virtual_machine_ids))
        assert outcome.word == "already_started"
        assert outcome.result is not None
        assert await client.virtual_machines.start(emulator.virtual_machine_ids[0]) is None
        emulator.world.virtual_machines[emulator.virtual_machine_ids[0]].state = "stopped"
        report = await client.virtual_machines.reset_many([*emulator.virtual_machine_ids, "vm_missing"])
        assert report.counts == {S.DONE: 1, S.FAILED: 2}
        assert {type(failure.error) for failure in report.failures} == {TaskQueueingError, NotFound}
        with pytest.raises(TaskQueueingError):
            await client.virtual_machines.reset(emulator.virtual_machine_ids[0])


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("action", list(ENDS))
async def test_the_ledger_agrees_with_every_outcome(action: str, seed: int) -> None:
    faults = Faults.everywhere(0.1, seed=seed)
    async with KatapultEmulator(
        disks=0, virtual_machines=120, limit=100_000, task_duration=0.05, faults=faults
    ) as emulator:
        for machine in emulator.world.virtual_machines.values():
            machine.state = "stopped" if action == "start" else "started"
        async with client_for(emulator) as client:
            outcomes = await collect(power(client, action, emulator.virtual_machine_ids, wait=True))
            emulator.world.advance(emulator.now() + 1)
        assert Counter(outcome.item.virtual_machine for outcome in outcomes) == Counter(
            emulator.virtual_machine_ids
        )
        assert emulator.ledger.applied_more_than_once(action) == []
        for outcome in outcomes:
            assert outcome.status in {S.DONE, S.UNKNOWN}, str(outcome.error)
            if outcome.ok:
                assert emulator.ledger.applied_count(outcome.item.virtual_machine, action) == 1
        # On a busy machine some time out, and come out as unknown.
        assert sum(outcome.ok for outcome in outcomes) >= 60


async def test_an_unclear_reset_is_never_repeated() -> None:
    async with KatapultEmulator(virtual_machines=1) as emulator, client_for(emulator) as client:
        for kind in (FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER):
            emulator.ledger.clear()
            emulator.faults.next(kind)
            report = await client.virtual_machines.reset_many(emulator.virtual_machine_ids)
            assert report.counts == {S.UNKNOWN: 1}
            assert emulator.ledger.total == 1


async def test_a_token_for_power_actions_alone_need_not_read_machines() -> None:
    async with KatapultEmulator(virtual_machines=2) as emulator, client_for(emulator) as client:
        emulator.tokens["token"].scopes = frozenset({"virtual_machines:power_actions"})
        emulator.faults.next("reset_after")
        report = await client.virtual_machines.stop_many(emulator.virtual_machine_ids)
        assert report.counts == {S.UNKNOWN: 1, S.DONE: 1}
        assert report.stopped_by is None


# -- waiting for tasks -----------------------------------------------------------------------------


async def test_a_task_that_fails_is_the_failure_of_its_item() -> None:
    async with KatapultEmulator(disks=2, virtual_machines=1, task_duration=0.05) as emulator:
        emulator.world.tasks_fail = True
        async with client_for(emulator) as client:
            report = await client.disks.resize_many([(emulator.disk_ids[0], 50)], wait=True)
            (failure,) = report.failures
            assert isinstance(failure.error, TaskFailed)
            assert failure.error.task.id in str(failure.error)
            assert (failure.status, failure.code) == (S.FAILED, "task_failed")
            with pytest.raises(TaskFailed):
                await client.disks.resize(emulator.disk_ids[1], 50, wait=True)


async def test_one_disk_of_a_machine_is_attached_at_a_time() -> None:
    """The machine takes no second task: without waiting, most of these disks fail."""
    async with KatapultEmulator(disks=12, virtual_machines=3, task_duration=0.05) as emulator:
        emulator.world.one_task_a_machine = True
        machines = emulator.virtual_machine_ids
        pairs = [(disk, machines[number % 3]) for number, disk in enumerate(emulator.disk_ids)]
        async with client_for(emulator) as client:
            assert (await client.disks.assign_many(pairs)).ok
            report = await client.disks.attach_many(pairs, wait=True)
            assert report.counts == {S.DONE: 12}, str(report)
            assert {disk.attachment for disk in emulator.world.disks.values()} == {"attached"}
            assert report.requests == emulator.ledger.total - 12
            report = await client.disks.detach_many(pairs, wait=True)
            assert report.counts == {S.DONE: 12}


async def test_a_task_that_does_not_end_in_time_leaves_its_item_unknown() -> None:
    async with KatapultEmulator(disks=3, task_duration=3600) as emulator, client_for(emulator) as client:
        sizes = [(disk, 50) for disk in emulator.disk_ids]
        report = await client.disks.resize_many(sizes, wait=True, task_timeout=0.3)
    assert report.counts == {S.UNKNOWN: 3}
    for failure in report.failures:
        assert isinstance(failure.error, TaskTimeout)
        assert failure.task is not None
        assert "has not ended in 0.3 s" in str(failure.error)


async def test_a_task_that_is_not_kept_leaves_its_item_unknown() -> None:
    async with KatapultEmulator(disks=1, task_duration=3600) as emulator, client_for(emulator) as client:
        async with client.disks.resize_each([(emulator.disk_ids[0], 50)], wait=True) as run:
            while not emulator.world.tasks:
                await anyio.sleep(0.005)
            emulator.world.tasks.clear()
            (outcome,) = [outcome async for outcome in run]
        assert (outcome.status, outcome.code) == (S.UNKNOWN, "task_not_found")
        assert outcome.task is not None


async def test_stop_leaves_the_items_unknown_whose_tasks_have_not_ended() -> None:
    async with KatapultEmulator(disks=40, task_duration=3600) as emulator, client_for(emulator) as client:
        sizes = [(disk, 50) for disk in emulator.disk_ids]
        async with client.disks.resize_each(sizes, wait=True) as run:
            while len(emulator.world.tasks) < 40:
                await anyio.sleep(0.005)
            run.stop()
            outcomes = [outcome async for outcome in run]
        assert Counter(outcome.status for outcome in outcomes) == {S.UNKNOWN: 40}
        assert run.report.total == 40


async def test_leaving_a_run_early_reports_the_items_whose_tasks_have_not_ended() -> None:
    async with KatapultEmulator(disks=10, task_duration=3600) as emulator, client_for(emulator) as client:
        sizes = [(disk, 50) for disk in emulator.disk_ids]
        async with client.disks.resize_each(sizes, wait=True) as run:
            while len(emulator.world.tasks) < 10:
                await anyio.sleep(0.005)
        assert run.report.counts == {S.UNKNOWN: 10}


async def test_more_tasks_than_a_run_waits_for_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_wait, "MOST_TASKS", 8)
    async with KatapultEmulator(disks=100, task_duration=0.05) as emulator, client_for(emulator) as client:
        report = await client.disks.resize_many(((disk, 50) for disk in emulator.disk_ids), wait=True)
        assert report.counts == {S.DONE: 100}


async def test_a_token_that_may_not_read_tasks_ends_the_run() -> None:
    async with KatapultEmulator(disks=50, task_duration=0.01) as emulator, client_for(emulator) as client:
        emulator.tokens["token"].scopes = frozenset({"disks"})
        report = await client.disks.resize_many([(disk, 50) for disk in emulator.disk_ids], wait=True)
    assert isinstance(report.stopped_by, ScopeNotGranted)
    assert isinstance(report.stopped_by, AuthenticationError)
    assert set(report.counts) <= {S.UNKNOWN, S.NOT_ATTEMPTED}


async def test_polls_are_few() -> None:
    async with KatapultEmulator(disks=50, task_duration=0.3) as emulator, client_for(emulator) as client:
        report = await client.disks.resize_many([(disk, 50) for disk in emulator.disk_ids], wait=True)
        assert report.ok
        assert emulator.ledger.by_path["/tasks/task"] <= 8 * 50
