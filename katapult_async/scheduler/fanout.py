"""The fan-out: workers pull items from the feed, settle them, and their outcomes stream out as they happen.

Structured concurrency: everything runs in one task group that lives as long as the `async with`. Nothing is dropped: a
slow consumer slows the workers. When the run is left early, no task stays behind, and `report` says what became of
every item that had been sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import Protocol

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from katapult_async.errors import Execution, KatapultError
from katapult_async.logs import room_logger
from katapult_async.observer import OutcomeEvent
from katapult_async.transport import Session

from .action import Action
from .feed import Feed, Items
from .outcome import Assignment, BulkReport, Outcome, OutcomeStatus
from .settle import Settling, not_attempted
from .verdict import Start

log = room_logger("scheduler")

#: Items for busy machines that are read ahead at most.
LOOK_AHEAD = 1024


class Recorder(Protocol):
    """Is told about each item before its first request may leave, and about outcomes before they come out.

    `sending` and `settled` are awaited, so a durable journal can be kept behind it. `sending` says how the work on the
    item begins. `heard` is told what came of it at once, before another item of its machine begins. `settled` is given all outcomes that have come up while it was busy with those before them; meanwhile the run goes
    on with other items. When either raises, the run ends with that exception.
    """

    async def sending(self, item: Assignment, /) -> Start: ...

    def heard(self, outcome: Outcome, /) -> None: ...

    async def settled(self, outcomes: Sequence[Outcome], /) -> None: ...


class Outcomes(AsyncIterator[Outcome]):
    """A bulk run as a stream of outcomes: exactly one for each item, in the order in which they happen.

        async with client.disks.assign_each(pairs) as outcomes:
            async for outcome in outcomes:
                ...

    `report` is the sum so far. `stop()` ends the run gently.
    """

    def __init__(
        self,
        action: Action,
        items: Items,
        session: Session,
        *,
        concurrency: int,
        per_virtual_machine: int,
        recorder: Recorder | None = None,
    ) -> None:
        if concurrency < 1 or per_virtual_machine < 1:
            raise ValueError("concurrency and per_virtual_machine must be at least 1")
        self.report = BulkReport()
        self._action = action
        self._items = items
        self._session = session
        self._concurrency = concurrency
        self._per_virtual_machine = per_virtual_machine
        self._recorder = recorder
        # Outcomes on their way to the recorder, if there is one.
        self._unrecorded: MemoryObjectSendStream[Outcome] | None = None
        self._rng = random.Random()  # noqa: S311 - spreads retries, keeps no secret
        self._group: TaskGroup | None = None
        self._active: dict[anyio.CancelScope, Settling] = {}
        self._stopped = False
        # Outcomes that have not been counted yet.
        self._uncounted: dict[int, Outcome] = {}
        # Items in a row, and the last error of theirs, for which nobody was there in all of their tries.
        self._unreachable = 0
        self._last_unreachable: KatapultError | None = None
        self._began = 0.0
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        return f"<Outcomes {self._action.name}: {self.report}>"

    # -- the stream -----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Outcomes:
        if self._group is not None:
            raise RuntimeError("a run can be entered only once: make another one to run again")
        self._feed = Feed(
            self._items,
            per_machine=self._per_virtual_machine,
            bound=LOOK_AHEAD,
            needs_virtual_machine=self._action.needs_virtual_machine,
        )
        self._send, self._receive = anyio.create_memory_object_stream[Outcome](self._concurrency)
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
        self._receive.close()
        self._group.cancel_scope.cancel()
        try:
            # The block's own exception goes on as it is: the group would wrap it.
            await self._group.__aexit__(None, None, None)
        finally:
            self._send.close()
            for outcome in self._uncounted.values():
                self.report.add(outcome)
            self._uncounted.clear()
            self._sum_up()

    def __aiter__(self) -> Outcomes:
        return self

    async def __anext__(self) -> Outcome:
        if self._group is None:
            raise RuntimeError("the run has not started: iterate inside 'async with … as outcomes'")
        try:
            try:
                # Waiting yields to the event loop even if there is something to receive: one outcome for each of its
                # rounds. Workers would queue up behind the consumer instead of having requests in flight.
                return self._receive.receive_nowait()
            except anyio.WouldBlock:
                return await self._receive.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure from None
            raise StopAsyncIteration from None
        except anyio.ClosedResourceError:
            raise RuntimeError("the run has ended: iterate inside its 'async with' block") from None

    def stop(self) -> None:
        """Send nothing new. What is on the wire is waited for; everything else comes out as not attempted, as far as
        it had been pulled from the input. The stream then ends.
        """
        if self._group is None:
            raise RuntimeError("the run has not started: stop it inside its 'async with' block")
        self._halt()
        self._feed.close()

    # -- the work -------------------------------------------------------------------------------------------------

    async def _work_all(self) -> None:
        try:
            async with anyio.create_task_group() as recording:
                if self._recorder is not None:
                    # As many may wait to be recorded as there are requests in flight, and no request waits for that.
                    self._unrecorded, settled = anyio.create_memory_object_stream[Outcome](self._concurrency)
                    recording.start_soon(self._record, self._recorder, settled)
                try:
                    async with anyio.create_task_group() as workers:
                        for _ in range(self._concurrency):
                            workers.start_soon(self._work)
                    for item in self._feed.left:
                        await self._deliver(not_attempted(item))
                finally:
                    if self._unrecorded is not None:
                        self._unrecorded.close()
            if self._last_unreachable is not None and self._unreachable == self.report.total:
                # Fewer items than workers, and nobody there for any of them.
                self._refuse(self._last_unreachable)
            self._failure = self._feed.failure
        except Exception as exc:  # noqa: BLE001 - handed to the consumer, who cannot be left waiting
            self._failure = _only(exc)
        finally:
            self._sum_up()
            self._send.close()

    async def _work(self) -> None:
        while True:
            scope = anyio.CancelScope()
            outcome: Outcome | None = None
            try:
                with scope:
                    outcome = await self._work_through(scope)
                    if outcome is None:
                        return
            except BaseException:
                # Cancelled from outside: nobody receives any more, but the report still says what became of it.
                if (settling := self._active.pop(scope, None)) is not None:
                    self._count(settling)
                    self._keep(settling.interrupted())
                raise
            settling = self._active.pop(scope, None)
            if settling is None:
                continue  # `stop` has cut short the asking for another item
            # `stop` has cut the item short, or come too late for that.
            await self._deliver(self._conclude(settling, outcome or settling.interrupted()))

    async def _work_through(self, scope: anyio.CancelScope) -> Outcome | None:
        """Work on items until there are no more; None. `stop` cancels the scope, only while nothing of the item that is
        worked on is on the wire, or while the input is asked; an outcome that there is in spite of that is returned.

        One scope serves for many items, because making one takes as long as a tenth of a request.
        """
        feed = self._feed
        while (item := await self._next(scope)) is not None:
            if self._stopped:
                feed.finished(item)
                await self._deliver(not_attempted(item))
                continue
            start = await self._recorder.sending(item) if self._recorder is not None else Start.SEND
            if start is Start.LEAVE:
                feed.finished(item)
                await self._deliver(not_attempted(item))
                continue
            settling = Settling(self._action, self._session, item, self._rng, start)
            if self._stopped:
                await self._deliver(self._conclude(settling, settling.interrupted()))
                continue
            self._active[scope] = settling
            outcome = await settling.run()
            if scope.cancel_called:
                return outcome
            del self._active[scope]
            await self._deliver(self._conclude(settling, outcome))
        return None

    async def _next(self, scope: anyio.CancelScope) -> Assignment | None:
        item = await self._feed.next(scope)
        if item is None and self._feed.failure is not None and not self._stopped:
            self.stop()  # an input that has failed ends the run gently, and its error is raised at the end
        return item

    def _conclude(self, settling: Settling, outcome: Outcome) -> Outcome:
        if self._recorder is not None:
            self._recorder.heard(outcome)
        self._feed.finished(outcome.assignment)
        self._count(settling)
        if outcome.error is not None:
            self._consider(outcome.error, outcome)
        else:
            self._unreachable = 0
        return outcome

    def _count(self, settling: Settling) -> None:
        self.report.requests += settling.requests
        self.report.rate_limited += settling.rate_limited

    def _consider(self, error: KatapultError, outcome: Outcome) -> None:
        """Whether this failure means that the rest of the run cannot succeed either."""
        if error.stops_run:
            self._refuse(error)
        elif outcome.status is OutcomeStatus.FAILED and error.execution is Execution.NOT_EXECUTED:
            # All tries of this item found nobody there. When as many in a row as are in flight did, nobody is there.
            self._unreachable += 1
            self._last_unreachable = error
            if self._unreachable >= self._concurrency:
                self._refuse(error)
        elif outcome.status is not OutcomeStatus.NOT_ATTEMPTED:
            self._unreachable = 0

    def _refuse(self, error: KatapultError) -> None:
        if self.report.stopped_by is None:
            self.report.stopped_by = error
        self._halt()

    def _halt(self) -> None:
        self._stopped = True
        for scope, settling in self._active.items():
            settling.stopping = True
            if not settling.on_the_wire:
                scope.cancel()

    def _keep(self, outcome: Outcome) -> None:
        # Counted when it is handed out, or when the run is left: once, whatever is cancelled in between.
        self._uncounted[id(outcome)] = outcome

    async def _deliver(self, outcome: Outcome) -> None:
        self._keep(outcome)
        if self._unrecorded is None:
            await self._hand_out(outcome)
        else:
            await _send(self._unrecorded, outcome)

    async def _record(self, recorder: Recorder, settled: MemoryObjectReceiveStream[Outcome]) -> None:
        """Let the recorder have what has come up, all of it at once, and then the consumer."""
        with settled:
            async for outcome in settled:
                batch = (outcome, *_at_hand(settled))
                await recorder.settled(batch)
                for recorded in batch:
                    await self._hand_out(recorded)

    async def _hand_out(self, outcome: Outcome) -> None:
        del self._uncounted[id(outcome)]
        self.report.add(outcome)
        if outcome.status is OutcomeStatus.FAILED or outcome.status is OutcomeStatus.UNKNOWN:
            log.info(
                "%s: %s: %s",
                outcome.assignment,
                outcome.status,
                outcome.error,
                request_id=outcome.request_id,
            )
        if self._session.observers:
            self._session.observers.on_outcome(_event(self._action.name, outcome))
        await _send(self._send, outcome)

    def _sum_up(self) -> None:
        self.report.total_permitted = self._session.gate.limit
        self.report.elapsed = asyncio.get_running_loop().time() - self._began


async def _send(stream: MemoryObjectSendStream[Outcome], outcome: Outcome) -> None:
    # Without a round of the event loop, where there is room.
    try:
        stream.send_nowait(outcome)
    except anyio.WouldBlock:
        await stream.send(outcome)


def _at_hand(stream: MemoryObjectReceiveStream[Outcome]) -> Iterator[Outcome]:
    with contextlib.suppress(anyio.WouldBlock, anyio.EndOfStream):
        while True:
            yield stream.receive_nowait()


def _event(action: str, outcome: Outcome) -> OutcomeEvent:
    return OutcomeEvent(
        action=action,
        disk=outcome.assignment.disk,
        virtual_machine=outcome.assignment.virtual_machine,
        status=outcome.status.value,
        ok=outcome.ok,
        code=outcome.code,
        attempts=outcome.attempts,
        request_id=outcome.request_id,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
    )


def _only(exc: BaseException) -> BaseException:
    """The exception inside groups of one: callers wait for the input's own error, not for a group."""
    while True:
        inner = getattr(exc, "exceptions", None)
        if not inner:
            return exc
        exc = inner[0]
