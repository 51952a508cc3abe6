"""The fan-out: workers take items from the feed, and their outcomes form a stream.

All tasks of a run belong to one task group, which ends with the `async with` block. A slow consumer
slows the workers; no outcome is dropped. `report` covers every item that was sent, even if the
consumer leaves the run early.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Generic

import anyio
from anyio.abc import TaskGroup

from katapult_async.errors import KatapultError, NoAnswer, RateLimitReached, ScopeNotGranted
from katapult_async.ratelimit import BreakerGate
from katapult_async.ratelimit.breaker import DEFAULT_PATIENCE
from katapult_async.transport import Session

from .action import Action
from .causes import drop_tracebacks, innermost
from .delivery import Delivery, Recorder
from .feed import Feed
from .item import ItemT, ResultT
from .item_work import ItemWork, not_attempted
from .outcome import BulkReport, Outcome
from .task_wait import TaskWait
from .verdict import Start

#: The most items for busy machines to read ahead.
LOOK_AHEAD = 1024
CANCELLED = "a worker was cancelled by something other than its run"


class Outcomes(AsyncIterator[Outcome[ItemT, ResultT]], Generic[ItemT, ResultT]):
    """A bulk run as a stream of outcomes: exactly one per item, as soon as it is known.

        async with client.disks.assign_each(pairs) as outcomes:
            async for outcome in outcomes:
                ...

    `report` is the report so far. `stop()` ends the run and waits for requests in flight.

    While the API does not respond, the run sends one probe at a time. A probe is about no item, and
    no item loses an attempt. The run ends after `patience` seconds without a valid response, and
    earlier if there never was one. `report.stopped_by` is then the reason.

    After `stop()`, or when the consumer leaves the run early, an asynchronous input has 5 s to
    clean up. After that the run cancels it every 5 s until it is closed. If the caller is cancelled
    again, the run cancels the input at once. A cancelled anyio scope counts as one cancellation.
    """

    def __init__(
        self,
        action: Action[ItemT, ResultT],
        items: Iterable[object] | AsyncIterable[object],
        session: Session,
        *,
        concurrency: int,
        per_virtual_machine: int,
        recorder: Recorder[ItemT, ResultT] | None = None,
        patience: float = DEFAULT_PATIENCE,
        task_timeout: float | None = None,
    ) -> None:
        if concurrency < 1 or per_virtual_machine < 1:
            raise ValueError("concurrency and per_virtual_machine must be at least 1")
        self.report: BulkReport[ItemT, ResultT] = BulkReport(complete=False, words=action.words)
        self._action = action
        self._items = items
        self._session = session
        self._machines = session.machines
        self._learn = action.learn
        self._concurrency = concurrency
        self._per_virtual_machine = per_virtual_machine
        self._recorder = recorder
        #: Whether only the report is wanted: the stream then has no outcomes. Set before the run.
        self.only_count = False
        self._patience = patience
        self._group: TaskGroup | None = None
        self._workers: TaskGroup | None = None
        self._running = 0
        # Whether a new worker has not asked for its first item yet.
        self._starting = False
        self._active: dict[anyio.CancelScope, ItemWork[ItemT, ResultT]] = {}
        self._stopped = False
        self._began = 0.0
        self._failure: BaseException | None = None
        self._tasks: TaskWait[ItemT, ResultT] | None = None
        if task_timeout is not None:
            self._tasks = TaskWait(session, timeout=task_timeout, ended=self._task_ended)

    def __repr__(self) -> str:
        return f"<Outcomes {self._action.name}: {self.report}>"

    @property
    def pulled(self) -> int:
        """Number of items read from the input so far, malformed items included."""
        return self._feed.pulled if self._group is not None else 0

    @property
    def patience_left(self) -> float | None:
        """Seconds until the run gives up. None while the API responds."""
        return self._breaker.patience_left if self._group is not None else None

    # -- the stream --------------------------------------------------------------------------

    async def __aenter__(self) -> Outcomes[ItemT, ResultT]:
        if self._group is not None:
            raise RuntimeError("a run can be entered only once: make another one to run again")
        self._feed = Feed(
            self._items,
            per_machine=self._per_virtual_machine,
            bound=LOOK_AHEAD,
            read_item=self._action.reader,
            names=self._session.machines,
            failed=self.stop,
        )
        self._breaker = BreakerGate(
            concurrency=self._concurrency,
            patience=self._patience,
            probe=self._probe,
            give_up=self._give_up,
        )
        self._delivery = Delivery(
            self._action.name, self._session, self.report, self._recorder, concurrency=self._concurrency
        )
        self._delivery.only_count = self.only_count
        self._began = asyncio.get_running_loop().time()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._work_all)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._group is not None  # noqa: S101 - entered
        if self._stopped and isinstance(exc, asyncio.CancelledError):
            self._feed.cancel()  # a further cancellation of the input
        self._delivery.receive.close()
        self._group.cancel_scope.cancel()
        try:
            # Without the exception of the block, which the group would wrap.
            await self._group.__aexit__(None, None, None)
        finally:
            self._delivery.close()
            try:
                await self._feed.abandon()
            finally:
                while self._feed.left:
                    self._delivery.keep(not_attempted(self._action, self._feed.left.popleft()))
                self._delivery.count_rest()
                self._sum_up()
        self._feed.raise_fatal()

    def __aiter__(self) -> Outcomes[ItemT, ResultT]:
        return self

    async def __anext__(self) -> Outcome[ItemT, ResultT]:
        if self._group is None:
            raise RuntimeError("the run has not started: iterate inside 'async with … as outcomes'")
        receive = self._delivery.receive
        try:
            try:
                # `receive` always yields to the event loop: one outcome per turn. Workers would
                # then wait for the consumer instead of sending requests.
                return receive.receive_nowait()
            except anyio.WouldBlock:
                return await receive.receive()
        except anyio.EndOfStream:
            pass
        except anyio.ClosedResourceError:
            raise RuntimeError("the run has ended: iterate inside its 'async with' block") from None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            if failure is self._feed.failure:
                self._feed.failure = None
            raise failure
        raise StopAsyncIteration

    def stop(self) -> None:
        """Send no new requests, wait for requests in flight, then end the stream.

        Every other item that was read from the input is not attempted.
        """
        if self._group is None:
            raise RuntimeError("the run has not started: stop it inside its 'async with' block")
        self._stopped = True
        for scope, work in self._active.items():
            work.stopping = True
            if not work.on_the_wire:
                scope.cancel()
        self._feed.close()
        if self._tasks is not None:
            self._tasks.stop()

    # -- the work ----------------------------------------------------------------------------

    async def _work_all(self) -> None:
        try:
            async with anyio.create_task_group() as recording:
                self._delivery.start(recording)
                try:
                    async with anyio.create_task_group() as self._workers:
                        self._start_worker()
                        if self._tasks is not None:
                            self._workers.start_soon(self._wait_for_tasks, self._tasks)
                    if self._workers.cancel_scope.cancel_called:
                        # The cancelled worker ended before it could raise this itself.
                        raise RuntimeError(CANCELLED)
                    await self._feed.aclose()
                    while self._feed.left:
                        await self._delivery.deliver(not_attempted(self._action, self._feed.left.popleft()))
                finally:
                    self._delivery.finish()
            self._failure = self._feed.failure
        except Exception as exc:  # noqa: BLE001 - raised in the consumer
            self._failure = innermost(exc)
        finally:
            try:
                await self._feed.aclose()
            finally:
                self._sum_up()
                self._delivery.close()

    def _start_worker(self) -> None:
        """Start one more worker if none is waiting and the input may have more items."""
        if self._running >= self._concurrency or self._starting or self._feed.idle or self._feed.exhausted:
            return
        assert self._workers is not None  # noqa: S101 - called by its workers
        self._running += 1
        self._starting = True
        self._workers.start_soon(self._work)

    async def _work(self) -> None:
        self._starting = False
        try:
            while await self._work_in_scope():
                pass
        except asyncio.CancelledError as exc:
            if anyio.current_effective_deadline() == -math.inf:
                raise
            # A task group would ignore this, and the run would lose the worker's item.
            raise RuntimeError(CANCELLED) from exc
        finally:
            self._running -= 1
            if self._tasks is not None and not self._running:
                self._tasks.finish()

    async def _work_in_scope(self) -> bool:
        """Work on items. Return True if `stop` interrupted an item, False if no items are left."""
        scope = anyio.CancelScope()
        outcome: Outcome[ItemT, ResultT] | None = None
        try:
            with scope:
                outcome = await self._work_through(scope)
                if outcome is None:
                    return False
        except BaseException:
            # Cancelled from outside: no consumer is left, but the report includes the item.
            if (work := self._active.pop(scope, None)) is not None:
                self._count(work)
                self._delivery.keep(work.interrupted())
            raise
        # `stop` interrupted the item, or came after its outcome.
        work = self._active.pop(scope)
        await self._deliver(work, outcome or work.interrupted())
        return True

    async def _work_through(self, scope: anyio.CancelScope) -> Outcome[ItemT, ResultT] | None:
        """Work on items until none is left, then return None.

        `stop` cancels the scope, but only while the current item has no request in flight. If the
        item has an outcome all the same, return it. One scope serves many items, because creating a
        scope takes a tenth of the time of a request.
        """
        feed, delivery = self._feed, self._delivery
        start = Start.READ_FIRST if self._action.read_first else Start.SEND
        while (item := await feed.next()) is not None:
            if self._running < self._concurrency:
                self._start_worker()
            if self._recorder is not None:
                start = await self._ask(self._recorder, item)
                if start is Start.SKIP:
                    feed.finished(item)
                    await delivery.deliver(not_attempted(self._action, item))
                    continue
            work = ItemWork(self._action, self._session, item, start, self._breaker)
            if self._stopped:
                await self._deliver(work, work.interrupted())
                continue
            self._active[scope] = work
            outcome = await work.run()
            if scope.cancel_called:
                return outcome
            del self._active[scope]
            if self._tasks is None:
                await delivery.deliver(self._conclude(work, outcome))
            else:
                await self._deliver(work, outcome)
        return None

    async def _deliver(self, work: ItemWork[ItemT, ResultT], outcome: Outcome[ItemT, ResultT]) -> None:
        """Deliver an outcome, after its task has ended if the run waits for tasks."""
        if self._tasks is not None and outcome.task is not None and outcome.ok:
            await self._tasks.add(work, outcome)
        else:
            await self._delivery.deliver(self._conclude(work, outcome))

    async def _wait_for_tasks(self, tasks: TaskWait[ItemT, ResultT]) -> None:
        try:
            await tasks.run()
        finally:
            # Items are left only after a cancellation from outside.
            for work, outcome in tasks.left():
                self._count(work)
                self._delivery.keep(outcome)

    async def _task_ended(self, work: ItemWork[ItemT, ResultT], outcome: Outcome[ItemT, ResultT]) -> None:
        """Deliver an item whose task has ended, and start the next item for its machine."""
        await self._delivery.deliver(self._conclude(work, outcome))
        if self._feed.exhausted and self._running < self._concurrency and not self._stopped:
            assert self._workers is not None and self._tasks is not None  # noqa: S101, PT018 - running
            self._running += 1
            self._tasks.more()
            self._workers.start_soon(self._work)

    async def _ask(self, recorder: Recorder[ItemT, ResultT], item: ItemT) -> Start:
        """Ask the recorder how the work on an item starts."""
        if self._stopped:
            return Start.SKIP
        try:
            return await recorder.before_send(item)
        except BaseException:
            self._delivery.keep(not_attempted(self._action, item))
            raise

    def _conclude(
        self, work: ItemWork[ItemT, ResultT], outcome: Outcome[ItemT, ResultT]
    ) -> Outcome[ItemT, ResultT]:
        self._count(work)
        if self._recorder is not None:
            try:
                self._recorder.on_outcome(outcome)
            except BaseException:
                self._delivery.keep(outcome)
                raise
        if self._learn is not None and outcome.result is not None:
            self._learn(outcome.result, self._machines)
        self._feed.finished(outcome.item)
        if outcome.error is not None and outcome.error.stops_run:
            self._refuse(outcome.error)
        return outcome

    def _count(self, work: ItemWork[ItemT, ResultT]) -> None:
        self.report.requests += work.requests
        self.report.rate_limited += work.rate_limited

    async def _probe(self) -> KatapultError | None:
        error = await self._session.probe(self._action.probe, self._count_probe)
        self.report.rate_limited += isinstance(error, RateLimitReached)
        # A token with permission to write disks may have none to read them.
        if error is not None and error.stops_run and not isinstance(error, ScopeNotGranted):
            self._refuse(error)
        return error

    def _count_probe(self) -> None:
        self.report.requests += 1

    def _refuse(self, error: KatapultError) -> None:
        """Stop the run because of an error that affects every item."""
        if self.report.stopped_by is None:
            self.report.stopped_by = error
        self.stop()

    def _give_up(self, last: KatapultError) -> None:
        """Stop the run because the API does not respond."""
        where = f"the API at {self._session.base_url}"
        if self._breaker.seen:
            message = f"{where} has not answered for {self._patience:g} s; the last request: {last}"
        else:
            requests = f"{self._breaker.failures} requests"
            message = f"{where} has answered none of {requests}: check the base URL. The last one: {last}"
        error = NoAnswer(message)
        error.__cause__ = last
        drop_tracebacks(error)
        self._refuse(error)

    def _sum_up(self) -> None:
        self.report.complete = self._feed.complete
        self.report.total_permitted = self._session.gate.limit
        self.report.elapsed = asyncio.get_running_loop().time() - self._began
