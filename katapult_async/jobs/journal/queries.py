"""What a journal's rows mean: the statements that read them, and the functions that make records of them.

Pure but for the statements' text. Refuses nothing itself: a value that cannot be read raises ValueError or TypeError.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .records import LineRecord, LineState, LineStatus, RunInfo, RunKind, Second, Session, Waited

_decode_buckets = msgspec.json.Decoder(list[tuple[int, int]]).decode

RECORD = (
    "number, disk, virtual_machine, note, step, state, status, code, detail, attempts, request_id, task, sent_at,"
    " finished_at, further"
)
# Of a session that was killed, what it sent last is all that is known of its end.
SESSIONS = """
    SELECT started_at, finished_at, ended, reason, elapsed, period, (
        SELECT max(at) + 1.0 FROM second
        WHERE at < coalesce((SELECT min(started_at) FROM session AS later WHERE later.number > session.number), 1e18)
    )
    FROM session ORDER BY number
"""
INFO = """
    SELECT run_id, kind, manifest, digest, created_at, lines, attach, parent, base_url, taken_back_by, preflight,
        thorough, organization, confirmed_at, looked_at
    FROM run
"""
COUNTS = "SELECT status, count(*) FROM line GROUP BY status"
REQUESTS = "SELECT coalesce(sum(requests), 0), coalesce(sum(rate_limited), 0) FROM second"
PERMITTED = "SELECT permitted FROM second WHERE permitted IS NOT NULL ORDER BY at DESC LIMIT 1"
TIMELINE = "SELECT at, requests, rate_limited, failed, permitted FROM second ORDER BY at"
WAITS = "SELECT since, until, reason FROM wait ORDER BY since"
LATENCY = "SELECT buckets, waited FROM latency ORDER BY since"
PROBLEMS = (LineStatus.FAILED, LineStatus.UNKNOWN, LineStatus.WAITING)
LINES = f"SELECT {RECORD} FROM line ORDER BY number"
OPEN_LINES = f"""
    SELECT {RECORD} FROM line WHERE status IN ({", ".join(repr(status.value) for status in PROBLEMS)}) ORDER BY number
"""


def record(row: tuple[Any, ...]) -> LineRecord:
    return LineRecord(
        number=row[0],
        disk=row[1],
        virtual_machine=row[2],
        note=row[3],
        step=row[4],
        state=LineState(row[5]),
        status=LineStatus(row[6]),
        code="assignment_conflict" if row[7] == "conflict" else row[7],  # of the first version
        detail=row[8],
        attempts=row[9],
        request_id=row[10],
        task=row[11],
        sent_at=row[12],
        finished_at=row[13],
        attach=bool(row[14]),
    )


def info(row: tuple[Any, ...]) -> RunInfo:
    return RunInfo(
        run_id=row[0],
        kind=RunKind(row[1]),
        manifest=row[2],
        digest=row[3],
        created_at=row[4],
        lines=row[5],
        attach=bool(row[6]),
        parent=row[7],
        base_url=row[8],
        taken_back_by=row[9],
        preflight=bool(row[10]),
        thorough=bool(row[11]),
        organization=row[12],
        confirmed_at=row[13],
        looked_at=row[14],
    )


def second(row: tuple[Any, ...]) -> Second:
    return Second(at=row[0], requests=row[1], rate_limited=row[2], failed=row[3], permitted=row[4])


def waited(row: tuple[Any, ...]) -> Waited:
    return Waited(since=row[0], until=row[1], reason=row[2])


def latency(row: tuple[Any, ...]) -> tuple[list[tuple[int, int]], float]:
    return _decode_buckets(row[0]), float(row[1])


def session(row: tuple[Any, ...]) -> Session:
    started, finished, ended, reason, elapsed, period, seen = row
    return Session(
        started_at=started,
        finished_at=finished,
        active_until=_active_until(started, finished, elapsed, seen),
        ended=ended,
        reason=reason,
        period=period,
    )


def _active_until(started: float, finished: float | None, elapsed: float | None, seen: float | None) -> float:
    if elapsed is not None:
        return started + elapsed
    return max(started, finished if finished is not None else seen or 0.0)  # a session of the first version
