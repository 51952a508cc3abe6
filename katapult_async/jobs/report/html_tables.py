"""The tables of the HTML page: lines and sessions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from katapult_async.jobs.journal.records import LineRecord, LineStatus
from katapult_async.jobs.journal.summary import RunSummary
from katapult_async.page import text
from katapult_async.words import count, local_time

from .selection import FAILURES

#: The most lines to show. Browsers do not open a page with a million rows.
MOST_LINES = 20_000
_HEADINGS = (
    "line",
    "disk",
    "virtual machine",
    "status",
    "code",
    "detail",
    "attempts",
    "request ID",
    "time",
    "note",
)


def lines_table(
    summary: RunSummary, lines: Iterable[LineRecord], statuses: Collection[LineStatus]
) -> Iterator[str]:
    """Yield the table of lines, with a heading and the number of lines by error code."""
    total = sum(summary.counts.get(status, 0) for status in statuses)
    name = "Failures" if frozenset(statuses) == FAILURES else "Lines"
    yield f"<h2>{name} ({count(total)})</h2>\n"
    if not total:
        yield "<p>None.</p>\n"
        return
    rows: list[str] = []
    codes = Counter[str]()
    for line in lines:
        codes[line.code or line.status.value] += 1
        if len(rows) < MOST_LINES:
            rows.append(_row(line))
    common = ", ".join(f"<code>{text(code)}</code> {count(number)}" for code, number in codes.most_common())
    yield f'<p class="codes">{common}</p>\n'
    if codes.total() > len(rows):
        yield f"<p>The first {count(len(rows))} are shown. The CSV report has all of them.</p>\n"
    yield (
        '<p id="search" hidden><label>Search <input type="search" id="words" autocomplete="off"'
        ' placeholder="words, IDs, codes"></label> <output id="shown" for="words"></output></p>\n'
        '<div class="wide"><table id="failures"><thead><tr>'
    )
    yield "".join(f'<th scope="col">{heading}</th>' for heading in _HEADINGS)
    yield "</tr></thead>\n<tbody>\n"
    yield from rows
    yield "</tbody></table></div>\n"


def _row(line: LineRecord) -> str:
    cells = (
        line.number,
        line.disk,
        line.virtual_machine,
        line.status.value,
        line.code,
        _detail(line),
        line.attempts,
        line.request_id,
        _moment(line.finished_at or line.sent_at),
        line.note,
    )
    return f"<tr><td>{'</td><td>'.join(map(text, cells))}</td></tr>\n"


def _detail(line: LineRecord) -> str:
    """Return the reason without the request ID, which has its own column."""
    detail = line.detail or ""
    if line.request_id:
        detail = re.sub(rf"\s*\(request id {re.escape(line.request_id)}\)", "", detail, flags=re.IGNORECASE)
    return " ".join(part for part in (detail, f"task {line.task}" if line.task else "") if part)


def sessions_table(summary: RunSummary) -> Iterator[str]:
    """Yield the table of sessions, with its heading."""
    yield "<h2>Sessions</h2>\n"
    if not summary.sessions:
        yield "<p>The run has not been executed.</p>\n"
        return
    yield '<div class="wide"><table><thead><tr><th>from</th><th>until</th><th>how it ended</th></tr></thead><tbody>\n'
    for session in summary.sessions:
        how = (session.ended or "").replace("_", " ")
        ended = ": ".join(part for part in (how, session.reason) if part)
        running = summary.locked_by is not None and session is summary.sessions[-1]
        yield (
            f"<tr><td>{_moment(session.started_at)}</td><td>{_moment(session.finished_at)}</td>"
            f"<td>{text(ended) or ('running' if running else 'stopped unexpectedly')}</td></tr>\n"
        )
    yield "</tbody></table></div>\n"


def _moment(at: float | None) -> str:
    return text(local_time(at)) if at is not None else ""
