"""A report as text with a fixed width of 79 columns: totals, then a table of lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection
from typing import TextIO

from katapult_async.jobs.journal import Journal
from katapult_async.jobs.journal.latency import Latency
from katapult_async.jobs.journal.records import LineRecord, LineStatus
from katapult_async.jobs.journal.summary import RunSummary
from katapult_async.safe_text import for_terminal
from katapult_async.words import count, duration, milliseconds

from .selection import FAILURES, selected
from .standing import progress, standing, title

#: The width of a table in columns, on every terminal.
WIDTH = 79


def write_table(out: TextIO, journal: Journal, *, statuses: Collection[LineStatus] = FAILURES) -> None:
    """Write the title of the run, its totals, and each line with one of `statuses`."""
    with journal.snapshot():
        summary, latency = journal.summary(), journal.latency()
        out.write(f"{title(summary)}\n{progress(summary)} {standing(summary)}\n\n")
        out.writelines(f"{name:>28}  {value}\n" for name, value in totals(summary, latency=latency))
        heading = f"\n{'line':>8}  {'disk':<21}  {'virtual machine':<21}  status\n"
        for line in selected(journal, statuses):
            out.write(heading + _rows(line))
            heading = ""


def _rows(line: LineRecord) -> str:
    """Return a row for a line, and its reason in rows below: a column for it would be too wide."""
    row = (
        f"{line.number:>8}  {for_terminal(line.disk):<21}  {for_terminal(line.virtual_machine):<21}"
        f"  {line.status.value.replace('_', ' ')}\n"
    )
    why = reason(line)
    if line.attempts > 1:
        why = f"{why} ({count(line.attempts)} attempts)".lstrip()
    indent = " " * 10
    return row + "".join(
        f"{part}\n"
        for part in textwrap.wrap(
            for_terminal(why),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def subject(line: LineRecord) -> str:
    """Return the subject of a line: its disk, its virtual machine, or both."""
    return " -> ".join(part for part in (line.disk, line.virtual_machine) if part)


def reason(line: LineRecord) -> str:
    """Return the reason for the status of a line, with the API's code at most once.

    The class name of an error without a response is not a code of the API, and is left out.
    """
    named = (
        line.code is None or re.fullmatch(r"[A-Z][A-Za-z]+", line.code) or line.code in (line.detail or "")
    )
    code = None if named else line.code
    return ": ".join(part for part in (code, line.detail) if part)


def totals(summary: RunSummary, *, latency: Latency | None = None) -> list[tuple[str, str]]:
    """Return the numbers of a run by name, in words.

    Args:
        summary: The run.
        latency: The response times. None leaves them out.
    """
    rows = [
        (status.value.replace("_", " "), count(summary.counts[status]))
        for status in LineStatus
        if status in summary.counts
    ]
    least = "at least " if summary.requests_at_least else ""
    rows.append(("requests", f"{least}{count(summary.requests)}"))
    rows.append(("refused by rate limit (429)", count(summary.rate_limited)))
    per = "minute" if summary.period == 60 else f"{summary.period:g} s"
    permitted = summary.total_permitted
    rows.append((f"permitted per {per}", count(permitted) if permitted else "not known"))
    if summary.preflight_elapsed:
        rows.append(("time of preflight", duration(summary.preflight_elapsed)))
    time = "time without preflight" if summary.preflight_elapsed else "time"
    rows.append((time, duration(summary.elapsed)))
    if latency is not None:
        rows += latency_rows(latency)
    budgets = {session.budget for session in summary.sessions} - {None}
    if budgets:
        rows.append(("rate limit shared with", _others(summary, shared=budgets != {""})))
    return rows


def _others(summary: RunSummary, *, shared: bool) -> str:
    """Return the processes that shared the rate limit with the run, in words."""
    others = list(dict.fromkeys(other for session in summary.sessions for other in session.shared_with))
    if not others:
        return "nobody" if shared else "nobody (no budget)"
    more = len(others) - 1
    return others[0] + (f" and {count(more)} more" if more else "")


def latency_rows(latency: Latency) -> list[tuple[str, str]]:
    """Return response times, and the time of waiting for permits, by name, in words."""
    rows = [("waited for permits", duration(latency.waited))]
    for name, seconds in (("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99)):
        if seconds is not None:
            rows.append((f"response time {name}", milliseconds(seconds)))
    return rows
