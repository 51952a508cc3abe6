"""What is left to say of a run when it has ended: counts, failures and what to do; for people and as JSON."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from katapult_async import BulkReport, Outcome, OutcomeStatus

#: Failures shown whole; further ones are counted.
MOST_FAILURES = 20


def closing(
    console: Console, report: BulkReport, *, never_pulled: int, interrupted: bool, period: float
) -> None:
    """The closing table, and the failures with what to do about them."""
    rows = _rows(report, never_pulled=never_pulled, period=period)
    if console.is_terminal:
        table = Table(show_header=False)
        table.add_column(justify="right")
        table.add_column(justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:
        for name, value in rows:
            print(f"{name:>20}  {value}", file=console.file)
    # Not through rich: it would break long lines and colour ids.
    for line in _remarks(report, interrupted=interrupted):
        print(line, file=console.file)
    console.file.flush()


def _rows(report: BulkReport, *, never_pulled: int, period: float) -> list[tuple[str, str]]:
    rows = [(status.value, str(count)) for status, count in _counts(report, never_pulled).items()]
    rows.append(("requests", str(report.requests)))
    rows.append(("of these 429", str(report.rate_limited)))
    per = "minute" if period == 60 else f"{period:g} s"
    rows.append((f"permitted per {per}", str(report.total_permitted or "not known")))
    rows.append(("seconds", f"{report.elapsed:.1f}"))
    return rows


def _remarks(report: BulkReport, *, interrupted: bool) -> list[str]:
    stopped_by = report.stopped_by
    # The reason that ended the run is said once, not for every request that was in flight then.
    failures = [failure for failure in report.failures if not _same(failure.error, stopped_by)]
    remarks = [
        f"{failure.assignment}: {failure.status}: {failure.error or 'sent, and interrupted before an answer'}"
        for failure in failures[:MOST_FAILURES]
    ]
    if (more := len(failures) - MOST_FAILURES) > 0:
        remarks.append(f"and {more} more that failed; --json shows all")
    if stopped_by is not None:
        remarks.append(f"the run was refused: {stopped_by}")
    if interrupted:
        remarks.append("interrupted: run the same plan again; what is done is not done twice")
    return remarks


def _same(error: object, stopped_by: object) -> bool:
    return stopped_by is not None and (
        type(error) is type(stopped_by) and getattr(error, "code", None) == getattr(stopped_by, "code", None)
    )


def _counts(report: BulkReport, never_pulled: int) -> dict[OutcomeStatus, int]:
    counts = {status: report.counts.get(status, 0) for status in OutcomeStatus}
    # What was never taken from the plan has no outcome, and was not attempted either.
    counts[OutcomeStatus.NOT_ATTEMPTED] += never_pulled
    return {status: count for status, count in counts.items() if count}


def as_json_line(outcome: Outcome) -> str:
    """One outcome as a line of JSON."""
    error = outcome.error
    return json.dumps(
        {
            "disk": outcome.assignment.disk,
            "virtual_machine": outcome.assignment.virtual_machine,
            "status": outcome.status.value,
            "code": getattr(error, "code", None),
            "error": str(error) if error is not None else None,
            "attempts": outcome.attempts,
            "request_id": outcome.request_id,
            "started_at": outcome.started_at,
            "finished_at": outcome.finished_at,
        }
    )


def report_json(report: BulkReport, *, never_pulled: int) -> str:
    """The report as a line of JSON, under the key `report`."""
    counts = {status.value: count for status, count in _counts(report, never_pulled).items()}
    return json.dumps(
        {
            "report": {
                "counts": counts,
                "ok": report.ok and not never_pulled,
                "requests": report.requests,
                "rate_limited": report.rate_limited,
                "total_permitted": report.total_permitted,
                "elapsed": round(report.elapsed, 3),
                "stopped_by": str(report.stopped_by) if report.stopped_by is not None else None,
            }
        }
    )
