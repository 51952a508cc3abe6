"""Record a session (one execution of a run): when it starts, how long it lasts, how it ends.

The start is a time of day. The duration comes from the monotonic clock, because the time of day can
be set back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

from katapult_async.client import Client
from katapult_async.logs import run_id
from katapult_async.observer import BudgetEvent, BudgetProcess, Observer

from .group_commit import Writer
from .journal import Journal
from .queries_sessions import (
    ADD_PREFLIGHT_TIME,
    ADD_SHARING,
    END_SESSION,
    NOTE_ELAPSED,
    Elapsed,
    PreflightTime,
    SessionEnd,
    Sharing,
    begin_session,
)
from .timeline import TimelineRecorder

#: Seconds for which the result of a preflight counts.
PREFLIGHT_HOLDS = 600.0
#: Seconds between two records of the duration. For a killed session, the last one counts.
PULSE = 1.0
#: The most other processes to record for a session.
MOST_OTHERS = 100


class SessionRecorder(Observer):
    """Records how long a session lasts, and which processes share its rate limit.

    A timer records the duration once a second, from `begin` to `end`.

    Args:
        writer: Writes to the journal.
        run: The ID of the run.
    """

    def __init__(self, writer: Writer, run: str) -> None:
        self._writer = writer
        self._run = run
        self._others: set[BudgetProcess] = set()
        self._began = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self, period: float, budget: str | None) -> None:
        """Record the start of the session.

        Args:
            period: Length of the rate limit's window in seconds.
            budget: The place of the budget that shares the rate limit. None without a budget.
        """
        await self._writer.call(begin_session, time.time(), period, PREFLIGHT_HOLDS)
        self._writer.note(ADD_SHARING, Sharing(place=budget or ""))
        self._start_timer()

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PULSE, self._record)

    def _record(self) -> None:
        self._writer.note(NOTE_ELAPSED, Elapsed(elapsed=time.monotonic() - self._began))
        self._start_timer()

    def on_budget(self, event: BudgetEvent) -> None:
        """Record processes that are new in the budget.

        Skips a process that executes this run: it is an earlier one that was killed.
        """
        for other in event.others:
            if other.run == self._run:
                continue
            if other not in self._others and len(self._others) < MOST_OTHERS:
                self._others.add(other)
                sharing = Sharing(place=event.place, process=other.name, run=other.run or "")
                self._writer.note(ADD_SHARING, sharing)

    def end(self, ended: str, reason: str | None) -> None:
        """Record the end of the session. See RunSession for `ended` and `reason`."""
        if self._timer is not None:
            self._timer.cancel()
        elapsed = time.monotonic() - self._began
        self._writer.note(END_SESSION, SessionEnd(elapsed=elapsed, ended=ended, reason=reason))


@contextlib.contextmanager
def timing_preflight(writer: Writer) -> Iterator[None]:
    """Return a context manager that records how long the preflight inside it took."""
    since, began = time.time(), time.monotonic()
    try:
        yield
    finally:
        writer.note(ADD_PREFLIGHT_TIME, PreflightTime(since=since, elapsed=time.monotonic() - began))


@contextlib.asynccontextmanager
async def recording(journal: Journal, client: Client) -> AsyncIterator[Writer]:
    """Return a context manager with a Writer. It also records the timeline of the requests."""
    mark = run_id.set(journal.info().run_id)
    try:
        async with Writer(journal) as writer:
            timeline = TimelineRecorder(writer)
            try:
                with client.session.watching(timeline):
                    yield writer
            finally:
                timeline.learnt(client.session.gate.limit)
                timeline.flush()
    finally:
        run_id.reset(mark)
