"""After `stop()` or a refusal, a run sends no request and does not read its input."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from katapult_async import Assignment, Outcome, OutcomeStatus, RetryPolicy, SessionPool, Timeout
from katapult_async.testing import Answers, Counting, FaultKind, KatapultEmulator
from tests.e2e.test_bulk import client_for, pairs


async def until_sent(emulator: KatapultEmulator, count: int) -> None:
    with anyio.fail_after(10):
        while emulator.ledger.total < count:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("headers", [True, False])
async def test_a_429_that_arrives_after_stop_is_not_sent_again(headers: bool) -> None:
    """Twenty requests are in flight when the run is stopped. Nearly all of them get a 429."""
    async with KatapultEmulator(
        disks=40,
        virtual_machines=40,
        counting=Counting(limit=1000, period=2.0),
        answers=Answers(headers=headers),
        latency=0.2,
    ) as emulator:
        async with (
            client_for(emulator, rate_window=2.0, concurrency=20, timeout=Timeout()) as client,
            client.disks.assign_each(pairs(emulator)) as outcomes,
        ):
            await anext(outcomes)
            emulator.set_limit(4)
            await until_sent(emulator, emulator.ledger.total + 19)
            outcomes.stop()
            stopped, sent = time.monotonic(), emulator.ledger.total
            rest = [outcome async for outcome in outcomes]
            assert time.monotonic() - stopped < 1.0
        assert emulator.ledger.total == sent
        assert emulator.ledger.refusals > 10
        statuses = Counter(outcome.status for outcome in rest)
        assert set(statuses) <= {OutcomeStatus.ASSIGNED, OutcomeStatus.NOT_ATTEMPTED}
        assert statuses[OutcomeStatus.NOT_ATTEMPTED] >= emulator.ledger.refusals
        assert all(outcome.attempts == 0 for outcome in rest if not outcome.ok)


async def test_a_429_that_arrives_after_a_refusal_is_not_sent_again() -> None:
    async with KatapultEmulator(
        disks=40,
        virtual_machines=40,
        counting=Counting(limit=1000, period=2.0),
        answers=Answers(headers=False),
        latency=0.2,
    ) as emulator:
        async with (
            client_for(emulator, rate_window=2.0, concurrency=20, timeout=Timeout()) as client,
            client.disks.assign_each(pairs(emulator)) as outcomes,
        ):
            await anext(outcomes)
            # The next request is refused because of its scope, and all later ones get a 429.
            emulator.tokens["token"].scopes = frozenset()
            emulator.set_limit(2)
            await until_sent(emulator, emulator.ledger.total + 19)
            sent = emulator.ledger.total
            with anyio.fail_after(1.9):  # before the next window
                rest = [outcome async for outcome in outcomes]
        assert outcomes.report.stopped_by is not None
        assert emulator.ledger.total <= sent + 1
        assert Counter(outcome.status for outcome in rest)[OutcomeStatus.NOT_ATTEMPTED] >= 10


async def test_a_read_back_that_gets_a_429_after_stop_is_not_sent_again() -> None:
    async with KatapultEmulator(
        disks=1,
        virtual_machines=1,
        counting=Counting(limit=1, period=600.0),
        answers=Answers(headers=False),
        latency=0.1,
    ) as emulator:
        emulator.faults.next(FaultKind.RESET_AFTER)
        async with (
            client_for(emulator, rate_window=600.0, timeout=Timeout()) as client,
            client.disks.assign_each(pairs(emulator)) as outcomes,
        ):
            await until_sent(emulator, 2)
            outcomes.stop()
            with anyio.fail_after(5):
                [outcome] = [outcome async for outcome in outcomes]
        assert outcome.status is OutcomeStatus.UNKNOWN
        assert emulator.ledger.by_path["/disks/disk"] == 1
        assert emulator.ledger.refusals == 1


async def test_an_item_in_its_pause_before_a_retry_is_not_sent_again() -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1, limit=1000) as emulator:
        emulator.faults.script(lambda _arrival: FaultKind.UNAVAILABLE)
        async with (
            client_for(emulator, retry=RetryPolicy(base=60, cap=60, total=600)) as client,
            client.disks.assign_each(pairs(emulator)) as outcomes,
        ):
            await until_sent(emulator, 1)
            while emulator.ledger.arrivals[0].status is None:
                await asyncio.sleep(0.001)
            outcomes.stop()
            with anyio.fail_after(5):
                [outcome] = [outcome async for outcome in outcomes]
        assert outcome.status is OutcomeStatus.NOT_ATTEMPTED
        assert emulator.ledger.total == 1


async def test_a_refusal_ends_a_run_whose_input_waits() -> None:
    async with KatapultEmulator(disks=2, virtual_machines=2) as emulator:

        async def source() -> AsyncIterator[Assignment]:
            yield pairs(emulator)[0]
            await asyncio.Event().wait()

        async with client_for(emulator, "wrong") as client:
            with anyio.fail_after(5):
                report = await client.disks.assign_many(source())
        assert report.stopped_by is not None
        assert report.total == 1
        assert not report.complete


async def test_a_refusal_does_not_drain_an_endless_input() -> None:
    async with KatapultEmulator(disks=2, virtual_machines=2) as emulator:
        pulled = 0

        def source() -> Iterator[Assignment]:
            nonlocal pulled
            for number in itertools.count():
                pulled += 1
                if pulled > 10_000:
                    raise AssertionError("the input is drained")
                yield Assignment(f"disk_{number}", f"vm_{number}")

        got: list[Outcome] = []
        async with client_for(emulator, "wrong") as client, client.disks.assign_each(source()) as outcomes:
            with anyio.fail_after(5):
                async for outcome in outcomes:
                    got.append(outcome)  # noqa: PERF401 - the run must end by itself
        assert pulled <= 64
        assert len(got) == pulled == outcomes.report.total


async def test_an_item_that_was_not_sent_before_its_client_closed_is_not_attempted() -> None:
    """The pool stays open, so requests in flight get their responses."""
    async with (
        KatapultEmulator(disks=200, virtual_machines=200, latency=0.02) as emulator,
        SessionPool() as pool,
    ):
        async with client_for(emulator, pool=pool, concurrency=16) as client:
            run = asyncio.create_task(client.disks.assign_many(pairs(emulator)))
            await until_sent(emulator, 40)
        report = await run
    assert set(report.counts) == {OutcomeStatus.ASSIGNED, OutcomeStatus.NOT_ATTEMPTED}
    assert "the client is closed" in str(report.stopped_by)
    assert not report.complete


async def test_a_worker_cancelled_just_before_its_end_is_an_error_of_the_run() -> None:
    def cancelling(items: list[Assignment]) -> Iterator[Assignment]:
        for number, item in enumerate(items):
            if number == 5:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            yield item

    async with KatapultEmulator(disks=7, virtual_machines=3, latency=0.005) as emulator:
        async with client_for(emulator, concurrency=4) as client:
            run = client.disks.assign_each(cancelling(pairs(emulator)))
            with pytest.raises(RuntimeError, match="a worker was cancelled by something other than its run"):
                async with run as outcomes:
                    async for _ in outcomes:
                        pass
    assert run.report.total == 7
