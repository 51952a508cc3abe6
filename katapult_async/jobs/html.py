"""The report of a run as one page for a browser: totals, timeline, sessions, and a table of what has failed.

One file that needs nothing else, no server and no network (its content security policy permits none), may be mailed
about, and can be read with scripts switched off: they only add the search and the sorting. Times are UTC.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from typing import TextIO

from .journal import Journal
from .record import LineRecord, LineStatus, RunSummary, Second, Session, Waited
from .report import iso, totals
from .timeline import draw

#: More failures than anybody reads; a page with a million rows does not open.
MOST_FAILURES = 20_000
_HEADINGS = (
    "line",
    "disk",
    "virtual machine",
    "status",
    "code",
    "detail",
    "attempts",
    "request id",
    "time",
    "note",
)


def write_html(out: TextIO, journal: Journal) -> None:
    """The page for a journal, as it is at one moment."""
    with journal.snapshot():
        write_page(
            out,
            journal.summary(),
            problems=journal.lines(problems_only=True),
            timeline=journal.timeline(),
            waits=journal.waits(),
        )


def write_page(
    out: TextIO,
    summary: RunSummary,
    *,
    problems: Iterable[LineRecord],
    timeline: Sequence[Second],
    waits: Sequence[Waited],
) -> None:
    """The page. problems: lines that are not done, in order; only the first `MOST_FAILURES` failures are shown."""
    out.writelines(_head(summary))
    out.writelines(_overview(summary))
    out.writelines(_timeline(summary, timeline, waits))
    out.writelines(_failures(summary, problems))
    out.writelines(_sessions(summary.sessions))
    out.writelines(_foot(summary))


def _head(summary: RunSummary) -> Iterator[str]:
    style, script = _file("report.css"), _file("report.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    name = f"{summary.info.kind} of {summary.info.manifest}"
    yield (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(name)}</title>\n<style>{style}</style></head>\n"
        f"<body><main><h1>{escape(name)}</h1>\n"
    )


def _overview(summary: RunSummary) -> Iterator[str]:
    yield f'<p class="{"good" if summary.ok else "bad"}">{escape(standing(summary))}</p>\n<dl class="totals">\n'
    for name, value in totals(summary):
        yield f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(value)}</dd></div>\n"
    yield "</dl>\n"


def standing(summary: RunSummary) -> str:
    """Where the run stands, in a sentence."""
    lines = summary.info.lines
    done = sum(count for status, count in summary.counts.items() if status.ok)
    if summary.locked_by is not None:
        return f"{done} of {lines} lines were done when this page was made; it was being executed by {summary.locked_by}."
    if summary.info.taken_back_by is not None:
        return f"{done} of {lines} lines were done, and have been taken back by {summary.info.taken_back_by}."
    if summary.ok:
        return f"All {lines} lines are done."
    rest = ", ".join(
        f"{count} {_WORDS[status]}"
        for status, count in summary.counts.items()
        if not status.ok and status in _WORDS
    )
    more = "" if summary.finished else " Resuming the run goes on with what is open."
    return f"{done} of {lines} lines are done, {rest}.{more}"


_WORDS = {
    LineStatus.FAILED: "have failed",
    LineStatus.UNKNOWN: "are not known",
    LineStatus.WAITING: "have not been executed",
}


def _timeline(summary: RunSummary, timeline: Sequence[Second], waits: Sequence[Waited]) -> Iterator[str]:
    yield "<h2>Timeline</h2>\n"
    drawing = draw(timeline, waits, summary.sessions)
    if not drawing:
        yield "<p>No request has been sent.</p>\n"
        return
    yield (
        f'<div class="wide">{drawing}</div>\n<p class="key"><i class="bar"></i> requests'
        ' <i class="permitted"></i> permitted <i class="wait"></i> waiting for the rate limit'
        ' <i class="refused"></i> answered 429'
        ' <i class="break"></i> not being executed (left out)</p>\n'
    )


def _failures(summary: RunSummary, problems: Iterable[LineRecord]) -> Iterator[str]:
    failed = sum(summary.counts.get(status, 0) for status in (LineStatus.FAILED, LineStatus.UNKNOWN))
    yield f"<h2>Failures ({failed})</h2>\n"
    if not failed:
        yield "<p>None.</p>\n"
        return
    rows: list[str] = []
    codes = Counter[str]()
    for line in problems:
        if line.status not in (LineStatus.FAILED, LineStatus.UNKNOWN):
            continue
        codes[line.code or line.status.value] += 1
        if len(rows) < MOST_FAILURES:
            rows.append(_row(line))
    yield f'<p class="codes">{", ".join(f"<code>{escape(c)}</code> {n}" for c, n in codes.most_common())}</p>\n'
    if codes.total() > len(rows):
        yield f"<p>The first {len(rows)} are shown; the CSV report has all of them.</p>\n"
    yield (
        '<p id="search" hidden><label>Search <input type="search" id="words" autocomplete="off"'
        ' placeholder="words, ids, codes"></label> <output id="shown" for="words"></output></p>\n'
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
        " ".join(part for part in (line.detail, f"task {line.task}" if line.task else "") if part),
        line.attempts,
        line.request_id,
        _moment(line.finished_at or line.sent_at),
        line.note,
    )
    texts = ("" if cell is None else escape(str(cell)) for cell in cells)
    return f"<tr><td>{'</td><td>'.join(texts)}</td></tr>\n"


def _sessions(sessions: Sequence[Session]) -> Iterator[str]:
    yield "<h2>Sessions</h2>\n"
    if not sessions:
        yield "<p>The run has not been executed.</p>\n"
        return
    yield '<div class="wide"><table><thead><tr><th>from</th><th>until</th><th>how it ended</th></tr></thead><tbody>\n'
    for session in sessions:
        ended = ": ".join(part for part in (session.ended, session.reason) if part)
        yield (
            f"<tr><td>{_moment(session.started_at)}</td><td>{_moment(session.finished_at)}</td>"
            f"<td>{escape(ended) or 'it did not end: it was killed, or is under way'}</td></tr>\n"
        )
    yield "</tbody></table></div>\n"


def _foot(summary: RunSummary) -> Iterator[str]:
    info = summary.info
    facts = [f"run {info.run_id}", f"made {_moment(info.created_at)}"]
    facts += [f"takes back {info.parent}"] if info.parent else []
    facts += [info.base_url] if info.base_url else []
    yield f"<footer>{escape(' · '.join(facts))}</footer>\n</main><script>{_file('report.js')}</script></body></html>\n"


def _moment(at: float | None) -> str:
    return (iso(at) or "")[:19].replace("T", " ")


def _file(name: str) -> str:
    return (resources.files("katapult_async.jobs") / "page" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
