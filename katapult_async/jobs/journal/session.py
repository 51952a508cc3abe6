"""One execution of a run, as the journal records it: its beginning, its length, its end.

The time of day says when it began; how long it lasts is the monotonic clock's, as the time of day
can be set back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

from katapult_async.client import Client
from katapult_async.logs import run_id
from katapult_async.observer import BudgetEvent, BudgetProcess, Observer, RequestEvent, WaitEvent

from .group_commit import Writer
from .journal import Journal
from .queries_sessions import (
    ADD_SHARING,
    END_SESSION,
    NOTE_ELAPSED,
    Elapsed,
    SessionEnd,
    Sharing,
    begin_session,
)
from .timeline import TimelineRecorder

#: Seconds after which the result of a preflight does not count any more.
PREFLIGHT_HOLDS = 600.0
#: Seconds between two records of how long a session has lasted: a killed one is known to have
#: lasted so long.
PULSE = 1.0
#: Other processes that a session names, at most.
MOST_OTHERS = 100


class SessionRecorder(Observer):
    """Records how long a session lasts, and with whom it shares its rate limit.

    Watches requests and waits, as something must say that time goes by.

    Args:
        writer: Of the journal.
        run: The ID of the run.
    """

    def __init__(self, writer: Writer, run: str) -> None:
        self._writer = writer
        self._run = run
        self._others: set[BudgetProcess] = set()
        self._began = self._recorded = time.monotonic()

    async def begin(self, period: float, budget: str | None) -> None:
        """Record the beginning of the session.

        Args:
            period: Length of the rate limit's window in seconds.
            budget: Where the budget is kept through which the rate limit is shared; None for none.
        """
        await self._writer.call(begin_session, time.time(), period, PREFLIGHT_HOLDS)
        self._writer.note(ADD_SHARING, Sharing(place=budget or ""))

    def on_budget(self, event: BudgetEvent) -> None:
        """Record processes that have not shared the budget before.

        A process that executes this run is an earlier one that was killed.
        """
        for other in event.others:
            if other.run == self._run:
                continue
            if other not in self._others and len(self._others) < MOST_OTHERS:
                self._others.add(other)
                sharing = Sharing(place=event.place, process=other.name, run=other.run or "")
                self._writer.note(ADD_SHARING, sharing)

    def on_request(self, event: RequestEvent) -> None:  # noqa: ARG002 - any will do
        """A request has ended."""
        self._record()

    def on_wait(self, event: WaitEvent) -> None:  # noqa: ARG002 - any will do
        """A request waits."""
        self._record()

    def _record(self) -> None:
        now = time.monotonic()
        if now - self._recorded >= PULSE:
            self._recorded = now
            self._writer.note(NOTE_ELAPSED, Elapsed(elapsed=now - self._began))

    def end(self, ended: str, reason: str | None) -> None:
        """Record the end of the session. See RunSession for `ended` and `reason`."""
        elapsed = time.monotonic() - self._began
        self._writer.note(END_SESSION, SessionEnd(elapsed=elapsed, ended=ended, reason=reason))


@contextlib.asynccontextmanager
async def recording(journal: Journal, client: Client) -> AsyncIterator[Writer]:
    """Write to a journal while this is open, and record the timeline of the client's requests."""
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
