"""Connect a journal with a bulk run: read lines as items, and write outcomes to the journal.

`before_send` records that a line is sent, before its request. `persist` records the outcomes.

A recorder marks lines as sent before their turn, many in one transaction. So few requests wait for
the disk. After a crash, a resumed run reads back every marked line, also a line that was never
sent. So no more lines are marked than are sent during a few transactions. A session that ends
normally removes the marks of lines that were not sent.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import msgspec

from katapult_async.bulk import Action, Assignment, Outcome, Recorder, Start
from katapult_async.jobs.journal.group_commit import Batch, Writer
from katapult_async.jobs.journal.queries_lines import (
    MARK_SENT,
    NOTE_SEEN_FREE,
    RECORD_OUTCOME,
    SET_MACHINE_ID,
    UNMARK_SENT,
    LineMachine,
    LineNumber,
    LineOutcome,
    OpenLine,
    SentLine,
    open_lines,
)
from katapult_async.jobs.journal.records import LineState, RunKind, Step

from .busy_machines import BusyMachines
from .transitions import Transition, after

#: Lines read from the journal at a time.
READ_AHEAD = 500
#: Lines marked as sent at a time: at first, and at most.
MARK_AHEAD, MOST_AHEAD = 16, 256


class StepRecorder(Recorder[Any, Any]):
    """The lines of one step: the async iterable of items for a bulk run, and the run's recorder."""

    #: The number of lines to mark as sent in one transaction, before their turn.
    _mark_at_a_time = MARK_AHEAD

    def __init__(
        self,
        writer: Writer,
        kind: RunKind,
        step: Step,
        busy: BusyMachines | None = None,
        *,
        admits: Callable[[int], bool] = lambda _number: True,
        on_outcome: Callable[[Outcome[Any, Any]], None] | None = None,
    ) -> None:
        self._writer = writer
        self._admits = admits
        self._on_outcome = on_outcome
        self._busy = busy
        self._kind = kind
        self._step = step
        self._ready: deque[OpenLine] = deque()
        self._last = 0
        self._sent_last = False
        # By id() of the item. The entry keeps the item alive, so that its id() stays unique.
        self._open: dict[int, tuple[object, OpenLine]] = {}
        # Marks of lines whose turn has not come, by line number.
        self._marks: dict[int, Batch] = {}
        # The batch with the latest marks of such lines.
        self._marking: Batch | None = None
        # How many of the first lines in `_ready` are marked.
        self._marked_ready = 0
        # Numbers of lines that were skipped because their machine accepts no further task.
        self._left: set[int] = set()

    def __aiter__(self) -> StepRecorder:
        return self

    async def __anext__(self) -> object:
        while not self._ready:
            lines = await self._writer.call(
                open_lines, self._step, after=self._last, sent_last=self._sent_last, limit=READ_AHEAD
            )
            if lines:
                self._ready.extend(line for line in lines if self._admits(line.number))
                self._last = lines[-1].number
            elif self._sent_last:
                raise StopAsyncIteration
            else:
                self._last, self._sent_last = 0, True
        return self.take_next()

    def has_next(self) -> bool:
        """Return whether the next line has been read from the journal."""
        return bool(self._ready)

    def take_next(self) -> object:
        """Return the item of the next line in memory."""
        line = self._ready.popleft()
        self._marked_ready = max(self._marked_ready - 1, 0)
        item = self._item(line)
        self._open[id(item)] = item, line
        return item

    def _item(self, line: OpenLine) -> object:
        return Assignment(line.disk, line.virtual_machine)

    def _line(self, item: object) -> OpenLine:
        return self._open[id(item)][1]

    def _reads_first(self, line: OpenLine) -> bool:
        # A rollback changes a disk only if it is still in the state in which the run left it.
        return line.read_first or self._kind is RunKind.ROLLBACK

    async def before_send(self, item: object) -> Start:
        """Record durably that the item is sent, and return how the work on it starts."""
        line = self._line(item)
        if line.state is LineState.SENT:
            return Start.READ_BACK
        if self._busy is not None and not self._busy.may_take(line.virtual_machine):
            self._left.add(line.number)
            return Start.SKIP
        mark = self._marks.pop(line.number, None) or self._mark([line])
        if len(self._marks) < self._mark_at_a_time // 2:
            self._mark_ahead()
        await mark.durable()
        return Start.READ_FIRST if self._reads_first(line) else Start.SEND

    def _mark(self, lines: Sequence[OpenLine]) -> Batch:
        now = time.time()
        return self._writer.submit(MARK_SENT, [SentLine(line.number, now) for line in lines])

    def _mark_ahead(self) -> None:
        if self._marking is not None and not self._marking.done.is_set():
            # Half of these lines were sent while they were written: mark more, or requests wait.
            self._mark_at_a_time = min(2 * self._mark_at_a_time, MOST_AHEAD)
        coming = list(islice(self._ready, self._marked_ready, self._marked_ready + self._mark_at_a_time))
        lines = [line for line in coming if line.state is not LineState.SENT]
        if lines:
            self._marking = self._mark(lines)
            self._marks.update(dict.fromkeys((line.number for line in lines), self._marking))
        self._marked_ready += len(coming)

    def on_outcome(self, outcome: Outcome[Any, Any]) -> None:
        """Count failures, and note whether the machine accepts another task."""
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        if self._busy is not None:
            self._busy.note(self._line(outcome.item).virtual_machine, outcome)

    async def persist(self, outcomes: Sequence[Outcome[Any, Any]]) -> None:
        """Write the outcomes to the journal, durably."""
        recorded: list[LineOutcome] = []
        names: list[LineMachine] = []
        free: list[LineNumber] = []
        for outcome in outcomes:
            _, line = self._open.pop(id(outcome.item))
            if mark := self._marks.pop(line.number, None):
                await mark.durable()  # stopped before its turn: the mark must be written before the outcome
            if line.state is LineState.SENT and outcome.started_at is None:
                continue  # stopped before it was read back: its record does not change
            if line.number in self._left:
                self._left.discard(line.number)
                transition = Transition.machine_busy(self._step)
            else:
                transition = after(
                    self._step, outcome, second_step=line.second_step, seen_free=line.seen_free
                )
            if self._step is Step.ASSIGN and transition.state is LineState.SENT and outcome.certain:
                free.append(LineNumber(line.number))
            if machine := _newly_known(line, outcome):
                names.append(LineMachine(line.number, machine))
            recorded.append(
                _line_outcome(
                    line.number,
                    transition,
                    outcome.finished_at,
                    line.attempts + outcome.attempts,
                    request_id=outcome.request_id,
                    sent_at=outcome.started_at if not line.attempts else None,
                )
            )
        if names:
            self._writer.submit(SET_MACHINE_ID, names)
        if free:
            self._writer.submit(NOTE_SEEN_FREE, free)
        if recorded:
            await self._writer.submit(RECORD_OUTCOME, recorded).durable()

    def close(self) -> None:
        """Remove the marks of lines that were not sent. Call it when no request is in flight."""
        for number in self._marks:
            self._writer.note(UNMARK_SENT, LineNumber(number))
        self._marks.clear()


class ActionRecorder(StepRecorder):
    """The lines of a run of any action.

    It marks each line singly, when its turn comes. Most actions cannot be read back, so after a
    crash a line that was marked and not sent would be unknown.

    Args:
        writer: Writes to the journal.
        admits: Returns whether the line of this number may be executed now.
        on_outcome: Called with each outcome as soon as it is known.
    """

    _mark_at_a_time = 0

    def __init__(
        self,
        writer: Writer,
        *,
        admits: Callable[[int], bool],
        on_outcome: Callable[[Outcome[Any, Any]], None] | None,
    ) -> None:
        super().__init__(writer, RunKind.ACTION, Step.ACTION, admits=admits, on_outcome=on_outcome)
        #: Must be set before the first line is read. The action itself calls `sent_at`.
        self.action: Action[Any, Any] | None = None

    def sent_at(self, item: object) -> float | None:
        """Return when an earlier session has sent an item, in Unix seconds. None if none has."""
        return self._line(item).sent_at

    def _item(self, line: OpenLine) -> object:
        assert self.action is not None  # noqa: S101 - see `action`
        return msgspec.json.decode(line.item or "{}", type=self.action.item)

    def _reads_first(self, line: OpenLine) -> bool:
        assert self.action is not None  # noqa: S101 - see `action`
        return line.read_first or self.action.read_first


def _newly_known(line: OpenLine, outcome: Outcome[Any, Any]) -> str | None:
    """Return the ID of the disk's machine if the line has only its name."""
    if outcome.disk is None or not outcome.ok or line.virtual_machine.startswith("vm_"):
        return None
    bond = outcome.disk.virtual_machine_disk
    return bond.virtual_machine.id if bond else None


async def record_outcome(
    writer: Writer, number: int, transition: Transition, at: float, attempts: int
) -> None:
    """Record the new state of a line durably.

    Args:
        writer: Writes to the journal.
        number: The line of the manifest.
        transition: The new state.
        at: When the outcome was known, in Unix seconds.
        attempts: Requests so far that were to change something.
    """
    await writer.write(RECORD_OUTCOME, _line_outcome(number, transition, at, attempts))


def _line_outcome(
    number: int,
    transition: Transition,
    at: float,
    attempts: int,
    *,
    request_id: str | None = None,
    sent_at: float | None = None,
) -> LineOutcome:
    return LineOutcome(
        number=number,
        step=transition.step,
        state=transition.state,
        status=transition.status,
        changes=transition.changes,
        reverted=transition.reverted,
        code=transition.code,
        detail=transition.detail,
        attempts=attempts,
        finished_at=at,
        task=transition.task,
        request_id=request_id,
        sent_at=sent_at,
    )
