"""Durable runs: a manifest lists what to do, a run executes it, a journal records it.

    with Manifest.open("plan.csv") as manifest, Run.create("plan.csv.run", manifest) as run:
        async with Client.from_env() as client:
            await run.preflight(client, "acme")
            summary = await run.execute(client)

After any end of the process, `Run.open("plan.csv.run")` and `execute` resume the run. Any process
can read the state of each line: `Journal.read("plan.csv.run")`, its `summary()` and its `lines()`.

    manifest/    reads and checks manifests
    journal/     one SQLite file for each run; all SQL
    preflight/   compares the lines with the current state, before the run sends anything
    steps/       executes the lines, step by step, and creates rollbacks
    report/      tables, CSV, JSON and HTML pages
    location.py  finds the journal of a manifest
    run.py       the class Run, which uses all of these
"""

from __future__ import annotations

import warnings

from .errors import (
    JournalDamaged,
    JournalError,
    JournalExists,
    JournalLocked,
    JournalMismatch,
    JournalRecordsLost,
    JournalWriteError,
)
from .journal import Journal
from .journal.latency import Latency
from .journal.records import (
    Finding,
    LineFinding,
    LineRecord,
    LineState,
    LineStatus,
    RunInfo,
    RunKind,
    RunSession,
    TimelineSecond,
    TimelineWait,
)
from .journal.summary import RollbackProgress, RunState, RunSummary
from .manifest import Complaint, Manifest, ManifestCheck, ManifestError, ManifestLine
from .preflight.preflight import Preflight
from .preflight.preview import preview
from .report import (
    ReportForm,
    write_csv,
    write_html,
    write_json,
    write_json_lines,
    write_manifest,
    write_report,
    write_table,
)
from .run import Run
from .steps.rollback import RollbackScope, rollback_scope

__all__ = [
    "Complaint",
    "Finding",
    "Journal",
    "JournalDamaged",
    "JournalError",
    "JournalExists",
    "JournalLocked",
    "JournalMismatch",
    "JournalRecordsLost",
    "JournalWriteError",
    "Latency",
    "LineFinding",
    "LineRecord",
    "LineState",
    "LineStatus",
    "Manifest",
    "ManifestCheck",
    "ManifestError",
    "ManifestLine",
    "Preflight",
    "ReportForm",
    "RollbackProgress",
    "RollbackScope",
    "Run",
    "RunInfo",
    "RunKind",
    "RunSession",
    "RunState",
    "RunSummary",
    "TimelineSecond",
    "TimelineWait",
    "preview",
    "rollback_scope",
    "write_csv",
    "write_html",
    "write_json",
    "write_json_lines",
    "write_manifest",
    "write_report",
    "write_table",
]

#: Deprecated names, and what they are called now.
_OLD_NAMES = {
    "Found": "Finding",
    "FoundLine": "LineFinding",
    "Second": "TimelineSecond",
    "Session": "RunSession",
    "ToTakeBack": "RollbackScope",
    "Waited": "TimelineWait",
    "to_take_back": "rollback_scope",
}


def __getattr__(name: str) -> object:
    if name in _OLD_NAMES:
        new = _OLD_NAMES[name]
        warnings.warn(f"katapult_async.jobs.{name} is called {new}", DeprecationWarning, stacklevel=2)
        return globals()[new]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
