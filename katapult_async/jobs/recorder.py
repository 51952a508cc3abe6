"""Between a journal and the fan-out: lines go out as items, and what happens to them comes back as durable records."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from typing import Any

import msgspec

from katapult_async.scheduler import Assignment, Outcome, Recorder, Start

from .record import LineState, RunKind
from .steps import Next, Step, after
from .writer import Writer, column

#: Lines read from the journal at a time.
READ_AHEAD = 500
_SENDING = f"""
    UPDATE line SET state = 1, attempts = attempts + 1, sent_at = coalesce(sent_at, {column(1)}), code = NULL,
        detail = NULL
    FROM json_each(?) AS r WHERE number = {column(0)}
"""
_SETTLE = f"""
    UPDATE line SET step = {column(1)}, state = {column(2)}, status = {column(3)},
        did = (did | {column(4)}) & ~{column(5)}, code = {column(6)}, detail = {column(7)}, attempts = {column(8)},
        request_id = coalesce({column(9)}, request_id), task = coalesce({column(10)}, task),
        finished_at = {column(11)}
    FROM json_each(?) AS r WHERE number = {column(0)}
"""
# Those that are not ready come last: they may be by then. What came out as unknown waits for the next session.
_READ = """
    SELECT number, disk, virtual_machine, further, attempts, state FROM line
    WHERE number > ? AND step = ? AND state < 2 AND status = 'waiting' AND (found IS 'not_ready') = ?
    ORDER BY number LIMIT ?
"""


class OpenLine(msgspec.Struct, frozen=True, gc=False):
    """A line that has been read from the journal and is not through with its step."""

    number: int
    disk: str
    virtual_machine: str
    further: bool
    attempts: int
    state: LineState


class StepRecorder(Recorder):
    """The lines of one step: an async iterable of items for the fan-out, and its recorder."""

    def __init__(self, writer: Writer, kind: RunKind, step: Step) -> None:
        self._writer = writer
        self._kind = kind
        self._step = step
        self._ready: deque[OpenLine] = deque()
        self._last = 0
        self._not_ready = False
        self._open: dict[str, OpenLine] = {}

    def __aiter__(self) -> StepRecorder:
        return self

    async def __anext__(self) -> Assignment:
        while not self._ready:
            lines = await self._writer.call(self._read)
            if lines:
                self._ready.extend(lines)
                self._last = lines[-1].number
            elif self._not_ready:
                raise StopAsyncIteration
            else:
                self._last, self._not_ready = 0, True
        line = self._ready.popleft()
        self._open[line.disk] = line
        return Assignment(line.disk, line.virtual_machine)

    def _read(self, db: sqlite3.Connection) -> list[OpenLine]:
        rows: list[tuple[Any, ...]] = db.execute(
            _READ, (self._last, self._step.value, self._not_ready, READ_AHEAD)
        ).fetchall()
        return [
            OpenLine(number, disk, machine, bool(further), attempts, LineState(state))
            for number, disk, machine, further, attempts, state in rows
        ]

    async def sending(self, item: Assignment) -> Start:
        """Record that its request may have left from now on."""
        line = self._open[item.disk]
        if line.state is LineState.SENT:
            return Start.READ_BACK
        await self._writer.write(_SENDING, (line.number, time.time()))
        # What is taken back must be as this run left it.
        return Start.LOOK if self._kind is RunKind.ROLLBACK else Start.SEND

    async def settled(self, outcome: Outcome) -> None:
        """Record what became of it."""
        line = self._open.pop(outcome.assignment.disk)
        following = after(self._step, outcome, further=line.further)
        attempts = line.attempts + outcome.attempts
        if line.state is LineState.SENT and outcome.started_at is None:
            return  # stopped before it was read back: it stays as it was
        await settle(
            self._writer, line.number, following, outcome.finished_at, attempts, request_id=outcome.request_id
        )


async def settle(
    writer: Writer,
    number: int,
    following: Next,
    at: float,
    attempts: int,
    *,
    request_id: str | None = None,
) -> None:
    """Record, durably, what a line has become. at: unix seconds."""
    await writer.write(
        _SETTLE,
        (
            number,
            following.step.value,
            following.state.value,
            following.status.value,
            following.did.value,
            following.undone.value,
            following.code,
            following.detail,
            attempts,
            request_id,
            following.task,
            at,
        ),
    )
