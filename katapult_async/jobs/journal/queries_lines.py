"""The statements for the lines of a run during a session (one execution of the run).

In the order of execution: `open_lines` reads the lines of a step, `MARK_SENT` records a line before
its request, `RECORD_OUTCOME` writes what a line has become, `lines_with_tasks` reads the lines
whose tasks have not ended. `steps/` calls all of these.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from .records import Changes, LineState, LineStatus, Step
from .schema import CHANGES, MACHINE, READ_FIRST, SECOND_STEP
from .statements import BatchStatement, execute, names, number, rows

_OPEN = "step = :step AND state < :state_task AND status = :status_waiting"
_HAS_TASK = "step = :step AND state = :state_task AND status = :status_waiting"
_TO_ATTACH = "step = :step_attach AND state = :state_waiting AND status = :status_waiting"

# -- sending ---------------------------------------------------------------------------------------


class OpenLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line whose step is not done.

    Attributes:
        number: The line of the manifest.
        disk: The ID of its disk.
        virtual_machine: The ID of its virtual machine, or its name if the ID is not known.
        second_step: Whether the line also needs the second step of the run.
        attempts: Requests so far that were to change something.
        state: The progress of the step.
        read_first: Whether to read the disk before a request is sent.
        seen_free: Whether the preflight found the disk on no machine.
        sent_at: When its request was first sent, in Unix seconds.
        item: The item of the run's action, as JSON.
    """

    number: int
    disk: str
    virtual_machine: str
    second_step: bool
    attempts: int
    state: LineState
    read_first: bool
    seen_free: bool
    sent_at: float | None = None
    item: str | None = None


def open_lines(
    db: sqlite3.Connection, step: Step, *, after: int, sent_last: bool, limit: int
) -> list[OpenLine]:
    """Return the next open lines of a step.

    Args:
        db: The journal.
        step: The step.
        after: Return only lines with a higher number than this.
        sent_last: True for the lines that a run sends last, because their disks or machines were
            not ready or not listed. False for the others.
        limit: The most lines to return.
    """
    statement = f"""
        SELECT number, disk, {MACHINE} AS virtual_machine, {SECOND_STEP} AS second_step, attempts, state,
            {READ_FIRST} AS read_first, coalesce(found IN (:found_to_assign, :found_not_ready), 0) AS seen_free,
            sent_at, item
        FROM line
        WHERE number > :after AND {_OPEN}
            AND (coalesce(found, '') IN (:found_not_ready, :found_not_listed)) = :sent_last
        ORDER BY number LIMIT :limit
    """
    return list(rows(db, OpenLine, statement, step=step.value, after=after, sent_last=sent_last, limit=limit))


def count_open(db: sqlite3.Connection, step: Step) -> int:
    """Return the number of lines whose step is not done."""
    return number(db, f"SELECT count(*) FROM line WHERE {_OPEN}", step=step.value)


def count_busy(db: sqlite3.Connection, step: Step, code: str) -> int:
    """Return the number of open lines that were not sent because of this error code."""
    statement = f"SELECT count(*) FROM line WHERE {_OPEN} AND state = :state_waiting AND code = :code"
    return number(db, statement, step=step.value, code=code)


class SentLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A line whose request is sent, and the time in Unix seconds."""

    number: int
    at: float


MARK_SENT = BatchStatement(
    SentLine,
    """
    UPDATE line SET state = :state_sent, attempts = attempts + 1, sent_at = coalesce(sent_at, {at}), code = NULL,
        detail = NULL
    FROM {rows} WHERE number = {number}
    """,
)


class LineNumber(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The line of the manifest."""

    number: int


UNMARK_SENT = BatchStatement(
    LineNumber,
    """
    UPDATE line SET state = :state_waiting, attempts = attempts - 1,
        sent_at = CASE WHEN attempts > 1 THEN sent_at END
    FROM {rows} WHERE number = {number} AND state = :state_sent
    """,
)
NOTE_SEEN_FREE = BatchStatement(
    LineNumber, "UPDATE line SET found = :found_to_assign FROM {rows} WHERE number = {number}"
)


class LineOutcome(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """The new state of a line. See LineRecord and Transition.

    If `request_id`, `task` or `sent_at` is None, the column keeps its value.
    """

    number: int
    step: Step
    state: LineState
    status: LineStatus
    changes: Changes
    reverted: Changes
    code: str | None
    detail: str | None
    attempts: int
    finished_at: float
    task: str | None = None
    request_id: str | None = None
    sent_at: float | None = None


RECORD_OUTCOME = BatchStatement(
    LineOutcome,
    f"""
    UPDATE line SET step = {{step}}, state = {{state}}, status = {{status}},
        {CHANGES} = ({CHANGES} | {{changes}}) & ~{{reverted}}, code = {{code}}, detail = {{detail}},
        attempts = {{attempts}}, request_id = coalesce({{request_id}}, request_id), task = coalesce({{task}}, task),
        finished_at = {{finished_at}},
        sent_at = CASE WHEN {{attempts}} > 0 THEN coalesce({{sent_at}}, sent_at) END
    FROM {{rows}} WHERE number = {{number}}
    """,
)


class LineMachine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The ID of a line's virtual machine."""

    number: int
    machine_id: str


SET_MACHINE_ID = BatchStatement(
    LineMachine, "UPDATE line SET machine_id = {machine_id} FROM {rows} WHERE number = {number}"
)

# -- before attaching ------------------------------------------------------------------------------


def machines_to_attach_to(db: sqlite3.Connection) -> list[str]:
    """Mark the lines to attach, so that their disks are read first. Return their machines.

    `record_listed` removes the mark of a disk that its machine lists.
    """
    execute(db, f"UPDATE line SET {READ_FIRST} = 1 WHERE {_TO_ATTACH}")
    return names(db, f"SELECT DISTINCT {MACHINE} FROM line WHERE {_TO_ATTACH}")


def record_not_running(db: sqlite3.Connection, machine: str, detail: str, now: float) -> None:
    """Record the lines of a machine that does not run as assigned.

    Their disks are attached when the machine starts.
    """
    statement = f"""
        UPDATE line SET state = :state_settled, code = NULL, detail = :detail, finished_at = :now,
            status = CASE WHEN {CHANGES} & (:changed_assigned | :changed_perhaps_assigned) THEN :status_assigned
                ELSE :status_already_assigned END
        WHERE {MACHINE} = :machine AND {_TO_ATTACH}
    """
    execute(db, statement, machine=machine, detail=detail, now=now)


def record_listed(
    db: sqlite3.Connection, machine: str, listed: Sequence[str], attached: Sequence[str], now: float
) -> None:
    """Record which disks a machine lists, and which of them are already attached."""
    lines = execute(
        db, f"SELECT number, disk FROM line WHERE {MACHINE} = :machine AND {_TO_ATTACH}", machine=machine
    ).fetchall()
    on_machine, done = set(listed), set(attached)
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        f"UPDATE line SET {READ_FIRST} = 0 WHERE number = :number",
        [{"number": number} for number, disk in lines if disk in on_machine],
    )
    for line, disk in lines:
        if disk in done:
            statement = """
                UPDATE line SET state = :state_settled, status = :status_attached, code = NULL, detail = NULL,
                    finished_at = :now
                WHERE number = :number
            """
            execute(db, statement, number=line, now=now)
    db.execute("COMMIT")


# -- waiting for tasks -----------------------------------------------------------------------------


class LineWithTask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line whose task has not ended. queued_at: Unix seconds."""

    number: int
    disk: str
    virtual_machine: str
    task: str | None
    attempts: int
    queued_at: float
    second_step: bool


def count_tasks(db: sqlite3.Connection, step: Step) -> int:
    """Return the number of lines whose task has not ended."""
    return number(db, f"SELECT count(*) FROM line WHERE {_HAS_TASK}", step=step.value)


def machines_with_tasks(db: sqlite3.Connection, step: Step) -> list[str]:
    """Return the machines with lines whose task has not ended."""
    return names(db, f"SELECT DISTINCT {MACHINE} FROM line WHERE {_HAS_TASK}", step=step.value)


def lines_with_tasks(db: sqlite3.Connection, step: Step, machine: str) -> list[LineWithTask]:
    """Return the lines of a machine whose task has not ended."""
    statement = f"""
        SELECT number, disk, {MACHINE} AS virtual_machine, task, attempts, finished_at AS queued_at,
            {SECOND_STEP} AS second_step
        FROM line WHERE {_HAS_TASK} AND {MACHINE} = :machine
    """
    return list(rows(db, LineWithTask, statement, step=step.value, machine=machine))
