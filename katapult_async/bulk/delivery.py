"""Deliver outcomes from the workers: first to the recorder, if any, then to the consumer.

The report counts each outcome once: on delivery, or when the consumer leaves the run.
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
from .outcome import BulkReport, Outcome
from .verdict import Start

log = package_logger("bulk")

#: The most outcomes that wait for the consumer, and for the recorder.
LONGEST_QUEUE, LONGEST_UNRECORDED = 1024, 256


class Recorder(Protocol[ItemT, ResultT]):
    """Decides how the work on each item starts, and records outcomes before their delivery.

    When a method raises, the run ends with that exception.
    """

    async def before_send(self, item: ItemT, /) -> Start:
        """Return how the work on an item starts. Called before its first request."""
        ...

    def on_outcome(self, outcome: Outcome[ItemT, ResultT], /) -> None:
        """Note an outcome as soon as it is known, before the machine's next item starts."""
        ...

    async def persist(self, outcomes: Sequence[Outcome[ItemT, ResultT]], /) -> None:
        """Record all outcomes since the last call. Requests continue meanwhile."""
        ...


class Delivery(Generic[ItemT, ResultT]):
    """Counts outcomes in `report`, notifies observers, and sends the outcomes to `receive`.

    Args:
        action: The name of the action, for events.
        session: Its observers are notified.
        report: Counts the outcomes.
        recorder: Records the outcomes before their delivery.
        concurrency: Requests in flight at most.
    """

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
        #: Whether the consumer needs the report only. `receive` then has no outcomes.
        self.only_count = False
        self._queue = min(concurrency, LONGEST_QUEUE)
        self._send, self.receive = anyio.create_memory_object_stream[Outcome[ItemT, ResultT]](self._queue)
        self._unrecorded: MemoryObjectSendStream[Outcome[ItemT, ResultT]] | None = None
        self._uncounted: dict[int, Outcome[ItemT, ResultT]] = {}

    def start(self, group: TaskGroup) -> None:
        """Start the recording, if the run has a recorder."""
        if self._recorder is not None:
            # What arrives while the recorder writes to the disk becomes its next batch. With fewer
            # places, requests would wait for the disk.
            self._unrecorded, unrecorded = anyio.create_memory_object_stream[Outcome[ItemT, ResultT]](
                LONGEST_UNRECORDED
            )
            group.start_soon(self._record, self._recorder, unrecorded)

    def finish(self) -> None:
        """Accept no more outcomes for the recorder."""
        if self._unrecorded is not None:
            self._unrecorded.close()

    def close(self) -> None:
        """End the consumer's stream."""
        self._send.close()

    def keep(self, outcome: Outcome[ItemT, ResultT]) -> None:
        """Count this outcome on delivery, or else when the consumer leaves the run."""
        self._uncounted[id(outcome)] = outcome

    def count_rest(self) -> None:
        """Count the outcomes that were not delivered. Called when the consumer has left the run."""
        for outcome in self._uncounted.values():
            self._report.add(outcome)
        self._uncounted.clear()

    async def deliver(self, outcome: Outcome[ItemT, ResultT]) -> None:
        """Deliver an outcome. Waits while the consumer is slow."""
        if self._unrecorded is None:
            self._count(outcome)
            if not self.only_count:
                await _send(self._send, outcome)
        else:
            self.keep(outcome)
            await _send(self._unrecorded, outcome)

    async def _record(
        self,
        recorder: Recorder[ItemT, ResultT],
        unrecorded: MemoryObjectReceiveStream[Outcome[ItemT, ResultT]],
    ) -> None:
        """Record all waiting outcomes as one batch, then deliver them."""
        with unrecorded:
            async for outcome in unrecorded:
                batch = (outcome, *_waiting(unrecorded))
                await recorder.persist(batch)
                for recorded in batch:
                    del self._uncounted[id(recorded)]
                    self._count(recorded)
                    if not self.only_count:
                        await _send(self._send, recorded)

    def _count(self, outcome: Outcome[ItemT, ResultT]) -> None:
        # Before it is sent to the consumer: it counts even if the consumer leaves now.
        if self._report.add(outcome):
            log.info(
                "%s: %s: %s",
                outcome.item,
                outcome.status,
                outcome.error,
                request_id=outcome.request_id,
            )
        if self._observers.hears_outcomes:
            self._observers.on_outcome(_event(self._action, outcome))


async def _send(
    stream: MemoryObjectSendStream[Outcome[ItemT, ResultT]], outcome: Outcome[ItemT, ResultT]
) -> None:
    try:
        stream.send_nowait(outcome)  # saves a turn of the event loop
    except anyio.WouldBlock:
        await stream.send(outcome)


def _waiting(stream: MemoryObjectReceiveStream[Outcome[ItemT, ResultT]]) -> Iterator[Outcome[ItemT, ResultT]]:
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
