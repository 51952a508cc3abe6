"""The structs that are encoded as JSON documents about runs. `docs/schemas` has their schemas.

Each document names its schema and the version of the schema. A new field does not change the
version. A field that is removed, or gets another meaning, does. Times are ISO 8601 in UTC.
Durations are seconds.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from katapult_async.jobs.journal import Journal
from katapult_async.jobs.journal.latency import Latency
from katapult_async.jobs.journal.records import LineRecord, LineStatus, RunKind
from katapult_async.jobs.journal.summary import RollbackProgress, RunState, RunSummary
from katapult_async.safe_text import for_json

L = TypeVar("L", bound="LineDocument")

Timestamp = Annotated[
    str,
    Meta(
        description="ISO 8601 in UTC.",
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        examples=["2026-11-24T15:13:05.120Z"],
    ),
]


class LineDocument(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """One line of a run. Its fields are the columns of CSV, in this order."""

    line: Annotated[int, Meta(description="Line of the manifest, or position from 1.")]
    disk: str
    virtual_machine: Annotated[str, Meta(description="ID or FQDN, as in the manifest.")]
    status: LineStatus
    code: Annotated[str | None, Meta(description="Error code of the API, or kind of failure.")]
    detail: Annotated[str | None, Meta(description="The reason in words.")]
    attempts: Annotated[int, Meta(description="Requests sent to change something.")]
    request_id: Annotated[str | None, Meta(description="ID of the request whose response decided.")]
    task: Annotated[str | None, Meta(description="ID of the last task queued for the line.")]
    step: Annotated[str, Meta(description="Step that is done now, or was done last.")]
    sent_at: Timestamp | None
    finished_at: Timestamp | None
    note: Annotated[str | None, Meta(description="Note of the manifest.")]
    item: Annotated[str | None, Meta(description="Item of the run's action, as JSON.")] = None


class SessionDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One execution of the run. Without `finished_at`, it runs now or was killed."""

    started_at: Timestamp
    finished_at: Timestamp | None
    ended: Annotated[
        str | None,
        Meta(description="finished, interrupted, stopped_early, refused, no_answer or failed."),
    ]
    reason: Annotated[
        str | None, Meta(description="Why it ended, in words. null after finished and interrupted.")
    ]
    budget: Annotated[
        str | None,
        Meta(description="Place of the budget that shares the rate limit. Empty: none. null: not known."),
    ]
    shared_with: Annotated[list[str], Meta(description="Other processes that shared the rate limit.")]


class RunDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The totals of a run."""

    run_id: str
    kind: RunKind
    action: Annotated[str | None, Meta(description="Name of the action of a run of that kind.")]
    state: RunState
    manifest: str
    created_at: Timestamp
    lines: int
    counts: Annotated[dict[LineStatus, int], Meta(description="Lines by status, each that occurs.")]
    ok: Annotated[bool, Meta(description="Whether every line is done.")]
    finished: Annotated[bool, Meta(description="Whether resuming has nothing left to do.")]
    requests: Annotated[int, Meta(description="Requests of all preflights and sessions.")]
    requests_at_least: Annotated[bool, Meta(description="A session was killed: `requests` is a lower bound.")]
    rate_limited: Annotated[int, Meta(description="429 responses.")]
    total_permitted: Annotated[
        int | None, Meta(description="Requests permitted per minute, as far as known.")
    ]
    elapsed: Annotated[float, Meta(description="Seconds of all sessions, without preflights.")]
    preflight_elapsed: Annotated[float, Meta(description="Seconds of all preflights.")]
    latency: Annotated[Latency, Meta(description="How long requests took, in seconds.")]
    sessions: list[SessionDocument]
    base_url: str | None
    organization: str | None
    parent: Annotated[str | None, Meta(description="ID of the run that this run rolls back.")]
    rollback: Annotated[RollbackProgress | None, Meta(description="The rollback of this run.")]
    locked_by: Annotated[str | None, Meta(description="Process that executes the run now.")]


class ReportDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/report/1",
):
    """The report of a run: `katapult-async report RUN --format json`."""

    run: RunDocument
    lines: list[LineDocument]


class LineRow(
    LineDocument, frozen=True, kw_only=True, gc=False, tag_field="schema", tag="katapult-async/line/1"
):
    """One line of a run in JSON Lines: `--json` of commands that execute runs, `report RUN --format
    jsonl`.
    """


class RunRow(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/run/1",
):
    """The last row of JSON Lines: the totals."""

    run: RunDocument


class StatusDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/status/1",
):
    """The progress of a run: `katapult-async status RUN --json`."""

    journal: str
    run: RunDocument
    rate: Annotated[float | None, Meta(description="Requests a second in the last minute, while it runs.")]
    expected_end: Annotated[Timestamp | None, Meta(description="Expected end, while it runs.")]
    next: Annotated[list[str], Meta(description="The next commands, the most useful one first.")]


class ListedRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A journal in a folder.

    A journal that cannot be read has a `problem` and no other field.
    """

    journal: str
    problem: Annotated[str | None, Meta(description="Why the journal cannot be read.")] = None
    run_id: str | None = None
    kind: RunKind | None = None
    state: RunState | None = None
    manifest: str | None = None
    created_at: Timestamp | None = None
    active_at: Annotated[Timestamp | None, Meta(description="When it was executed last.")] = None
    lines: int | None = None
    done: int | None = None
    failed: int | None = None
    unknown: int | None = None
    waiting: int | None = None
    rollback_running: Annotated[bool | None, Meta(description="Whether a process executes its rollback.")] = (
        None
    )


class RunsDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/runs/1",
):
    """The runs of a folder: `katapult-async runs FOLDER --json`."""

    folder: str
    runs: list[ListedRun]


#: The documents by the name of their file in docs/schemas.
DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "line": LineRow,
    "report": ReportDocument,
    "run": RunRow,
    "runs": RunsDocument,
    "status": StatusDocument,
}
_encode = msgspec.json.Encoder().encode


def encode(document: msgspec.Struct) -> str:
    """Encode a document as JSON in one line, without characters that control a terminal."""
    return for_json(_encode(document).decode())


def iso(at: float | None) -> str | None:
    """Format Unix seconds as ISO 8601 in UTC, to the millisecond."""
    if at is None:
        return None
    moment = datetime.fromtimestamp(at, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line_document(line: LineRecord) -> LineDocument:
    """Return a line for JSON and CSV."""
    return _line(LineDocument, line)


def line_row(line: LineRecord) -> LineRow:
    """Return a line for JSON Lines."""
    return _line(LineRow, line)


def _line(document: type[L], line: LineRecord) -> L:
    return document(
        line=line.number,
        disk=line.disk,
        virtual_machine=line.virtual_machine,
        status=line.status,
        code=line.code,
        detail=line.detail,
        attempts=line.attempts,
        request_id=line.request_id,
        task=line.task,
        step=line.step,
        sent_at=iso(line.sent_at),
        finished_at=iso(line.finished_at),
        note=line.note,
        item=line.item,
    )


def run_document(journal: Journal) -> RunDocument:
    """Read the totals of a run from its journal."""
    return run_document_of(journal.summary(), journal.latency())


def run_document_of(summary: RunSummary, latency: Latency) -> RunDocument:
    """Return the totals of a run."""
    info = summary.info
    return RunDocument(
        run_id=info.run_id,
        kind=info.kind,
        action=info.action,
        state=summary.state,
        manifest=info.manifest,
        created_at=iso(info.created_at) or "",
        lines=info.lines,
        counts=summary.counts,
        ok=summary.ok,
        finished=summary.finished,
        requests=summary.requests,
        requests_at_least=summary.requests_at_least,
        rate_limited=summary.rate_limited,
        total_permitted=summary.total_permitted,
        elapsed=round(max(summary.elapsed, 0.0), 3),
        preflight_elapsed=round(summary.preflight_elapsed, 3),
        latency=latency,
        sessions=[
            SessionDocument(
                started_at=iso(session.started_at) or "",
                finished_at=iso(session.finished_at),
                ended=session.ended,
                reason=session.reason,
                budget=session.budget,
                shared_with=list(session.shared_with),
            )
            for session in summary.sessions
        ],
        base_url=info.base_url,
        organization=info.organization,
        parent=info.parent,
        rollback=summary.rollback,
        locked_by=summary.locked_by,
    )
