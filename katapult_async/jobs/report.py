"""The report of a run as text for programs and people: JSON, CSV and a plain table. Streams; a run may have a million lines.

Reads a journal as it is at one moment, also while another process executes the run. The page for a browser is `html`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, TextIO

from .journal import Journal
from .record import LineRecord, LineStatus, RunSummary

#: The columns of CSV and the keys of JSON, in this order. Times are ISO 8601 in UTC.
COLUMNS = (
    "line",
    "disk",
    "virtual_machine",
    "status",
    "code",
    "detail",
    "attempts",
    "request_id",
    "task",
    "step",
    "sent_at",
    "finished_at",
    "note",
)


def line_fields(line: LineRecord) -> dict[str, Any]:
    """One line by column."""
    return {
        "line": line.number,
        "disk": line.disk,
        "virtual_machine": line.virtual_machine,
        "status": line.status.value,
        "code": line.code,
        "detail": line.detail,
        "attempts": line.attempts,
        "request_id": line.request_id,
        "task": line.task,
        "step": line.step,
        "sent_at": iso(line.sent_at),
        "finished_at": iso(line.finished_at),
        "note": line.note,
    }


def summary_fields(summary: RunSummary) -> dict[str, Any]:
    """The totals of a run."""
    info = summary.info
    last = summary.sessions[-1] if summary.sessions else None
    return {
        "run_id": info.run_id,
        "kind": info.kind.value,
        "manifest": info.manifest,
        "created_at": iso(info.created_at),
        "lines": info.lines,
        "counts": {status.value: count for status, count in summary.counts.items()},
        "ok": summary.ok,
        "finished": summary.finished,
        "requests": summary.requests,
        "rate_limited": summary.rate_limited,
        "total_permitted": summary.total_permitted,
        "elapsed": round(summary.elapsed, 3),
        "ended": last.ended if last is not None else None,
        "reason": last.reason if last is not None else None,
        "parent": info.parent,
        "taken_back_by": info.taken_back_by,
        "locked_by": summary.locked_by,
    }


def iso(at: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    if at is None:
        return None
    moment = datetime.fromtimestamp(at, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_csv(out: TextIO, journal: Journal) -> None:
    """Every line of the manifest as a row, under a header."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    with journal.snapshot():
        for line in journal.lines():
            writer.writerow(_harmless(value) for value in line_fields(line).values())


def write_json(out: TextIO, journal: Journal) -> None:
    """One JSON document: {"run": totals, "lines": [each line]}."""
    with journal.snapshot():
        out.write('{"run": ' + json.dumps(summary_fields(journal.summary())) + ', "lines": [')
        out.writelines(
            (",\n" if number else "\n") + json.dumps(line_fields(line))
            for number, line in enumerate(journal.lines())
        )
        out.write("\n]}\n")


def json_lines(journal: Journal) -> Iterator[str]:
    """One JSON object for each line of the manifest, then {"run": totals}."""
    with journal.snapshot():
        for line in journal.lines():
            yield json.dumps(line_fields(line))
        yield json.dumps({"run": summary_fields(journal.summary())})


def write_table(out: TextIO, journal: Journal) -> None:
    """Totals, then each line, in columns that are as wide as ids are."""
    with journal.snapshot():
        out.writelines(f"{name:>20}  {value}\n" for name, value in totals(journal.summary()))
        out.write("\n")
        out.write(f"{'line':>8}  {'disk':<21}  {'virtual machine':<21}  {'status':<18}  attempts  detail\n")
        out.writelines(_table_row(line) for line in journal.lines())


def _table_row(line: LineRecord) -> str:
    why = ": ".join(part for part in (line.code, line.detail) if part)
    row = (
        f"{line.number:>8}  {line.disk:<21}  {line.virtual_machine:<21}  {line.status.value:<18}"
        f"  {line.attempts:>8}  {why}"
    )
    return row.rstrip() + "\n"


def totals(summary: RunSummary, *, period: float = 60.0) -> list[tuple[str, str]]:
    """What is worth saying of a run as a whole, by name."""
    rows = [(status.value, str(summary.counts[status])) for status in LineStatus if status in summary.counts]
    rows.append(("requests", str(summary.requests)))
    rows.append(("of these 429", str(summary.rate_limited)))
    per = "minute" if period == 60 else f"{period:g} s"
    rows.append((f"permitted per {per}", str(summary.total_permitted or "not known")))
    rows.append(("seconds", f"{summary.elapsed:.1f}"))
    return rows


def _harmless(value: object) -> object:
    # Spreadsheets take cells that begin so for formulas; what the API or a note says is none.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
