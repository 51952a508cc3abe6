"""Durable bulk jobs: a manifest says what is wanted, a run carries it out, its journal knows what became of each line.

    with Manifest.open("plan.csv") as manifest, Run.create("plan.csv.run", manifest) as run:
        async with Client.from_env() as client:
            await run.preflight(client, "acme")
            summary = await run.execute(client)

Whatever ends the process, `Run.open("plan.csv.run")` and `execute` go on where it stopped. What became of each line is
read from the journal, also by another process: `Journal.read("plan.csv.run")`, its `summary()` and its `lines()`.
"""

from __future__ import annotations

from .errors import (
    JournalDamaged,
    JournalError,
    JournalExists,
    JournalLocked,
    JournalMismatch,
    JournalRecordsLost,
    JournalWriteError,
)
from .journal.journal import Journal
from .journal.latency import Latency
from .journal.records import (
    LineRecord,
    LineState,
    LineStatus,
    RollbackProgress,
    RunInfo,
    RunKind,
    RunSummary,
    Second,
    Session,
    Waited,
)
from .manifest.manifest import Complaint, Manifest, ManifestCheck, ManifestError, ManifestLine
from .preflight.preflight import Found, FoundLine, Preflight
from .preflight.preview import preview
from .report import (
    ReportForm,
    RunState,
    write_csv,
    write_html,
    write_json,
    write_json_lines,
    write_manifest,
    write_report,
    write_table,
)
from .run import Run
from .steps.rollback import ToTakeBack, to_take_back

__all__ = [
    "Complaint",
    "Found",
    "FoundLine",
    "Journal",
    "JournalDamaged",
    "JournalError",
    "JournalExists",
    "JournalLocked",
    "JournalMismatch",
    "JournalRecordsLost",
    "JournalWriteError",
    "Latency",
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
    "Run",
    "RunInfo",
    "RunKind",
    "RunState",
    "RunSummary",
    "Second",
    "Session",
    "ToTakeBack",
    "Waited",
    "preview",
    "to_take_back",
    "write_csv",
    "write_html",
    "write_json",
    "write_json_lines",
    "write_manifest",
    "write_report",
    "write_table",
]
