"""Bulk runs over real sockets: one outcome per item, and no disk is assigned twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from katapult_async import (
    Assignment,
    AssignmentConflict,
    AuthenticationError,
    BulkError,
    Client,
    Outcome,
    OutcomeStatus,
    RetryPolicy,
    Timeout,
)
from katapult_async.testing import Answers, Counting, FaultKind, Faults, KatapultEmulator
from tests.opened import opened

QUICK = RetryPolicy(base=0.01, cap=0.05)


def client_for(emulator: KatapultEmulator, token: str = "token", **settings: object) -> Client:
    options: dict[str, object] = {
        "base_url": emulator.url,
        "retry": QUICK,
        "timeout": Timeout(total=10),
        **settings,
    }
    return Client(token, **options)  # type: ignore[arg-type]


def pairs(emulator: KatapultEmulator) -> list[Assignment]:
    machines = emulator.virtual_machine_ids
    return [
        Assignment(disk, machines[number % len(machines)]) for number, disk in enumerate(emulator.disk_ids)
    ]


def assert_each_applied_once(emulator: KatapultEmulator, items: list[Assignment]) -> None:
    for item in items:
        assert emulator.world.disks[item.disk].virtual_machine == item.virtual_machine
    assert emulator.ledger.applied_more_than_once() == []


@pytest.mark.parametrize("kind", ["aligned", "fixed", "sliding", "bucket", "burst"])
@pytest.mark.parametrize("headers", [True, False])
async def test_every_kind_of_limiter_over_real_sockets(kind: str, headers: bool) -> None:
    async with KatapultEmulator(
        disks=300,
        virtual_machines=40,
        counting=Counting(limit=120, period=2.0, limiter=kind, burst=20),
        answers=Answers(headers=headers),
    ) as emulator:
        items = pairs(emulator)
        async with client_for(emulator, rate_window=2.0) as client:
            report = await client.disks.assign_many(items)
        assert report.ok, str(report)
        assert report.counts == {OutcomeStatus.ASSIGNED: 300}
        assert report.rate_limited == emulator.ledger.refusals
        assert report.requests == emulator.ledger.total
        assert report.total_permitted == 120
        assert_each_applied_once(emulator, items)
        if headers:
            # Other kinds look aligned until the first boundary. With windows of two seconds, every
            # run starts within seconds of a boundary, so a bucket may refuse a request, too.
            assert emulator.ledger.refusals <= (0 if kind == "aligned" else 2)
        else:
            assert emulator.ledger.refusals <= 32 + 6 * (report.elapsed / 2 + 1)
        assert emulator.ledger.max_in_flight_per_virtual_machine == 1
        assert emulator.ledger.max_in_flight <= 32


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_outcomes_are_true_with_faults_on_a_fifth_of_the_requests(seed: int) -> None:
    async with KatapultEmulator(
        disks=250, virtual_machines=50, limit=100_000, faults=Faults.everywhere(0.2, seed=seed)
    ) as emulator:
        items = pairs(emulator)
        outcomes: list[Outcome] = []
        async with (
            client_for(emulator, timeout=Timeout(total=0.2)) as client,
            client.disks.assign_each(items) as run,
        ):
            outcomes = [outcome async for outcome in run]
        assert Counter(outcome.assignment for outcome in outcomes) == Counter(items)
        assert emulator.ledger.applied_more_than_once() == []
        for outcome in outcomes:
            machine = emulator.world.disks[outcome.assignment.disk].virtual_machine
            if outcome.ok:
                assert machine == outcome.assignment.virtual_machine
            elif outcome.status is OutcomeStatus.FAILED:
                assert machine is None
            assert outcome.ok or outcome.error is not None
        assert sum(outcome.ok for outcome in outcomes) >= 245


@pytest.mark.parametrize("kind", list(FaultKind))
async def test_one_assignment_succeeds_after_each_kind_of_fault(kind: FaultKind) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        emulator.faults.next(kind, applies=True)
        async with client_for(emulator, timeout=Timeout(total=0.2)) as client:
            disk = await client.disks.assign(emulator.disk_ids[0], emulator.virtual_machine_ids[0])
        assert disk.id == emulator.disk_ids[0]
        assert emulator.ledger.applied_count(disk.id) == 1


async def test_a_wrong_token_ends_a_run_of_ten_thousand_at_once() -> None:
    async with KatapultEmulator(disks=1) as emulator:
        items = [Assignment(f"disk_{number}", f"vm_{number % 500}") for number in range(10_000)]
        async with client_for(emulator, "wrong") as client:
            report = await client.disks.assign_many(items)
        assert emulator.ledger.total <= 32
        # The run stops reading the input. Items that were read have outcomes.
        assert 1 <= report.total <= 32
        assert not report.complete
        assert isinstance(report.stopped_by, AuthenticationError)
        assert "KATAPULT_API_KEY" in str(report.stopped_by)
        assert "wrong" not in str(report.stopped_by)
        with pytest.raises(BulkError) as caught:
            report.raise_for_failures()
        assert caught.value.report is report


async def test_a_server_that_is_not_running_ends_the_run() -> None:
    async with KatapultEmulator(disks=1) as emulator:
        url = emulator.url
    async with Client("token", base_url=url, retry=QUICK, concurrency=4) as client:
        report = await client.disks.assign_many(Assignment(f"disk_{n}", f"vm_{n}") for n in range(1000))
    assert report.total <= 8
    assert not report.complete
    assert report.counts == {OutcomeStatus.NOT_ATTEMPTED: report.total}
    assert "no connection" in str(report.stopped_by)
    async with Client("token", base_url=url, retry=QUICK) as client:
        report = await client.disks.assign_many([("disk_1", "vm_1"), ("disk_2", "vm_2")])
    assert report.counts == {OutcomeStatus.NOT_ATTEMPTED: 2}
    assert "no connection" in str(report.stopped_by)


async def test_disks_that_are_already_assigned_or_on_another_machine() -> None:
    async with KatapultEmulator(disks=4, virtual_machines=2) as emulator:
        here, there = emulator.virtual_machine_ids
        first, second, third, fourth = emulator.disk_ids
        async with client_for(emulator) as client:
            await client.disks.assign(first, here)
            await client.disks.assign(second, there)
            emulator.world.trash(emulator.world.disks[third], emulator.now())
            report = await client.disks.assign_many(
                [(first, here), (second, here), (third, here), (fourth, here), ("disk_missing", here)]
            )
        assert report.counts == {
            OutcomeStatus.ALREADY_ASSIGNED: 1,
            OutcomeStatus.ASSIGNED: 1,
            OutcomeStatus.FAILED: 3,
        }
        codes = {f.assignment.disk: getattr(f.error, "code", None) for f in report.failures}
        assert codes == {
            second: "unable_to_assign",
            third: "object_in_trash",
            "disk_missing": "disk_not_found",
        }
        assert all(failure.request_id for failure in report.failures)
        assert emulator.world.disks[second].virtual_machine == there


async def test_a_disk_that_another_client_moved_is_a_conflict_and_is_not_changed() -> None:
    async with KatapultEmulator(disks=1, virtual_machines=2) as emulator:
        disk = emulator.disk_ids[0]
        here, there = emulator.virtual_machine_ids

        def script(arrival: object) -> FaultKind | None:
            if emulator.world.disks[disk].virtual_machine is None:
                emulator.world.disks[disk].virtual_machine = there
                return FaultKind.RESET_BEFORE
            return None

        emulator.faults.script(script)
        async with client_for(emulator) as client:
            with pytest.raises(AssignmentConflict) as caught:
                await client.disks.assign(disk, here)
        assert caught.value.virtual_machine == there
        assert there in str(caught.value)


async def test_an_item_that_cannot_be_read_back_is_unknown() -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        emulator.faults.next("reset_after")
        emulator.faults.script(lambda arrival: FaultKind.BAD_GATEWAY if arrival.method == "GET" else None)
        async with client_for(emulator) as client:
            report = await client.disks.assign_many(pairs(emulator))
        assert report.counts == {OutcomeStatus.UNKNOWN: 1}
        assert report.failures[0].attempts == 1
        assert emulator.ledger.total == 1 + QUICK.attempts + 1  # and a probe


async def test_the_input_is_pulled_only_as_fast_as_outcomes_are_taken() -> None:
    async with KatapultEmulator(disks=200, virtual_machines=200, limit=100_000) as emulator:
        pulled = 0

        async def source() -> AsyncIterator[Assignment]:
            nonlocal pulled
            for item in pairs(emulator):
                pulled += 1
                yield item

        async with (
            client_for(emulator, concurrency=4) as client,
            client.disks.assign_each(source()) as outcomes,
        ):
            await anext(outcomes)
            # The buffer, the workers' items, and one finished item per worker.
            await wait_until_quiet(emulator)
            assert pulled <= 1 + 4 + 4 + 4
            rest = [outcome async for outcome in outcomes]
        assert len(rest) == 199


async def wait_until_quiet(emulator: KatapultEmulator) -> None:
    """Wait until no request arrives for 50 ms."""
    seen = -1
    while seen != emulator.ledger.total:
        seen = emulator.ledger.total
        await asyncio.sleep(0.05)


async def test_a_busy_machine_does_not_block_the_others_and_keeps_its_order() -> None:
    async with KatapultEmulator(disks=60, virtual_machines=3, limit=100_000, latency=0.002) as emulator:
        slow = emulator.virtual_machine_ids[0]
        items = [Assignment(disk, slow) for disk in emulator.disk_ids[:20]]
        items += [Assignment(disk, emulator.virtual_machine_ids[1]) for disk in emulator.disk_ids[20:40]]
        items += [Assignment(disk, emulator.virtual_machine_ids[2]) for disk in emulator.disk_ids[40:]]
        async with client_for(emulator, concurrency=8) as client:
            report = await client.disks.assign_many(items)
        assert report.ok
        for machine in emulator.virtual_machine_ids:
            applied = [change.disk for change in emulator.ledger.applied if change.virtual_machine == machine]
            assert applied == [item.disk for item in items if item.virtual_machine == machine]
        # The busy machine did not delay the others.
        arrivals = [arrival.virtual_machine for arrival in emulator.ledger.arrivals[:12]]
        assert len(set(arrivals)) == 3


async def test_leaving_the_stream_early_leaves_no_task_and_reports_each_item() -> None:
    async with KatapultEmulator(disks=100, virtual_machines=100, limit=100_000, latency=0.01) as emulator:
        before = asyncio.all_tasks()
        async with client_for(emulator, concurrency=8) as client:
            async with client.disks.assign_each(pairs(emulator)) as outcomes:
                async for _ in outcomes:
                    break
            assert asyncio.all_tasks() - before - server_tasks() == set()
        sent = {arrival.disk for arrival in emulator.ledger.arrivals}
        report = outcomes.report
        assert len(sent) <= report.total
        unknown = {failure.assignment.disk for failure in report.failures}
        on_machine = {change.disk for change in emulator.ledger.applied}
        # Each applied change without an ok outcome is reported as unknown.
        assert len(on_machine - unknown) <= report.counts[OutcomeStatus.ASSIGNED]


def server_tasks() -> set[asyncio.Task[object]]:
    """Return the emulator's connection handlers, which run in the same event loop."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" in repr(task.get_coro())}


async def test_stop_waits_for_requests_in_flight_and_sends_no_new_ones() -> None:
    async with KatapultEmulator(disks=100, virtual_machines=100, limit=100_000, latency=0.02) as emulator:
        async with (
            client_for(emulator, concurrency=8) as client,
            client.disks.assign_each(pairs(emulator)) as outcomes,
        ):
            first = await anext(outcomes)
            outcomes.stop()
            sent = emulator.ledger.total
            rest = [outcome async for outcome in outcomes]
        assert emulator.ledger.total <= sent + 8
        statuses = Counter(outcome.status for outcome in [first, *rest])
        assert set(statuses) <= {OutcomeStatus.ASSIGNED, OutcomeStatus.NOT_ATTEMPTED}
        assert statuses[OutcomeStatus.ASSIGNED] == len(emulator.ledger.applied)


async def test_stop_before_the_first_request() -> None:
    async with KatapultEmulator(disks=5) as emulator:
        async with client_for(emulator) as client, client.disks.assign_each(pairs(emulator)) as outcomes:
            outcomes.stop()
            assert [outcome async for outcome in outcomes] == []
        assert emulator.ledger.total == 0


async def test_stop_does_not_wait_for_the_rate_limit() -> None:
    async with KatapultEmulator(
        disks=50, virtual_machines=50, counting=Counting(limit=10, period=600.0)
    ) as emulator:
        async with (
            client_for(emulator, rate_window=600.0) as client,
            client.disks.assign_each(pairs(emulator)) as outcomes,
        ):
            with anyio.fail_after(20):
                for _ in range(10):
                    assert (await anext(outcomes)).status is OutcomeStatus.ASSIGNED
                outcomes.stop()
                rest = [outcome async for outcome in outcomes]
        assert {outcome.status for outcome in rest} == {OutcomeStatus.NOT_ATTEMPTED}
        assert all(outcome.started_at is None for outcome in rest)


async def test_leaving_after_stop_reports_requests_in_flight_as_unknown() -> None:
    async with KatapultEmulator(disks=20, virtual_machines=20, limit=100_000) as emulator:
        emulator.faults.script(lambda arrival: FaultKind.TIMEOUT_AFTER if arrival.sequence > 4 else None)
        async with client_for(emulator, concurrency=4, timeout=Timeout()) as client:
            async with client.disks.assign_each(pairs(emulator)) as outcomes:
                await anext(outcomes)
                while emulator.ledger.total < 8:
                    await asyncio.sleep(0.01)
                outcomes.stop()
            report = outcomes.report
        assert report.counts[OutcomeStatus.UNKNOWN] == 4
        silent = {arrival.disk for arrival in emulator.ledger.arrivals if arrival.fault}
        assert {failure.assignment.disk for failure in report.failures} == silent
        assert report.requests == emulator.ledger.total


async def test_cancelling_assign_many_leaves_no_task() -> None:
    async with KatapultEmulator(disks=50, virtual_machines=50, limit=100_000, latency=0.05) as emulator:
        async with client_for(emulator) as client:
            run = asyncio.create_task(client.disks.assign_many(pairs(emulator)))
            while not emulator.ledger.total:
                await asyncio.sleep(0)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert client.session.gate.window.in_flight == 0


async def test_an_error_in_the_input_reaches_the_caller_with_the_report() -> None:
    def source() -> Iterator[Assignment]:
        yield Assignment("disk_1", "vm_1")
        raise LookupError("line 2")

    async with KatapultEmulator(disks=1) as emulator, client_for(emulator) as client:
        with pytest.raises(BulkError, match="the input failed after 1 item: line 2") as caught:
            await client.disks.assign_many(source())
        assert isinstance(caught.value.__cause__, LookupError)
        assert caught.value.report.total == 1
        assert not caught.value.report.ok
        with pytest.raises(BulkError, match="item 1: no virtual machine") as caught:
            await client.disks.assign_many([Assignment("disk_1")])
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(BulkError, match="item 2: a disk is named"):
            await client.disks.assign_many([("disk_1", "vm_1"), ("a b", "vm_1")])


async def test_the_other_three_actions() -> None:
    async with KatapultEmulator(disks=6, virtual_machines=2, task_duration=0.01) as emulator:
        items = pairs(emulator)
        async with client_for(emulator) as client:
            assert (await client.disks.assign_many(items)).ok
            async with client.disks.attach_each(items) as outcomes:
                tasks = [outcome.task async for outcome in outcomes]
            for task in tasks:
                assert task is not None
                assert (await client.tasks.wait(task.id, interval=0.01)).status == "completed"
            again = await client.disks.unassign_many(items)
            assert again.counts == {OutcomeStatus.FAILED: 6}
            assert {getattr(f.error, "code", None) for f in again.failures} == {"unable_to_unassign"}
            detached = await client.disks.detach_many([item.disk for item in items])
            assert detached.counts == {OutcomeStatus.DETACHED: 6}
            for item in items:
                while emulator.world.disks[item.disk].attachment != "detached":
                    await client.disks.get(item.disk)
            assert (await client.disks.unassign_many(items)).counts == {OutcomeStatus.UNASSIGNED: 6}
            attach = await client.disks.attach_many(items)
            assert attach.counts == {OutcomeStatus.FAILED: 6}


async def test_each_token_of_a_pool_has_its_own_window() -> None:
    from katapult_async import SessionPool

    async with KatapultEmulator(
        disks=80, virtual_machines=80, counting=Counting(limit=41, period=600.0), tokens=("one", "two")
    ) as emulator:
        items = pairs(emulator)
        async with SessionPool() as pool:
            one = await opened(Client("one", base_url=emulator.url, pool=pool, rate_window=600.0))
            two = await opened(Client("two", base_url=emulator.url, pool=pool, rate_window=600.0))
            same = await opened(Client("one", base_url=emulator.url, pool=pool, rate_window=600.0))
            assert one.session.gate is same.session.gate
            assert one.session.gate is not two.session.gate
            with anyio.fail_after(20):
                reports = await asyncio.gather(
                    one.disks.assign_many(items[:40]), two.disks.assign_many(items[40:])
                )
        assert all(report.ok and not report.rate_limited for report in reports)
