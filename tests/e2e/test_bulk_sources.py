"""Sources that raise, that are cancelled, that hold time-outs across a yield, or must be closed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import pytest

from katapult_async import Assignment, BulkError, BulkReport, Outcome, OutcomeStatus
from katapult_async.bulk import reader
from katapult_async.testing import KatapultEmulator
from tests.e2e.test_bulk import client_for, pairs, server_tasks


async def take_all(client_source: object, emulator: KatapultEmulator, got: list[Outcome]) -> None:
    async with (
        client_for(emulator, concurrency=4) as client,
        client.disks.assign_each(client_source) as outcomes,  # type: ignore[arg-type]
    ):
        async for outcome in outcomes:
            got.append(outcome)  # noqa: PERF401 - what came before an error counts


async def cancelled_task() -> asyncio.Task[None]:
    task = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    return task


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_source_that_raises_cancelled_error_fails_the_run(kind: str) -> None:
    async with KatapultEmulator(disks=200, virtual_machines=50, limit=100_000) as emulator:
        items = pairs(emulator)
        other = await cancelled_task()

        async def asynchronous() -> AsyncIterator[Assignment]:
            for item in items[:50]:
                yield item
            await other

        def synchronous() -> Iterator[Assignment]:
            yield from items[:50]
            raise asyncio.CancelledError

        source = asynchronous() if kind == "async" else synchronous()
        got: list[Outcome] = []
        with pytest.raises(RuntimeError, match="the input was cancelled after 50 items") as caught:
            await take_all(source, emulator, got)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert len(got) == 50
        async with client_for(emulator) as client:
            source = asynchronous() if kind == "async" else synchronous()
            with pytest.raises(BulkError) as failed:
                await client.disks.assign_many(source)
        report = failed.value.report
        assert (report.ok, report.complete, report.total) == (False, False, 50)
        assert "the input was not read to its end" in str(report)


async def test_a_report_is_complete_only_if_the_source_was_read_to_its_end() -> None:
    async with KatapultEmulator(disks=20, virtual_machines=20, limit=100_000) as emulator:
        async with client_for(emulator, concurrency=2) as client:
            assert (await client.disks.assign_many(pairs(emulator))).complete
            async with client.disks.assign_each(pairs(emulator)) as outcomes:
                async for _ in outcomes:
                    assert not outcomes.report.complete
                    outcomes.stop()
            assert not outcomes.report.complete
            assert not outcomes.report.ok
            with pytest.raises(BulkError, match="not read to its end"):
                outcomes.report.raise_for_failures()


async def test_a_source_may_hold_a_scope_that_does_not_expire() -> None:
    async with KatapultEmulator(disks=100, virtual_machines=50, limit=100_000, latency=0.001) as emulator:

        async def source() -> AsyncIterator[Assignment]:
            with anyio.fail_after(30):
                async with anyio.create_task_group():
                    for item in pairs(emulator):
                        yield item

        async with client_for(emulator, concurrency=4) as client:
            report = await client.disks.assign_many(source())
        assert report.ok, str(report)
        assert report.counts == {OutcomeStatus.ASSIGNED: 100}


@pytest.mark.parametrize("library", ["anyio", "asyncio"])
@pytest.mark.parametrize("where", ["suspended", "waiting"])
async def test_a_time_out_of_the_source_is_the_error_of_the_run(library: str, where: str) -> None:
    if library == "asyncio" and sys.version_info < (3, 11):
        pytest.skip("asyncio.timeout is new in Python 3.11")
    async with KatapultEmulator(disks=40, virtual_machines=40, limit=100_000, latency=0.05) as emulator:
        items = pairs(emulator)

        async def body() -> AsyncIterator[Assignment]:
            for item in items[:12]:
                yield item
            if where == "waiting":
                await asyncio.Event().wait()
            for item in items[12:]:
                yield item

        async def with_anyio() -> AsyncIterator[Assignment]:
            with anyio.fail_after(0.12):
                async for item in body():
                    yield item

        async def with_asyncio() -> AsyncIterator[Assignment]:
            async with asyncio.timeout(0.12):  # type: ignore[attr-defined,unused-ignore]
                async for item in body():
                    yield item

        got: list[Outcome] = []
        with pytest.raises(TimeoutError):
            await take_all(with_anyio() if library == "anyio" else with_asyncio(), emulator, got)
        statuses = Counter(outcome.status for outcome in got)
        # No item is lost, and no request in flight is cancelled.
        assert set(statuses) <= {OutcomeStatus.ASSIGNED, OutcomeStatus.NOT_ATTEMPTED}
        assert statuses[OutcomeStatus.ASSIGNED] == emulator.ledger.applied_total["assign"] > 0


async def test_a_source_continues_after_a_time_out_that_it_handles() -> None:
    async with KatapultEmulator(disks=40, virtual_machines=40, limit=100_000, latency=0.05) as emulator:
        items = pairs(emulator)

        async def source() -> AsyncIterator[Assignment]:
            with anyio.move_on_after(0.12):
                for item in items[:20]:
                    yield item
            for item in items[20:]:
                yield item

        async with client_for(emulator, concurrency=2) as client:
            report = await client.disks.assign_many(source())
        assert report.ok
        assert report.complete
        assert 20 < report.total < 40


@pytest.mark.parametrize("end", ["exhausted", "stop", "leave", "error", "cancel"])
async def test_one_task_reads_a_source_and_closes_it_before_the_run_ends(end: str) -> None:
    async with KatapultEmulator(disks=20, virtual_machines=20, limit=100_000, latency=0.001) as emulator:
        tasks: set[asyncio.Task[object] | None] = set()
        closed: list[bool] = []

        async def source() -> AsyncIterator[Assignment]:
            try:
                for item in pairs(emulator):
                    tasks.add(asyncio.current_task())
                    yield item
                if end != "exhausted":
                    await asyncio.Event().wait()
            finally:
                tasks.add(asyncio.current_task())
                await asyncio.sleep(0.01)  # a slow cleanup
                closed.append(True)

        async def consume() -> None:
            async with client_for(emulator) as client, client.disks.assign_each(source()) as outcomes:
                async for _ in outcomes:
                    if end == "stop":
                        outcomes.stop()
                    elif end == "leave":
                        break
                    elif end == "error":
                        raise LookupError("the consumer")
                    elif end == "cancel":
                        consumer.cancel()

        before = asyncio.all_tasks()
        consumer = asyncio.create_task(consume())
        await asyncio.wait([consumer], timeout=5)
        assert closed == [True]
        assert len(tasks) == 1
        assert asyncio.all_tasks() - before - server_tasks() == set()
        assert consumer.cancelled() == (end == "cancel")
        if end != "cancel":
            assert isinstance(consumer.exception(), LookupError if end == "error" else type(None))


async def test_a_source_is_read_only_for_free_workers() -> None:
    async with KatapultEmulator(disks=30, virtual_machines=30, limit=100_000, latency=0.01) as emulator:
        ahead: list[int] = []
        pulled = 0

        async def source() -> AsyncIterator[Assignment]:
            nonlocal pulled
            for item in pairs(emulator):
                pulled += 1
                ahead.append(pulled - emulator.ledger.total)
                yield item

        async with client_for(emulator, concurrency=3) as client:
            assert (await client.disks.assign_many(source())).ok
        assert max(ahead[4:]) <= 3


async def test_a_malformed_item_is_named_by_its_position() -> None:
    async with KatapultEmulator(disks=4, virtual_machines=4) as emulator:
        items: list[object] = [*pairs(emulator)[:2], ("disk_1", "vm_1", "vm_2"), pairs(emulator)[3]]

        async def source() -> AsyncIterator[object]:
            for item in items:
                yield item

        for each in (items, source()):
            async with client_for(emulator, concurrency=1) as client:
                with pytest.raises(BulkError, match=r"the input failed after 3 items: item 3: ") as caught:
                    await client.disks.assign_many(each)  # type: ignore[arg-type]
            assert isinstance(caught.value.__cause__, TypeError)
            assert caught.value.report.total == 2


async def test_the_report_survives_a_source_that_raises() -> None:
    async with KatapultEmulator(disks=10, virtual_machines=10, limit=100_000) as emulator:

        def source() -> Iterator[Assignment]:
            yield from pairs(emulator)
            raise LookupError("line 11")

        async with client_for(emulator) as client:
            with pytest.raises(BulkError, match="after 10 items: line 11") as caught:
                await client.disks.assign_many(source())
        assert isinstance(caught.value.__cause__, LookupError)
        report = caught.value.report
        assert report.counts[OutcomeStatus.ASSIGNED] == emulator.ledger.applied_total["assign"]
        assert report.total == 10
        assert report.elapsed > 0


async def test_the_report_survives_a_cancellation(caplog: pytest.LogCaptureFixture) -> None:
    async with KatapultEmulator(disks=50, virtual_machines=50, limit=100_000, latency=0.02) as emulator:
        async with client_for(emulator, concurrency=8) as client:
            run = asyncio.create_task(client.disks.assign_many(pairs(emulator)))
            while len(emulator.ledger.applied) < 10:
                await asyncio.sleep(0.001)
            run.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await run
        # Awaiting a task raises a new CancelledError in Python 3.10, and the same one later.
        error = caught.value if sys.version_info >= (3, 11) else caught.value.__context__
        report = getattr(error, "report", None)
        assert isinstance(report, BulkReport)
        assert report.counts[OutcomeStatus.ASSIGNED] > 0
        assert report.requests == emulator.ledger.total
        known = report.counts[OutcomeStatus.ASSIGNED] + report.counts[OutcomeStatus.UNKNOWN]
        assert known >= emulator.ledger.applied_total["assign"]
        [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert record.getMessage().startswith(f"cancelled: {report.counts[OutcomeStatus.ASSIGNED]} assigned")


async def test_workers_are_started_as_they_are_needed() -> None:
    async with KatapultEmulator(disks=3, virtual_machines=3, limit=100_000, latency=0.02) as emulator:
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                workers = [task for task in asyncio.all_tasks() if task.get_name().endswith("Outcomes._work")]
                most = max(most, len(workers))
                await asyncio.sleep(0.001)

        watching = asyncio.create_task(watch())
        async with client_for(emulator, concurrency=1_000_000) as client:
            report = await client.disks.assign_many(pairs(emulator))
        watching.cancel()
        assert report.ok
        # One per item, and one that finds no more items.
        assert 1 <= most <= 4
        gc.collect()


# -- sources that do not end when they are cancelled -------------------------------------------


async def hangs_in_its_cleanup(emulator: KatapultEmulator) -> AsyncIterator[Assignment]:
    try:
        for item in pairs(emulator):
            yield item
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(60)


async def survives_a_cancellation(emulator: KatapultEmulator) -> AsyncIterator[Assignment]:
    for item in pairs(emulator):
        yield item
    for _ in range(2):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


STUBBORN = [hangs_in_its_cleanup, survives_a_cancellation]


async def until_all_is_assigned(emulator: KatapultEmulator) -> None:
    while len(emulator.ledger.applied) < len(emulator.disk_ids):
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("source", STUBBORN)
async def test_a_second_cancellation_of_the_caller_reaches_the_source(
    source: Callable[[KatapultEmulator], AsyncIterator[Assignment]],
) -> None:
    async with KatapultEmulator(disks=5, virtual_machines=5) as emulator, client_for(emulator) as client:
        before = asyncio.all_tasks()
        run = asyncio.create_task(client.disks.assign_many(source(emulator)))
        await until_all_is_assigned(emulator)
        for _ in range(3):
            run.cancel()
            await asyncio.sleep(0.02)
        await asyncio.wait([run], timeout=1)
        assert run.cancelled()
        assert asyncio.all_tasks() - before - server_tasks() == set()


@pytest.mark.parametrize("source", STUBBORN)
async def test_a_cancelled_anyio_scope_ends_the_wait_for_a_source(
    source: Callable[[KatapultEmulator], AsyncIterator[Assignment]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "CLEANUP_SECONDS", 0.1, raising=False)
    async with KatapultEmulator(disks=5, virtual_machines=5) as emulator, client_for(emulator) as client:
        before = asyncio.all_tasks()

        async def run() -> None:
            with anyio.move_on_after(0.3):
                await client.disks.assign_many(source(emulator))

        running = asyncio.create_task(run())
        done, _ = await asyncio.wait([running], timeout=2)
        assert done == {running}
        assert running.exception() is None
        assert asyncio.all_tasks() - before - server_tasks() == set()


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("source", STUBBORN)
async def test_a_source_that_continues_after_stop_is_cancelled_again(
    source: Callable[[KatapultEmulator], AsyncIterator[Assignment]],
    cancelled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "CLEANUP_SECONDS", 60 if cancelled else 0.1, raising=False)
    async with KatapultEmulator(disks=5, virtual_machines=5) as emulator, client_for(emulator) as client:
        run = client.disks.assign_each(source(emulator))

        async def consume() -> None:
            async with run as outcomes:
                async for _ in outcomes:
                    pass

        consuming = asyncio.create_task(consume())
        await until_all_is_assigned(emulator)
        run.stop()
        await asyncio.sleep(0.02)
        if cancelled:
            consuming.cancel()
        done, _ = await asyncio.wait([consuming], timeout=2)
        assert done == {consuming}
        assert consuming.cancelled() == cancelled


async def test_a_source_that_waits_at_a_yield_and_hangs_in_its_cleanup_is_cancelled_after_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "CLEANUP_SECONDS", 0.1, raising=False)
    async with KatapultEmulator(disks=50, virtual_machines=50) as emulator, client_for(emulator) as client:
        with anyio.fail_after(2):
            async with client.disks.assign_each(hangs_in_its_cleanup(emulator)) as outcomes:
                async for _ in outcomes:
                    outcomes.stop()


@pytest.mark.parametrize("end", ["stop", "cancel", "scope"])
async def test_a_source_finishes_its_cleanup_after_one_cancellation(end: str) -> None:
    async with KatapultEmulator(disks=5, virtual_machines=5) as emulator, client_for(emulator) as client:
        closed: list[bool] = []

        async def source() -> AsyncIterator[Assignment]:
            try:
                for item in pairs(emulator):
                    yield item
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                await asyncio.sleep(0.05)
                closed.append(True)

        run = client.disks.assign_each(source())
        scope = anyio.CancelScope()

        async def consume() -> None:
            with scope:
                async with run as outcomes:
                    async for _ in outcomes:
                        pass

        consuming = asyncio.create_task(consume())
        await until_all_is_assigned(emulator)
        ends: dict[str, Callable[[], object]] = {
            "stop": run.stop,
            "cancel": consuming.cancel,
            "scope": scope.cancel,
        }
        ends[end]()
        await asyncio.wait([consuming], timeout=2)
        assert closed == [True]
        assert consuming.done()


# -- errors that are not an Exception ----------------------------------------------------------


class Fatal(BaseException):
    """Like the exception of pytest.fail."""


class Items:
    """An asynchronous source with an error at its end or in `aclose`."""

    def __init__(
        self, items: list[Assignment], at_the_end: BaseException | None, closing: BaseException | None = None
    ) -> None:
        self._items = iter(items)
        self._at_the_end = at_the_end
        self._closing = closing

    def __aiter__(self) -> Items:
        return self

    async def __anext__(self) -> Assignment:
        for item in self._items:
            return item
        raise self._at_the_end or StopAsyncIteration

    async def aclose(self) -> None:
        if self._closing is not None:
            raise self._closing


def raises(items: list[Assignment], error: BaseException) -> Iterator[Assignment]:
    yield from items
    raise error


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_base_exception_of_a_source_is_raised_without_a_group(kind: str) -> None:
    async with KatapultEmulator(disks=40, virtual_machines=40, limit=100_000, latency=0.05) as emulator:
        items, error = pairs(emulator)[:20], Fatal("no more")
        got: list[Outcome] = []
        with pytest.raises(Fatal) as caught:
            await take_all(
                Items(items, error) if kind == "async" else raises(items, error),
                emulator,
                got,
            )
        assert caught.value is error
        statuses = Counter(outcome.status for outcome in got)
        assert set(statuses) <= {OutcomeStatus.ASSIGNED, OutcomeStatus.NOT_ATTEMPTED}
        assert statuses[OutcomeStatus.ASSIGNED] == emulator.ledger.applied_total["assign"] > 0
        assert statuses.total() == 20
        async with client_for(emulator) as client:
            with pytest.raises(Fatal):
                await client.disks.assign_many(
                    Items(items, error) if kind == "async" else raises(items, error)
                )


async def test_a_stop_async_iteration_of_a_synchronous_source_is_an_error() -> None:
    async with KatapultEmulator(disks=4, virtual_machines=4) as emulator, client_for(emulator) as client:
        source = Source(pairs(emulator)[:2], StopAsyncIteration())
        with pytest.raises(BulkError, match="the input raised StopAsyncIteration") as caught:
            await client.disks.assign_many(source)
        assert not caught.value.report.complete


class Source:
    """A synchronous source that ends with an error."""

    def __init__(self, items: list[Assignment], error: BaseException) -> None:
        self._items = iter(items)
        self._error = error

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> Assignment:
        for item in self._items:
            return item
        raise self._error


@pytest.mark.parametrize("early", [False, True])
async def test_a_base_exception_of_closing_a_source_is_raised(early: bool) -> None:
    async with KatapultEmulator(disks=50, virtual_machines=5) as emulator, client_for(emulator) as client:
        error = Fatal("not closed")
        with pytest.raises(Fatal) as caught:
            async with client.disks.assign_each(Items(pairs(emulator), None, error)) as outcomes:
                async for _ in outcomes:
                    if early:
                        break
        assert caught.value is error


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_source_ends_the_event_loop_without_groups(
    kind: str, error: type[BaseException]
) -> None:
    met: list[BaseException] = []

    async def main() -> None:
        async with KatapultEmulator(disks=4, virtual_machines=4) as emulator, client_for(emulator) as client:
            items = pairs(emulator)
            source = Items(items, error()) if kind == "async" else raises(items, error())
            try:
                await client.disks.assign_many(source)
            except BaseException as exc:
                met.append(exc)
                raise

    with pytest.raises(error):
        asyncio.run(main())
    assert [type(exc) for exc in met] == [asyncio.CancelledError]
