"""Between a journal and the fan-out: lines go out as items, and what happens to them comes back as durable records.

Lines are marked as sent some dozens at a time, before their turn comes, so that hardly a request waits for the disk. A
line that was marked and not sent is read back by a resumed run, as if it had been: that is what a crash costs, and why
they are not more. A session that ends by itself takes such marks back.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import msgspec

from katapult_async.bulk import Assignment, Outcome, Recorder, Start
from katapult_async.jobs.journal.group_commit import Batch, Values, Writer, column
from katapult_async.jobs.journal.records import LineState, RunKind
from katapult_async.jobs.journal.schema import MACHINE

from .busy_machines import BusyMachines
from .transitions import Next, Step, after, machine_busy

#: Lines read from the journal at a time.
READ_AHEAD = 500
#: Lines marked as sent at a time.
MARK_AHEAD = 32
SENDING = f"""
    UPDATE line SET state = 1, attempts = attempts + 1, sent_at = coalesce(sent_at, {column(1)}), code = NULL,
        detail = NULL
    FROM json_each(?) AS r WHERE number = {column(0)}
"""
_UNMARK = f"""
    UPDATE line SET state = 0, attempts = attempts - 1, sent_at = CASE WHEN attempts > 1 THEN sent_at END
    FROM json_each(?) AS r WHERE number = {column(0)} AND state = 1
"""
SETTLE = f"""
    UPDATE line SET step = {column(1)}, state = {column(2)}, status = {column(3)},
        did = (did | {column(4)}) & ~{column(5)}, code = {column(6)}, detail = {column(7)}, attempts = {column(8)},
        request_id = coalesce({column(9)}, request_id), task = coalesce({column(10)}, task),
        finished_at = {column(11)},
        sent_at = CASE WHEN {column(8)} > 0 THEN coalesce({column(12)}, sent_at) END
    FROM json_each(?) AS r WHERE number = {column(0)}
"""
_BIND = f"UPDATE line SET machine_id = {column(1)} FROM json_each(?) AS r WHERE number = {column(0)}"
_SEEN_FREE = f"UPDATE line SET found = 'to_assign' FROM json_each(?) AS r WHERE number = {column(0)}"
# Those that are not ready come last: they may be by then. What came out as unknown waits for the next session.
_READ = f"""
    SELECT number, disk, {MACHINE}, further, attempts, state, look, found IN ('to_assign', 'not_ready') FROM line
    WHERE number > ? AND step = ? AND state < 2 AND status = 'waiting'
        AND (coalesce(found, '') IN ('not_ready', 'not_listed')) = ?
    ORDER BY number LIMIT ?
"""


class OpenLine(msgspec.Struct, frozen=True, gc=False):
    """A line that has been read from the journal and is not through with its step.

    virtual_machine: by its id, where that is known. look: read its disk before anything is sent. seen_free: the
    preflight has seen its disk on no machine.
    """

    number: int
    disk: str
    virtual_machine: str
    further: bool
    attempts: int
    state: LineState
    look: bool
    seen_free: bool


class StepRecorder(Recorder):
    """The lines of one step: an async iterable of items for the fan-out, and its recorder."""

    def __init__(
        self,
        writer: Writer,
        kind: RunKind,
        step: Step,
        busy: BusyMachines | None = None,
        *,
        admits: Callable[[int], bool] = lambda _number: True,
        heard: Callable[[Outcome], None] | None = None,
    ) -> None:
        self._writer = writer
        self._admits = admits
        self._heard = heard
        self._busy = busy
        self._kind = kind
        self._step = step
        self._ready: deque[OpenLine] = deque()
        self._last = 0
        self._not_ready = False
        self._open: dict[str, OpenLine] = {}
        # Lines that are marked as sent, or soon will be, and whose turn has not come; so many of those that are ready.
        self._marks: dict[int, Batch] = {}
        self._marked_ready = 0
        # Lines whose turn came while their machine takes no further task.
        self._left: set[int] = set()

    def __aiter__(self) -> StepRecorder:
        return self

    async def __anext__(self) -> Assignment:
        while not self._ready:
            lines = await self._writer.call(self._read)
            if lines:
                self._ready.extend(line for line in lines if self._admits(line.number))
                self._last = lines[-1].number
            elif self._not_ready:
                raise StopAsyncIteration
            else:
                self._last, self._not_ready = 0, True
        line = self._ready.popleft()
        self._marked_ready = max(self._marked_ready - 1, 0)
        self._open[line.disk] = line
        return Assignment(line.disk, line.virtual_machine)

    def _read(self, db: sqlite3.Connection) -> list[OpenLine]:
        rows: list[tuple[Any, ...]] = db.execute(
            _READ, (self._last, self._step.value, self._not_ready, READ_AHEAD)
        ).fetchall()
        return [
            OpenLine(number, disk, machine, bool(further), attempts, LineState(state), bool(look), bool(free))
            for number, disk, machine, further, attempts, state, look, free in rows
        ]

    async def before_send(self, item: Assignment) -> Start:
        """See that its request may leave: that it is recorded as sent."""
        line = self._open[item.disk]
        if line.state is LineState.SENT:
            return Start.READ_BACK
        if self._busy is not None and not self._busy.may_take(line.virtual_machine):
            self._left.add(line.number)
            return Start.SKIP
        mark = self._marks.pop(line.number, None) or self._mark([line])
        if len(self._marks) < MARK_AHEAD // 2:
            self._mark_ahead()
        await mark.durable()
        # What is taken back must be as this run left it.
        return Start.READ_FIRST if line.look or self._kind is RunKind.ROLLBACK else Start.SEND

    def _mark(self, lines: Sequence[OpenLine]) -> Batch:
        now = time.time()
        return self._writer.submit(SENDING, [(line.number, now) for line in lines])

    def _mark_ahead(self) -> None:
        coming = list(islice(self._ready, self._marked_ready, self._marked_ready + MARK_AHEAD))
        lines = [line for line in coming if line.state is not LineState.SENT]
        if lines:
            self._marks.update(dict.fromkeys((line.number for line in lines), self._mark(lines)))
        self._marked_ready += len(coming)

    def on_outcome(self, outcome: Outcome) -> None:
        """Know at once whether its machine takes a further task."""
        if self._heard is not None:
            self._heard(outcome)
        if self._busy is not None:
            self._busy.note(self._open[outcome.assignment.disk].virtual_machine, outcome)

    async def persist(self, outcomes: Sequence[Outcome]) -> None:
        """Record what became of them."""
        rows: list[Values] = []
        names: list[Values] = []
        free: list[Values] = []
        for outcome in outcomes:
            line = self._open.pop(outcome.assignment.disk)
            if mark := self._marks.pop(line.number, None):
                await mark.durable()  # stopped before its turn: what is recorded now must come after it
            if line.state is LineState.SENT and outcome.started_at is None:
                continue  # stopped before it was read back: it stays as it was
            if line.number in self._left:
                self._left.discard(line.number)
                following = machine_busy(self._step)
            else:
                following = after(self._step, outcome, further=line.further, seen_free=line.seen_free)
            if self._step is Step.ASSIGN and following.state is LineState.SENT and outcome.certain:
                free.append((line.number,))
            if machine := _newly_known(line, outcome):
                names.append((line.number, machine))
            rows.append(
                _settling(
                    line.number,
                    following,
                    outcome.finished_at,
                    line.attempts + outcome.attempts,
                    request_id=outcome.request_id,
                    sent_at=outcome.started_at if not line.attempts else None,
                )
            )
        for statement, values in ((_BIND, names), (_SEEN_FREE, free)):
            if values:
                self._writer.submit(statement, values)
        if rows:
            await self._writer.submit(SETTLE, rows).durable()

    def close(self) -> None:
        """Take back the marks of lines whose turn has not come. Call it when nothing is in flight any more."""
        for number in self._marks:
            self._writer.note(_UNMARK, (number,))
        self._marks.clear()


def _newly_known(line: OpenLine, outcome: Outcome) -> str | None:
    """The id of the machine that the disk has been put on, where the line only names it."""
    if outcome.disk is None or not outcome.ok or line.virtual_machine.startswith("vm_"):
        return None
    bond = outcome.disk.virtual_machine_disk
    return bond.virtual_machine.id if bond else None


async def settle(writer: Writer, number: int, following: Next, at: float, attempts: int) -> None:
    """Record, durably, what a line has become. at: unix seconds."""
    await writer.write(SETTLE, _settling(number, following, at, attempts))


def _settling(
    number: int,
    following: Next,
    at: float,
    attempts: int,
    *,
    request_id: str | None = None,
    sent_at: float | None = None,
) -> Values:
    return (
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
        sent_at,
    )
