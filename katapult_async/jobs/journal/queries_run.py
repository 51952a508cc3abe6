"""The statements that read a whole run, fill a new journal, and select what a rollback reverts.

The statements for lines while a run is executed are in `queries_lines`: open lines, marks before a
request, outcomes, tasks.

Each statement is a function. A function that reads raises ValueError or TypeError for a value of a
wrong type.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from .new_run import NewLine
from .records import (
    Changes,
    LineRecord,
    LineState,
    LineStatus,
    RunInfo,
    RunKind,
    RunSession,
    Step,
    TimelineSecond,
    TimelineWait,
)
from .schema import (
    ACTION_KIND,
    APPLICATION_ID,
    CHANGES,
    FIRST_TALLY,
    READ_FIRST,
    ROLLED_BACK_BY,
    SECOND_STEP,
    migrate,
    origin_of,
)
from .statements import execute, number, pragma, rows

_decode_buckets = msgspec.json.Decoder(list[tuple[int, int]]).decode

# -- reading ---------------------------------------------------------------------------------------


def info(db: sqlite3.Connection) -> RunInfo | None:
    """Return the run as it was created. None if the row is missing."""
    statement = f"""
        SELECT run_id, iif(kind LIKE :actions, :kind_action, kind) AS kind,
            iif(kind LIKE :actions, substr(kind, :prefix + 1), NULL) AS action, manifest, digest, created_at, lines, attach, parent, base_url,
            {ROLLED_BACK_BY} AS rolled_back_by, preflight, thorough, organization, confirmed_at, looked_at
        FROM run
    """
    values = {
        "actions": f"{ACTION_KIND}%",
        "prefix": len(ACTION_KIND),
        "kind_action": RunKind.ACTION.value,
    }
    return next(rows(db, RunInfo, statement, **values), None)


def status_counts(db: sqlite3.Connection) -> dict[LineStatus, int]:
    """Return the number of lines of each status that occurs."""
    counted = execute(db, "SELECT status, count(*) FROM line GROUP BY status")
    found = {LineStatus(status): int(count) for status, count in counted}
    return {status: found[status] for status in LineStatus if status in found}


def request_counts(db: sqlite3.Connection) -> tuple[int, int]:
    """Return the numbers of requests and of 429s."""
    (counts,) = execute(db, "SELECT coalesce(sum(requests), 0), coalesce(sum(rate_limited), 0) FROM second")
    return int(counts[0]), int(counts[1])


def last_permitted(db: sqlite3.Connection) -> int | None:
    """Return the latest number of requests permitted in a window."""
    found = execute(
        db, "SELECT permitted FROM second WHERE permitted IS NOT NULL ORDER BY at DESC LIMIT 1"
    ).fetchone()
    return int(found[0]) if found is not None else None


def sessions(db: sqlite3.Connection) -> Iterator[RunSession]:
    """Yield the executions of the run, in order."""
    # A session of the first version has no `elapsed`. Its end, or else its last request, counts.
    statement = """
        SELECT started_at, finished_at, ended, reason, period, CASE
            WHEN elapsed IS NOT NULL THEN started_at + elapsed
            ELSE max(started_at, coalesce(finished_at, (
                SELECT max(at) + 1.0 FROM second WHERE at < coalesce(
                    (SELECT min(started_at) FROM session AS later WHERE later.number > session.number), 1e18)
            ), 0.0)) END AS active_until
            , (SELECT max(place) FROM sharing WHERE session = number) AS budget
        FROM session ORDER BY number
    """
    others = _others(db)
    for place, session in enumerate(rows(db, RunSession, statement), start=1):
        yield msgspec.structs.replace(session, shared_with=tuple(others[place]))


def _others(db: sqlite3.Connection) -> defaultdict[int, list[str]]:
    """Return the other processes that shared the rate limit, by session."""
    others = defaultdict[int, list[str]](list)
    statement = "SELECT session, process, run FROM sharing WHERE process != '' ORDER BY rowid"
    for session, process, run in execute(db, statement):
        others[session].append(f"{process} (run {run})" if run else process)
    return others


def lines(db: sqlite3.Connection, *, problems_only: bool = False) -> Iterator[LineRecord]:
    """Yield every line in the order of the manifest, or only those that are not done."""
    statement = f"""
        SELECT number, disk, virtual_machine, note, step, state, status,
            CASE code WHEN 'conflict' THEN :found_conflict ELSE code END AS code, -- of the first version
            detail, attempts, request_id, task, sent_at, finished_at, {SECOND_STEP} AS attach, item
        FROM line
        WHERE NOT :problems_only OR status IN (:status_failed, :status_unknown, :status_waiting)
        ORDER BY number
    """
    return rows(db, LineRecord, statement, problems_only=problems_only)


def timeline(db: sqlite3.Connection) -> Iterator[TimelineSecond]:
    """Yield the seconds in which requests were sent."""
    return rows(
        db, TimelineSecond, "SELECT at, requests, rate_limited, failed, permitted FROM second ORDER BY at"
    )


def waits(db: sqlite3.Connection) -> Iterator[TimelineWait]:
    """Yield the times in which requests waited for a permit."""
    return rows(db, TimelineWait, "SELECT since, until, reason FROM wait ORDER BY since")


def latencies(db: sqlite3.Connection) -> Iterator[tuple[list[tuple[int, int]], float]]:
    """Yield the buckets of a histogram, and the seconds of waiting, by preflight and session."""
    for buckets, waited in execute(db, "SELECT buckets, waited FROM latency ORDER BY since"):
        yield _decode_buckets(buckets), float(waited)


def preflight_elapsed(db: sqlite3.Connection) -> float:
    """Return the seconds of all preflights together."""
    return float(execute(db, "SELECT total(elapsed) FROM preflight_time").fetchone()[0])


# -- filling a new journal -------------------------------------------------------------------------


def fill(db: sqlite3.Connection, run: RunInfo, new_lines: Iterable[NewLine]) -> None:
    """Create the tables of a new journal, and insert its run and its lines."""
    pragma(db, "journal_mode = OFF")  # the file gets its name only when it is complete
    pragma(db, "synchronous = OFF")
    pragma(db, f"application_id = {APPLICATION_ID}")
    migrate(db)
    db.execute("BEGIN")
    db.executemany(
        f"""
        INSERT INTO line (number, disk, virtual_machine, machine_id, step, {SECOND_STEP}, note, item, origin)
        VALUES (:number, :disk, :virtual_machine, :machine_id, :step, :second_step, :note, :item, :origin)
        """,
        map(_values_of_line, new_lines),
    )
    values = msgspec.to_builtins(run)
    if run.action is not None:
        values["kind"] = f"{ACTION_KIND}{run.action}"
    execute(
        db,
        """
        INSERT INTO run (only, run_id, kind, manifest, digest, created_at, lines, attach, parent, base_url, preflight,
            thorough, organization, confirmed_at)
        VALUES (1, :run_id, :kind, :manifest, :digest, :created_at, :lines, :attach, :parent, :base_url, :preflight,
            :thorough, :organization, :confirmed_at)
        """,
        **values,
    )
    db.execute(FIRST_TALLY)
    db.execute("COMMIT")


def _values_of_line(line: NewLine) -> dict[str, object]:
    origin = origin_of(line.number, line.disk, line.virtual_machine, line.second_step, line.note, line.item)
    return {**msgspec.structs.asdict(line), "origin": origin}


# -- changing a run outside its execution ----------------------------------------------------------


def note_rolled_back(db: sqlite3.Connection, by: str) -> None:
    """Record the journal of the rollback that reverts this run."""
    execute(db, f"UPDATE run SET {ROLLED_BACK_BY} = :by", by=by)


def note_confirmed(db: sqlite3.Connection, at: float) -> None:
    """Record when the user agreed to the changes, in Unix seconds."""
    execute(db, "UPDATE run SET confirmed_at = :at", at=at)


def reopen_failed(db: sqlite3.Connection) -> int:
    """Set failed lines to waiting, to be read first. Return their number."""
    statement = f"""
        UPDATE line SET state = :state_waiting, status = :status_waiting, code = NULL, detail = NULL,
            finished_at = NULL, found = NULL, {READ_FIRST} = 1
        WHERE status = :status_failed
    """
    return execute(db, statement).rowcount


def doubt_all(db: sqlite3.Connection) -> None:
    """Treat every line that is not done as one that may have been sent. Its disk is read first."""
    statement = f"""
        UPDATE line SET state = :state_sent, {READ_FIRST} = 1
        WHERE state = :state_waiting AND status IN (:status_waiting, :status_unknown)
    """
    execute(db, statement)


# -- rolling back ----------------------------------------------------------------------------------

# A request without a response counts as executed if the preflight found the disk on no machine. The
# rollback reads each disk before it changes it.
_DONE_BY_RUN = f"""(
    {CHANGES} & (:changed_assigned | :changed_attached)
    OR (state = :state_sent AND (step = :step_attach OR found IN (:found_to_assign, :found_not_ready)))
)"""


class ChangedLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line whose disk the run has changed, or may have changed."""

    number: int
    disk: str
    virtual_machine: str
    machine_id: str | None
    note: str | None
    changes: int
    step: Step
    state: LineState

    @property
    def is_attached(self) -> bool:
        """Whether the run has attached the disk, or may have attached it."""
        return bool(self.changes & Changes.ATTACHED) or (
            self.step is Step.ATTACH and self.state is LineState.SENT
        )


def changed_lines(db: sqlite3.Connection) -> Iterator[ChangedLine]:
    """Yield the lines that a rollback reverts."""
    statement = f"""
        SELECT number, disk, virtual_machine, machine_id, note, {CHANGES} AS changes, step, state FROM line
        WHERE {_DONE_BY_RUN} ORDER BY number
    """
    return rows(db, ChangedLine, statement)


def count_changed(db: sqlite3.Connection) -> int:
    """Return the number of lines that a rollback reverts."""
    return number(db, f"SELECT count(*) FROM line WHERE {_DONE_BY_RUN}")


def perhaps_changed(db: sqlite3.Connection) -> list[int]:
    """Return the numbers of lines whose disks may have been on their machines before the run."""
    statement = f"""
        SELECT number FROM line
        WHERE ({CHANGES} & :changed_perhaps_assigned OR (state = :state_sent AND step = :step_assign))
            AND NOT {_DONE_BY_RUN}
        ORDER BY number
    """
    return [int(row[0]) for row in execute(db, statement)]
