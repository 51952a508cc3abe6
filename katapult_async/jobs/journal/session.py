"""One execution of a run, as the journal records it: its beginning, how long it has lasted, its end.

The time of day says when it began; how long it lasts is the monotonic clock's, as the time of day can be set back.
"""

from __future__ import annotations

import sqlite3
import time

from katapult_async.observer import Observer, RequestEvent, WaitEvent

from .group_commit import Writer, column

#: Seconds after which the result of a preflight does not count any more.
PREFLIGHT_HOLDS = 600.0
#: Seconds between two records of how long a session has lasted: a killed one is known to have lasted so long.
PULSE = 1.0

_LAST = "number = (SELECT max(number) FROM session)"
_PULSE = f"UPDATE session SET elapsed = {column(0)} FROM json_each(?) AS r WHERE {_LAST}"
_END = f"""
    UPDATE session SET elapsed = {column(0)}, finished_at = started_at + {column(0)}, ended = {column(1)},
        reason = {column(2)}
    FROM json_each(?) AS r WHERE {_LAST}
"""
_NOT_SENT = "step = 'assign' AND state = 0"
_SENT_ANYWAY = "('to_assign', 'not_ready', 'not_listed')"
_LOOKED_AT = "SELECT looked_at FROM run"
_ASK_AGAIN = "UPDATE line SET status = 'waiting' WHERE status = 'unknown'"
_FORGET_FINDINGS = (
    f"UPDATE line SET found = NULL, detail = NULL WHERE {_NOT_SENT} AND found NOT IN {_SENT_ANYWAY}"
)
_SETTLE_THERE = f"""
    UPDATE line SET state = 3, status = 'already_assigned', finished_at = ?
    WHERE {_NOT_SENT} AND found = 'already_there' AND NOT further
"""
_ATTACH_THERE = f"UPDATE line SET step = 'attach' WHERE {_NOT_SENT} AND found = 'already_there'"
# Journals of the first version have 'conflict' for what is called as the API's clients know it now.
_SETTLE_IMPOSSIBLE = f"""
    UPDATE line SET state = 3, status = 'failed', finished_at = ?,
        code = CASE found WHEN 'conflict' THEN 'assignment_conflict' ELSE found END,
        detail = coalesce(detail, 'it is not among what the token can see')
    WHERE {_NOT_SENT} AND found NOT IN {_SENT_ANYWAY}
"""
_BEGIN = "INSERT INTO session (started_at, elapsed, period) VALUES (?, 0.0, ?)"


def begin(db: sqlite3.Connection, now: float, period: float) -> None:
    """Begin a session: what was unknown is looked at again, and what the preflight has found is taken over.

    Args:
        db: The journal.
        now: Unix time in seconds.
        period: Length of the rate limit's window in seconds.
    """
    db.execute("BEGIN IMMEDIATE")
    db.execute(_ASK_AGAIN)
    looked_at = db.execute(_LOOKED_AT).fetchone()[0]
    if looked_at is not None and not 0 <= now - looked_at <= PREFLIGHT_HOLDS:
        # Too long ago to settle a line by it: the server decides.
        db.execute(_FORGET_FINDINGS)
    db.execute(_SETTLE_THERE, (now,))
    db.execute(_ATTACH_THERE)
    db.execute(_SETTLE_IMPOSSIBLE, (now,))
    db.execute(_BEGIN, (now, period))
    db.execute("COMMIT")
    # So that the file itself says that it is being executed, also when it is copied without its write-ahead log.
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


class Stopwatch(Observer):
    """Records how long a session lasts. Watches requests and waits, as something must say that time goes by."""

    def __init__(self, writer: Writer) -> None:
        #: Unix seconds.
        self.started_at = time.time()
        self._writer = writer
        self._began = self._recorded = time.monotonic()

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
            self._writer.note(_PULSE, (now - self._began,))

    def end(self, ended: str, reason: str | None) -> None:
        """Record the end of the session. ended, reason: see Session."""
        self._writer.note(_END, (time.monotonic() - self._began, ended, reason))
