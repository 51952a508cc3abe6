"""The way of an outcome from the worker to the consumer: first to the recorder, if there is one, then into the stream.

Each outcome is counted once in the report, when it is handed out or when the run is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from katapult_async.logs import package_logger
from katapult_async.observer import OutcomeEvent
from katapult_async.transport import Session

from .item import ItemT, ResultT
from .look_ahead import machine_of
from .outcome import BulkReport, Outcome, OutcomeStatus
from .verdict import Start

log = package_logger("bulk")

#: Outcomes that wait for the consumer at most.
LONGEST_QUEUE = 1024


class Recorder(Protocol[ItemT, ResultT]):
    """Follows a run: says how the work on each item begins, and records its outcome before it comes out.

    When a method raises, the run ends with that exception.
    """

    async def before_send(self, item: ItemT, /) -> Start:
        """Say how the work on an item begins. No request of the item leaves before this has returned."""
        ...

    def on_outcome(self, outcome: Outcome[ItemT, ResultT], /) -> None:
        """Take note of an outcome as soon as it is known, before the next item for the same machine starts."""
        ...

    async def persist(self, outcomes: Sequence[Outcome[ItemT, ResultT]], /) -> None:
        """Record outcomes: all that have become known since the last call. The run goes on meanwhile."""
        ...


class Delivery(Generic[ItemT, ResultT]):
    """Counts outcomes in `report`, tells the session's observers, and puts them into `receive`."""

    def __init__(
        self,
        action: str,
        session: Session,
        report: BulkReport[ItemT, ResultT],
        recorder: Recorder[ItemT, ResultT] | None,
        *,
        concurrency: int,
    ) -> None:
        self._action = action
        self._observers = session.observers
        self._report = report
        self._recorder = recorder
        self._queue = min(concurrency, LONGEST_QUEUE)
        self._send, self.receive = anyio.create_memory_object_stream[Outcome[ItemT, ResultT]](self._queue)
        # Outcomes on their way to the recorder, if there is one.
        self._unrecorded: MemoryObjectSendStream[Outcome[ItemT, ResultT]] | None = None
        # Outcomes that have not been counted yet.
        self._uncounted: dict[int, Outcome[ItemT, ResultT]] = {}

    def start(self, group: TaskGroup) -> None:
        """Begin to record, if there is a recorder."""
        if self._recorder is not None:
            # As many may wait to be recorded as there are requests in flight, and no request waits for that.
            self._unrecorded, unrecorded = anyio.create_memory_object_stream[Outcome[ItemT, ResultT]](
                self._queue
            )
            group.start_soon(self._record, self._recorder, unrecorded)

    def finish(self) -> None:
        """No more outcomes come to be recorded."""
        if self._unrecorded is not None:
            self._unrecorded.close()

    def close(self) -> None:
        """No more outcomes come out."""
        self._send.close()

    def keep(self, outcome: Outcome[ItemT, ResultT]) -> None:
        """Count this outcome when it is handed out, or else when the run is left."""
        self._uncounted[id(outcome)] = outcome

    def count_rest(self) -> None:
        """The run is left: count what was not handed out."""
        for outcome in self._uncounted.values():
            self._report.add(outcome)
        self._uncounted.clear()

    async def deliver(self, outcome: Outcome[ItemT, ResultT]) -> None:
        """Send an outcome on its way. Waits while the consumer is slow."""
        if self._unrecorded is None:
            await self._hand_out(outcome)
        else:
            self.keep(outcome)
            await _send(self._unrecorded, outcome)

    async def _record(
        self,
        recorder: Recorder[ItemT, ResultT],
        unrecorded: MemoryObjectReceiveStream[Outcome[ItemT, ResultT]],
    ) -> None:
        """Let the recorder have what has come up, all of it at once, and then the consumer."""
        with unrecorded:
            async for outcome in unrecorded:
                batch = (outcome, *_at_hand(unrecorded))
                await recorder.persist(batch)
                for recorded in batch:
                    del self._uncounted[id(recorded)]
                    await self._hand_out(recorded)

    async def _hand_out(self, outcome: Outcome[ItemT, ResultT]) -> None:
        self._report.add(outcome)  # before anything is awaited: it is counted even if the run is left now
        if outcome.status is OutcomeStatus.FAILED or outcome.status is OutcomeStatus.UNKNOWN:
            log.info(
                "%s: %s: %s",
                outcome.item,
                outcome.status,
                outcome.error,
                request_id=outcome.request_id,
            )
        if self._observers.active:
            self._observers.on_outcome(_event(self._action, outcome))
        try:
            self._send.send_nowait(outcome)  # without a round of the event loop, where there is room
        except anyio.WouldBlock:
            await self._send.send(outcome)


async def _send(
    stream: MemoryObjectSendStream[Outcome[ItemT, ResultT]], outcome: Outcome[ItemT, ResultT]
) -> None:
    # Without a round of the event loop, where there is room.
    try:
        stream.send_nowait(outcome)
    except anyio.WouldBlock:
        await stream.send(outcome)


def _at_hand(stream: MemoryObjectReceiveStream[Outcome[ItemT, ResultT]]) -> Iterator[Outcome[ItemT, ResultT]]:
    with contextlib.suppress(anyio.WouldBlock, anyio.EndOfStream):
        while True:
            yield stream.receive_nowait()


def _event(action: str, outcome: Outcome[ItemT, ResultT]) -> OutcomeEvent:
    return OutcomeEvent(
        action=action,
        item=str(outcome.item),
        disk=getattr(outcome.item, "disk", ""),
        virtual_machine=machine_of(outcome.item),
        status=outcome.word,
        ok=outcome.ok,
        code=outcome.code,
        attempts=outcome.attempts,
        request_id=outcome.request_id,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
    )
