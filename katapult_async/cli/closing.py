"""What is left to say of a run when it has ended: counts, failures, and what to do about them."""

from __future__ import annotations

from itertools import islice

from rich.console import Console
from rich.table import Table

from katapult_async import KatapultError
from katapult_async.jobs import Journal, LineRecord, LineStatus
from katapult_async.jobs.report import totals

#: Failures shown; further ones are counted.
MOST_FAILURES = 20


def closing(
    console: Console,
    journal: Journal,
    *,
    interrupted: bool,
    refused_by: KatapultError | None = None,
    period: float = 60.0,
) -> None:
    """The closing table, and the failures with what to do about them."""
    summary = journal.summary()
    rows = totals(summary, period=period)
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
    for line in _remarks(journal, interrupted=interrupted, refused_by=refused_by):
        print(line, file=console.file)
    console.file.flush()


def _remarks(journal: Journal, *, interrupted: bool, refused_by: KatapultError | None) -> list[str]:
    summary = journal.summary()
    failed = sum(summary.counts.get(status, 0) for status in (LineStatus.FAILED, LineStatus.UNKNOWN))
    # The reason that ended the run is said once, not for every request that was in flight then.
    why = getattr(refused_by, "code", None) or type(refused_by).__name__
    records = (line for line in journal.lines(problems_only=True) if line.status is not LineStatus.WAITING)
    shown = list(islice((line for line in records if refused_by is None or line.code != why), MOST_FAILURES))
    remarks = [_describe(line) for line in shown]
    if refused_by is not None:
        remarks.append(f"the run was refused: {refused_by}")
    elif failed > len(shown):
        remarks.append(f"and {failed - len(shown)} more")
    if failed and refused_by is None:
        remarks.append(f"all of them: katapult-async report {journal.name}")
    if not summary.finished:
        reason = "interrupted" if interrupted else "not finished"
        remarks.append(f"{reason}: go on with: katapult-async resume {journal.name}")
    return remarks


def _describe(line: LineRecord) -> str:
    request = (
        f" (request id {line.request_id})"
        if line.request_id and line.request_id not in str(line.detail)
        else ""
    )
    detail = line.detail or "no reason is known"
    code = f"{line.code}: " if line.code and line.code not in detail else ""
    return (
        f"line {line.number}: {line.disk} -> {line.virtual_machine}: {line.status}: {code}{detail}{request}"
    )
