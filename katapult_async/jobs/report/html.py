"""The report of a run as one HTML page: totals, timeline, sessions, and a table of failures.

The page is one file, and needs no server and no network. Its content security policy permits no
requests. Its scripts only add search and sorting, so it can be read without them. Times have the
time zone of the machine that writes the page.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from katapult_async.jobs.journal import Journal
from katapult_async.jobs.journal.latency import Latency
from katapult_async.jobs.journal.records import (
    LineRecord,
    LineStatus,
    TimelineSecond,
    TimelineWait,
)
from katapult_async.jobs.journal.summary import RunState, RunSummary
from katapult_async.page import asset, foot, head, text
from katapult_async.words import local_time

from .chart import NARROW, WIDE, draw
from .html_tables import lines_table, sessions_table
from .selection import FAILURES, selected
from .standing import command, next_steps, progress, standing, title
from .text import totals

_GOOD = frozenset({RunState.DONE})
_BAD = frozenset({RunState.DONE_WITH_FAILURES, RunState.REFUSED, RunState.STOPPED_BY_ERROR, RunState.KILLED})


def write_html(out: TextIO, journal: Journal, *, statuses: Collection[LineStatus] = FAILURES) -> None:
    """Write the page for a journal, with a table of the lines with one of `statuses`."""
    with journal.snapshot():
        write_page(
            out,
            journal.summary(),
            lines=selected(journal, statuses),
            statuses=statuses,
            timeline=journal.timeline(),
            waits=journal.waits(),
            latency=journal.latency(),
            path=journal.path,
            now=time.time(),
        )


def write_page(
    out: TextIO,
    summary: RunSummary,
    *,
    lines: Iterable[LineRecord],
    statuses: Collection[LineStatus] = FAILURES,
    timeline: Sequence[TimelineSecond],
    waits: Sequence[TimelineWait],
    latency: Latency | None = None,
    path: Path | None = None,
    now: float,
) -> None:
    """Write the page.

    Args:
        out: Where to write it.
        summary: The run.
        lines: The lines of the table, in order.
        statuses: The statuses that these lines have.
        timeline: The seconds in which requests were sent.
        waits: The times in which requests waited for permits.
        latency: The response times.
        path: The path of the journal, for the next commands. None without a file.
        now: Unix time in seconds, as the time of the page.
    """
    out.writelines(_head(summary))
    out.writelines(_overview(summary, latency, path, now))
    out.writelines(_timeline(summary, timeline, waits))
    out.writelines(lines_table(summary, lines, statuses))
    out.writelines(sessions_table(summary))
    out.writelines(_foot(summary, now))


def _head(summary: RunSummary) -> Iterator[str]:
    yield head(title(summary), style=_file("report.css"), script=_file("report.js"))


def _overview(summary: RunSummary, latency: Latency | None, path: Path | None, now: float) -> Iterator[str]:
    state = summary.state
    mood = "good" if state in _GOOD else "bad" if state in _BAD else "neutral"
    yield f'<p class="{mood}">{text(progress(summary))} {text(standing(summary))}</p>\n'
    if state is RunState.RUNNING:
        yield f"<p>The page shows the run as it was {text(local_time(now))}.</p>\n"
    report = command("report", path.name) if path is not None else ""
    steps = [step for step in next_steps(summary, path.name) if step[1] != report] if path is not None else []
    if steps:
        items = (f"<li>{text(purpose)}: <code>{text(line)}</code></li>" for purpose, line in steps)
        yield f'<ul class="next">{"".join(items)}</ul>\n'
    yield '<dl class="totals">\n'
    for name, value in totals(summary, latency=latency):
        yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n"
    yield "</dl>\n"


def _timeline(
    summary: RunSummary, timeline: Sequence[TimelineSecond], waits: Sequence[TimelineWait]
) -> Iterator[str]:
    yield "<h2>Timeline</h2>\n"
    drawings = [draw(timeline, waits, summary.sessions, layout, summary.period) for layout in (WIDE, NARROW)]
    if not all(drawings):
        yield "<p>No request has been sent.</p>\n"
        return
    yield from drawings
    keys = [
        ("bar", "requests"),
        ("budget", "permitted: the budget of a window"),
        ("average", "the budget, spread evenly over the window"),
        ("wait", "waiting for permits"),
        ("refused", "refused (429)"),
        ("break", "not executed (left out)"),
    ]
    items = "".join(f'<li><i class="{kind}"></i> {meaning}</li>' for kind, meaning in keys)
    yield (
        f'\n<ul class="key">{items}</ul>\n<p class="soft">Requests may be sent in bursts. A second above the even'
        " rate is permitted as long as the window stays within the budget.</p>\n"
    )


def _foot(summary: RunSummary, now: float) -> Iterator[str]:
    info = summary.info
    facts = [f"page made {local_time(now)}", f"run {info.run_id}", f"created {local_time(info.created_at)}"]
    facts += [f"rolls back run {info.parent}"] if info.parent else []
    facts += [info.organization] if info.organization else []
    facts += [info.base_url] if info.base_url else []
    yield foot(facts, script=_file("report.js"))


def _file(name: str) -> str:
    return asset("katapult_async.jobs.report", f"page/{name}")
