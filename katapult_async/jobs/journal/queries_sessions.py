"""The statements for the sessions of a run, and for its timeline.

`begin_session` also changes lines: it opens unknown lines again, and applies the preflight.
"""

from __future__ import annotations

import sqlite3

import msgspec

from .schema import SECOND_STEP
from .statements import BatchStatement, execute, pragma

_NOT_SENT = "step = :step_assign AND state = :state_waiting"
_IS_SENT = "found IN (:found_to_assign, :found_not_ready, :found_not_listed)"
_LAST = "number = (SELECT max(number) FROM session)"


def begin_session(db: sqlite3.Connection, now: float, period: float, preflight_holds: float) -> None:
    """Begin a session: open unknown lines again, and apply the findings of a recent preflight.

    Args:
        db: The journal.
        now: Unix time in seconds.
        period: Length of the rate limit's window in seconds.
        preflight_holds: Seconds for which the findings "already there" and "impossible" count.
            Lines with older findings are sent, and the API decides.
    """
    db.execute("BEGIN IMMEDIATE")
    execute(db, "UPDATE line SET status = :status_waiting WHERE status = :status_unknown")
    looked_at = db.execute("SELECT looked_at FROM run").fetchone()[0]
    if looked_at is not None and not 0 <= now - looked_at <= preflight_holds:
        execute(db, f"UPDATE line SET found = NULL, detail = NULL WHERE {_NOT_SENT} AND NOT {_IS_SENT}")
    _record_already_there(db, now)
    _record_impossible(db, now)
    execute(
        db,
        "INSERT INTO session (started_at, elapsed, period) VALUES (:now, 0.0, :period)",
        now=now,
        period=period,
    )
    db.execute("COMMIT")
    # A copy of the file without its write-ahead log must show, too, that the run has begun.
    pragma(db, "wal_checkpoint(PASSIVE)")


def _record_already_there(db: sqlite3.Connection, now: float) -> None:
    statement = f"""
        UPDATE line SET state = :state_settled, status = :status_already_assigned, finished_at = :now
        WHERE {_NOT_SENT} AND found = :found_already_there AND NOT {SECOND_STEP}
    """
    execute(db, statement, now=now)
    execute(db, f"UPDATE line SET step = :step_attach WHERE {_NOT_SENT} AND found = :found_already_there")


def _record_impossible(db: sqlite3.Connection, now: float) -> None:
    # Journals of the first version have 'conflict' instead of the code 'assignment_conflict'.
    statement = f"""
        UPDATE line SET state = :state_settled, status = :status_failed, finished_at = :now,
            code = CASE found WHEN 'conflict' THEN :found_conflict ELSE found END,
            detail = coalesce(detail, 'it is not among what the token can see')
        WHERE {_NOT_SENT} AND NOT {_IS_SENT}
    """
    execute(db, statement, now=now)


class Elapsed(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How long the last session has lasted, in seconds."""

    elapsed: float


NOTE_ELAPSED = BatchStatement(
    Elapsed, f"UPDATE session SET elapsed = {{elapsed}} FROM {{rows}} WHERE {_LAST}"
)


class SessionEnd(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The end of the last session. See RunSession."""

    elapsed: float
    ended: str
    reason: str | None


END_SESSION = BatchStatement(
    SessionEnd,
    f"""
    UPDATE session SET elapsed = {{elapsed}}, finished_at = started_at + {{elapsed}}, ended = {{ended}},
        reason = {{reason}}
    FROM {{rows}} WHERE {_LAST}
    """,
)


class Sharing(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A process that shares the rate limit with the last session. See RunSession.

    Args:
        place: The place of the budget. Empty without a budget.
        process: The other process. Empty if no process was seen.
        run: The run that the other process executes. Empty if it executes none.
    """

    place: str
    process: str = ""
    run: str = ""


ADD_SHARING = BatchStatement(
    Sharing,
    """
    INSERT INTO sharing (session, place, process, run)
        SELECT (SELECT max(number) FROM session), {place}, {process}, {run} FROM {rows} WHERE TRUE
    ON CONFLICT DO NOTHING
    """,
)


class PreflightTime(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How long a preflight took.

    Args:
        since: When it began, in Unix seconds.
        elapsed: Its duration, in seconds.
    """

    since: float
    elapsed: float


ADD_PREFLIGHT_TIME = BatchStatement(
    PreflightTime,
    """
    INSERT INTO preflight_time (since, elapsed) SELECT {since}, {elapsed} FROM {rows} WHERE TRUE
    ON CONFLICT DO NOTHING
    """,
)

# -- the timeline ----------------------------------------------------------------------------------


class SecondCounts(msgspec.Struct, kw_only=True, array_like=True):
    """Counts to add to a second of the timeline. See TimelineSecond."""

    at: int
    requests: int = 0
    rate_limited: int = 0
    failed: int = 0
    permitted: int | None = None


ADD_SECOND = BatchStatement(
    SecondCounts,
    """
    INSERT INTO second (at, requests, rate_limited, failed, permitted)
        SELECT {at}, {requests}, {rate_limited}, {failed}, {permitted} FROM {rows} WHERE TRUE
    ON CONFLICT (at) DO UPDATE SET
        requests = requests + excluded.requests,
        rate_limited = rate_limited + excluded.rate_limited,
        failed = failed + excluded.failed,
        permitted = coalesce(excluded.permitted, permitted)
    """,
)


class Wait(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A time in which requests waited. See TimelineWait."""

    since: float
    until: float
    reason: str


ADD_WAIT = BatchStatement(
    Wait, "INSERT INTO wait (since, until, reason) SELECT {since}, {until}, {reason} FROM {rows}"
)


class LatencySums(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Response times since a preflight or a session began. A later row replaces the earlier one.

    Args:
        since: When the preflight or session began, in Unix seconds.
        buckets: The histogram, as JSON: `[[bucket, count], ...]`.
        waited: Seconds of waiting for permits.
    """

    since: float
    buckets: str
    waited: float


SET_LATENCY = BatchStatement(
    LatencySums,
    """
    INSERT INTO latency (since, buckets, waited) SELECT {since}, {buckets}, {waited} FROM {rows} WHERE TRUE
    ON CONFLICT (since) DO UPDATE SET buckets = excluded.buckets, waited = excluded.waited
    """,
)
