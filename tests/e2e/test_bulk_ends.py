"""Ends of a bulk run because of its input, its consumer, its observer or its recorder."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence

import anyio
import pytest

from katapult_async import Assignment, Client, Observer, Outcome, OutcomeStatus, RequestEvent
from katapult_async.bulk import Start
from katapult_async.testing import FaultKind, KatapultEmulator
from tests.e2e.test_bulk import client_for, pairs
from tests.raw_server import http, raw_server, read_request
from tests.signs import until


async def test_stop_ends_a_run_whose_input_waits() -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:

        async def items() -> AsyncIterator[Assignment]:
            yield pairs(emulator)[0]
            await asyncio.Event().wait()

        async with client_for(emulator) as client, client.disks.assign_each(items()) as outcomes:
            with anyio.fail_after(5):
                async for outcome in outcomes:
                    assert outcome.ok
                    outcomes.stop()


async def test_each_item_has_an_outcome_after_stop() -> None:
    """Even a started item of a busy machine, and an item that the input yields after `stop`."""
    async with KatapultEmulator(disks=5, virtual_machines=3) as emulator:
        first, second, third = emulator.virtual_machine_ids
        machines = [second, third, first, first, first]
        planned = [
            Assignment(disk, machine) for disk, machine in zip(emulator.disk_ids, machines, strict=True)
        ]
        asked, go_on = asyncio.Event(), asyncio.Event()

        class Items:
            """Not a generator, so a cancellation does not end it."""

            def __init__(self) -> None:
                self._left = iter(planned)
                self._count = 0

            def __aiter__(self) -> Items:
                return self

            async def __anext__(self) -> Assignment:
                if self._count == 4:
                    asked.set()
                    await asyncio.shield(go_on.wait())
                self._count += 1
                return next(self._left)

        async with client_for(emulator, concurrency=2) as client:
            async with client.disks.assign_each(Items()) as outcomes:
                # Both workers have sent an item, and the source is asked for the fifth.
                await until(lambda: asked.is_set() and emulator.ledger.applied_total["assign"] >= 2)
                outcomes.stop()
                go_on.set()
                with anyio.fail_after(5):
                    got = Counter([outcome.status async for outcome in outcomes])
        assert set(got) <= {OutcomeStatus.ASSIGNED, OutcomeStatus.NOT_ATTEMPTED}
        assert got[OutcomeStatus.ASSIGNED] == emulator.ledger.applied_total["assign"]
        assert got.total() == 4


@pytest.mark.parametrize("bad", [("a", "b", "c"), Assignment("disk_1")])
async def test_the_error_of_the_input_comes_after_the_outcomes_of_sent_items(bad: object) -> None:
    async with KatapultEmulator(disks=100, virtual_machines=50, latency=0.02) as emulator:

        def items() -> Iterator[Assignment]:
            yield from pairs(emulator)
            yield bad  # type: ignore[misc]

        got: list[Outcome] = []
        async with client_for(emulator) as client, client.disks.assign_each(items()) as outcomes:
            with pytest.raises((TypeError, ValueError)):
                async for outcome in outcomes:
                    got.append(outcome)  # noqa: PERF401 - what came before the error counts
        counts = Counter(outcome.status for outcome in got)
        assert set(counts) <= {OutcomeStatus.ASSIGNED, OutcomeStatus.NOT_ATTEMPTED}
        assert counts[OutcomeStatus.ASSIGNED] == emulator.ledger.applied_total["assign"] > 0
        assert counts == outcomes.report.counts
        assert counts.total() == 100


async def test_an_observer_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        def on_request(self, event: RequestEvent) -> None:
            raise RuntimeError(f"cannot write {event.status}")

    async with KatapultEmulator(disks=40, virtual_machines=40) as emulator:
        async with client_for(emulator, observer=Broken()) as client:
            report = await client.disks.assign_many(pairs(emulator))
        assert report.counts == {OutcomeStatus.ASSIGNED: 40}
    said = [record for record in caplog.records if record.name == "katapult_async.observer"]
    assert len(said) == 1
    assert "raised in on_request" in said[0].getMessage()


class Slow:
    """A recorder that never finishes its first batch."""

    def __init__(self) -> None:
        self.kept: list[Sequence[Outcome]] = []
        self.waits = True

    async def before_send(self, _item: Assignment) -> Start:
        return Start.SEND

    def on_outcome(self, outcome: Outcome) -> None:
        pass

    async def persist(self, outcomes: Sequence[Outcome]) -> None:
        self.kept.append(outcomes)
        if self.waits:
            await asyncio.Event().wait()


async def test_a_run_that_is_left_counts_each_item_once() -> None:
    async with KatapultEmulator(disks=100, virtual_machines=50) as emulator:
        pulled = 0

        def items() -> Iterator[Assignment]:
            nonlocal pulled
            for item in pairs(emulator):
                pulled += 1
                yield item

        async with client_for(emulator, concurrency=4) as client:
            async with client.disks.assign_each(items(), recorder=Slow()) as outcomes:
                await asyncio.sleep(0.3)
        assert outcomes.report.total == pulled
        assert outcomes.report.requests == emulator.ledger.total


async def test_a_recorder_may_keep_its_batches() -> None:
    recorder = Slow()
    recorder.waits = False
    async with KatapultEmulator(disks=40, virtual_machines=20) as emulator, client_for(emulator) as client:
        async with client.disks.assign_each(pairs(emulator), recorder=recorder) as outcomes:
            async for _ in outcomes:
                pass
    assert sum(len(batch) for batch in recorder.kept) == 40
    assert all(batch[0].ok for batch in recorder.kept)


async def test_no_item_is_read_again_after_stop() -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        emulator.faults.script(
            lambda arrival: FaultKind.RESET_AFTER if arrival.method == "POST" else FaultKind.UNAVAILABLE
        )
        async with client_for(emulator) as client:
            async with client.disks.assign_each(pairs(emulator)) as outcomes:
                while not emulator.ledger.by_path["/disks/disk"]:
                    await asyncio.sleep(0.001)
                outcomes.stop()
                read = emulator.ledger.by_path["/disks/disk"]
                got = [outcome.status async for outcome in outcomes]
        assert got == [OutcomeStatus.UNKNOWN]
        assert emulator.ledger.by_path["/disks/disk"] <= read + 1


async def test_errors_in_reports_have_no_tracebacks() -> None:
    async with KatapultEmulator(disks=3, virtual_machines=3) as emulator:
        emulator.faults.next(FaultKind.RESET_BEFORE, 1000)
        async with client_for(emulator) as client:
            report = await client.disks.assign_many(pairs(emulator))
        assert len(report.failures) == 3
        for failure in report.failures:
            error: BaseException | None = failure.error
            while error is not None:
                assert error.__traceback__ is None
                error = error.__cause__


async def test_a_response_about_another_disk_is_not_a_success() -> None:
    async def about_disk_1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(http(b'{"disk":{"id":"disk_1"}}'))

    async with raw_server(about_disk_1) as url, Client("token", base_url=url) as client:
        report = await client.disks.assign_many([Assignment("disk_1", "vm_1"), Assignment("disk_2", "vm_2")])
    assert report.counts == {OutcomeStatus.ASSIGNED: 1, OutcomeStatus.UNKNOWN: 1}
    assert "about another disk (disk_1)" in str(report.failures[0].error)


async def test_a_recorder_that_raises_after_a_response_loses_no_outcome() -> None:
    class Full(Slow):
        def on_outcome(self, outcome: Outcome) -> None:
            raise OSError(f"disk full: {outcome}")

    async with KatapultEmulator(disks=3, virtual_machines=3) as emulator, client_for(emulator) as client:
        run = client.disks.assign_each(pairs(emulator)[:1], recorder=Full())
        async with run as outcomes:
            with pytest.raises(OSError, match="disk full"):
                async for _ in outcomes:
                    pass
    assert run.report.counts == {OutcomeStatus.ASSIGNED: 1}
    assert run.report.requests == 1
