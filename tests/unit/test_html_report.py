"""The page for a browser: complete, harmless, readable without scripts.

Its timeline hides no peak.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.jobs import (
    Journal,
    LineRecord,
    LineStatus,
    Manifest,
    Run,
    RunInfo,
    RunKind,
    RunSession,
    RunSummary,
    TimelineSecond,
    TimelineWait,
)
from katapult_async.jobs.journal.latency import Histogram, Latency
from katapult_async.jobs.journal.records import LineState
from katapult_async.jobs.report import html_tables
from katapult_async.jobs.report.axis import axis_of
from katapult_async.jobs.report.chart import NARROW, WIDE, Layout, draw, window_phase
from katapult_async.jobs.report.html import write_page
from katapult_async.words import counted, local_time

BEGAN = 1_780_000_000.0
NOW = BEGAN + 3600.0
EVIL = "<script>alert('\"&')</script>"


def session(start: float, end: float | None, *, active_until: float | None = None) -> RunSession:
    ended = "finished" if end is not None else None
    return RunSession(
        started_at=start, finished_at=end, active_until=end or active_until or start, ended=ended
    )


def a_line(number: int, status: LineStatus = LineStatus.FAILED, **more: object) -> LineRecord:
    known = {
        "disk": f"disk_{number}",
        "virtual_machine": "vm_1",
        "note": None,
        "step": "assign",
        "attempts": 1,
    }
    return LineRecord(number=number, state=LineState.SETTLED, status=status, **{**known, **more})  # type: ignore[arg-type]


def a_summary(counts: dict[LineStatus, int], **more: object) -> RunSummary:
    info = RunInfo(
        run_id="r1",
        kind=RunKind.ASSIGN,
        manifest=EVIL,
        digest="d",
        created_at=BEGAN,
        lines=sum(counts.values()),
        confirmed_at=BEGAN,
    )
    known = {
        "requests": 5,
        "rate_limited": 1,
        "total_permitted": 1000,
        "sessions": (session(BEGAN, BEGAN + 60),),
    }
    return RunSummary(info=info, counts=counts, **{**known, **more})  # type: ignore[arg-type]


def a_page(
    summary: RunSummary, problems: list[LineRecord], timeline: list[TimelineSecond] | None = None
) -> str:
    out = io.StringIO()
    waits = [TimelineWait(since=BEGAN + 2, until=BEGAN + 50, reason=EVIL)]
    write_page(
        out,
        summary,
        lines=problems,
        timeline=timeline or [],
        waits=waits,
        latency=Latency.of(Histogram([(550, 10)]), 48.0),
        path=Path("/srv/plan.csv.run"),
        now=NOW,
    )
    return out.getvalue()


class Elements(HTMLParser):
    """The tags that are not closed, all addresses, and the text of the table's cells."""

    VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.cells: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "action", "style", "onload")
        ]
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def test_the_page_is_whole_needs_nothing_else_and_shows_text_as_text() -> None:
    failed = a_line(7, code="conflict", detail=EVIL, note=EVIL, request_id="req-1", task="task_9")
    page = a_page(
        a_summary({LineStatus.FAILED: 1}),
        [failed],
        [TimelineSecond(at=int(BEGAN), requests=3, permitted=1000)],
    )
    elements = Elements(page)
    assert page.startswith("<!doctype html>")
    assert elements.open == []
    assert elements.addresses == []  # nothing is loaded from anywhere
    assert EVIL not in page
    assert EVIL in elements.cells
    assert f"{EVIL} task task_9" in elements.cells
    assert {"7", "disk_7", "vm_1", "conflict", "req-1"} <= set(elements.cells)


@pytest.mark.parametrize("kind", ["style", "script"])
def test_its_policy_permits_exactly_its_own_style_and_script(kind: str) -> None:
    page = a_page(a_summary({LineStatus.ASSIGNED: 1}), [])
    content = re.search(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert content is not None
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
    assert f"{kind}-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'")


def test_only_so_many_lines_are_in_the_table_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_tables, "MOST_LINES", 2)
    problems = [a_line(n, code="conflict") for n in range(1, 5)] + [a_line(5, LineStatus.UNKNOWN)]
    counts = {LineStatus.ASSIGNED: 3, LineStatus.FAILED: 4, LineStatus.UNKNOWN: 1, LineStatus.WAITING: 1}
    page = a_page(a_summary(counts), problems)
    assert "Failures (5)" in page
    assert "<code>conflict</code> 4, <code>unknown</code> 1" in page
    assert "The first 2 are shown" in page
    assert [disk for disk in ("disk_1", "disk_2", "disk_3", "disk_5") if disk in page] == ["disk_1", "disk_2"]
    assert "3 of 9 lines done, 4 failed, 1 unknown, 1 waiting." in page
    assert "<li>Resume: <code>katapult-async resume plan.csv.run</code></li>" in page


def test_a_run_without_failures_or_requests_says_so() -> None:
    page = a_page(a_summary({LineStatus.ASSIGNED: 4}, sessions=()), [])
    assert "All 4 lines are done." in page
    assert "No request has been sent." in page
    assert "The run has not been executed." in page
    assert 'id="failures"' not in page


def test_a_run_that_is_under_way_is_neither_good_nor_bad() -> None:
    counts = {LineStatus.WAITING: 4, LineStatus.FAILED: 1}
    page = a_page(a_summary(counts, locked_by="process 12 on host"), [a_line(1)])
    assert (
        '<p class="neutral">0 of 5 lines done, 1 failed, 4 waiting. Open in process 12 on host, '
        "and not being executed. It may wait for an answer.</p>" in page
    )
    assert f"The page shows the run as it was {local_time(NOW)}." in page
    assert "<td>running</td>" not in page  # its only session has ended: the next one has not begun


@pytest.mark.parametrize(
    ("counts", "mood"),
    [
        ({LineStatus.ASSIGNED: 2}, "good"),
        ({LineStatus.ASSIGNED: 1, LineStatus.FAILED: 1}, "bad"),
        ({LineStatus.ASSIGNED: 1, LineStatus.UNKNOWN: 1}, "neutral"),
    ],
)
def test_the_mood_of_the_first_sentence(counts: dict[LineStatus, int], mood: str) -> None:
    assert re.findall(r'<p class="(good|bad|neutral)">', a_page(a_summary(counts), [])) == [mood]


def test_the_foot_says_when_the_page_was_made_and_when_the_run_was_created() -> None:
    page = a_page(a_summary({LineStatus.ASSIGNED: 1}), [])
    assert f"<footer>page made {local_time(NOW)} · run r1 · created {local_time(BEGAN)}</footer>" in page


def test_a_request_id_stands_once_in_a_row() -> None:
    failed = a_line(1, detail="The disk is gone (request id 0f9c-2e1b)", request_id="0f9c-2e1b")
    page = a_page(a_summary({LineStatus.FAILED: 1}), [failed])
    assert page.count("0f9c-2e1b") == 1
    assert "The disk is gone" in Elements(page).cells


def test_response_times_and_waits_are_among_the_totals() -> None:
    page = a_page(a_summary({LineStatus.ASSIGNED: 1}), [])
    assert "<dt>waited for permits</dt><dd>48 s</dd>" in page
    assert re.search(r"<dt>response time p99</dt><dd>\d+ ms</dd>", page)


def seconds_of(*requests: int, permitted: int = 600) -> list[TimelineSecond]:
    return [
        TimelineSecond(at=int(BEGAN) + n, requests=sent, permitted=permitted)
        for n, sent in enumerate(requests)
    ]


def classes_of(drawing: str) -> list[str | None]:
    return [element.get("class") for element in ET.fromstring(drawing).iter()]  # noqa: S314 - it is our own


def test_refusals_waits_and_changes_of_the_permitted_rate_are_drawn() -> None:
    seconds = [
        TimelineSecond(
            at=int(BEGAN) + n, requests=40, rate_limited=int(n == 3), permitted=600 if n < 5 else 60
        )
        for n in range(9)
    ]
    waits = [TimelineWait(since=BEGAN + 4, until=BEGAN + 6, reason="r")]
    classes = classes_of(draw(seconds, waits, [session(BEGAN, BEGAN + 10)]))
    assert classes.count("refused") == 1
    assert classes.count("wait") == 1
    assert classes.count("average") == 2  # two rates in the plot of seconds
    assert (
        classes.count("budget") == 3
    )  # two in the plot of minutes, and the one that is in the scale of seconds
    assert classes.count("break") == 0


def test_a_permitted_burst_stays_below_the_budget_in_both_plots() -> None:
    """The even rate alone made each burst look like a violation."""
    root = ET.fromstring(draw(seconds_of(400, 200), [], [session(BEGAN, BEGAN + 60)]))  # noqa: S314 - it is our own
    budgets = [
        float(path.get("d", "").split(",")[1].split()[0])
        for path in root.iter()
        if path.get("class") == "budget"
    ]
    tops = [float(rect.get("y", "")) for rect in root.iter() if rect.get("class") == "bar"]
    assert len(budgets) == 2
    assert min(tops[:2]) >= budgets[0]
    assert min(tops[2:]) >= budgets[1]


def test_a_budget_far_above_the_bars_is_named_and_not_drawn() -> None:
    drawing = draw(seconds_of(2, 2, permitted=6000), [], [session(BEGAN, BEGAN + 60)])
    assert "budget of 6,000 a minute: off the scale" in drawing


def test_minutes_begin_like_the_servers_windows() -> None:
    """Its clock differs from ours: two bursts in one of our minutes are in two of its windows."""
    minute = int(BEGAN // 60) * 60
    apart = [TimelineSecond(at=minute + at, requests=600, permitted=600) for at in (10, 70)]
    assert window_phase(apart) == 0
    together = [
        TimelineSecond(at=minute + 5, requests=600, permitted=600),
        TimelineSecond(at=minute + 59, requests=600, permitted=600),
    ]
    phase = window_phase(together)
    assert 5 < phase <= 59
    drawing = draw(together, [], [session(minute, minute + 60)])
    assert f"minutes begin at :{phase:02}" in drawing


def test_windows_of_another_length_are_drawn_as_long_as_they_are() -> None:
    """Four windows that are used up within one minute looked like a violation."""
    begin = int(BEGAN // 60) * 60
    seconds = [TimelineSecond(at=begin + at, requests=600, permitted=600) for at in (0, 15, 30, 45)]
    assert window_phase(seconds, 15) == 0
    drawing = draw(seconds, [], [session(begin, begin + 60)], period=15.0)
    root = ET.fromstring(drawing)  # noqa: S314 - it is our own
    assert "Requests per 15 s" in drawing
    assert drawing.count("permitted: 600 in 15 s") == 2
    assert "40 a second use up the budget evenly" in drawing
    tops = [float(rect.get("y", "")) for rect in root.iter() if rect.get("class") == "bar"][4:]
    budget = [path.get("d", "") for path in root.iter() if path.get("class") == "budget"][1]
    assert len(tops) == 4
    assert min(tops) >= float(budget.split(",")[1].split()[0])


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=lambda layout: layout.name)
@pytest.mark.parametrize("length", [5, 100, 1500, 90_000])
@pytest.mark.parametrize(("requests", "permitted"), [(12_345, 1000), (100, 60_000)])
def test_no_label_is_cut_at_an_edge(layout: Layout, length: int, requests: int, permitted: int) -> None:
    """Seven units are more than the width of a letter on average."""
    seconds = [
        TimelineSecond(at=int(BEGAN) + n, requests=requests, permitted=permitted) for n in range(0, length, 5)
    ]
    root = ET.fromstring(draw(seconds, [], [session(BEGAN, BEGAN + length)], layout))  # noqa: S314 - it is our own
    for label in root.iter("text"):
        x, width = float(label.get("x", "")), 7.0 * len(label.text or "")
        kinds = (label.get("class") or "").split()
        left = x - width if {"end", "value"} & set(kinds) else x - width / 2 if "time" in kinds else x
        assert left >= 0, label.text
        assert left + width <= layout.width, label.text


def test_the_time_between_two_sessions_is_left_out() -> None:
    sessions = [session(BEGAN, None, active_until=BEGAN + 30), session(BEGAN + 9000, BEGAN + 9030)]
    seconds = [TimelineSecond(at=int(at), requests=1) for at in (BEGAN, BEGAN + 29, BEGAN + 9000)]
    axis = axis_of(seconds, sessions)
    assert axis is not None
    assert axis.seconds == 60
    drawing = draw(seconds, [], sessions)
    assert "not executed for 2 h 29 min" in drawing


@given(
    st.lists(
        st.tuples(st.integers(0, 400_000), st.integers(1, 5000), st.integers(0, 3)), min_size=1, max_size=80
    ),
    st.one_of(st.none(), st.integers(1, 2000)),
    st.sampled_from([WIDE, NARROW]),
)
def test_the_busiest_second_and_every_refusal_are_drawn_inside_the_drawing(
    sent: list[tuple[int, int, int]], permitted: int | None, layout: Layout
) -> None:
    by_second = {int(BEGAN) + at: (requests, refused) for at, requests, refused in sent}
    seconds = [
        TimelineSecond(at=at, requests=requests + refused, rate_limited=refused, permitted=permitted)
        for at, (requests, refused) in sorted(by_second.items())
    ]
    sessions = [session(seconds[0].at - 0.5, None, active_until=seconds[-1].at + 1.0)]
    root = ET.fromstring(draw(seconds, [], sessions, layout))  # noqa: S314 - it is our own
    titles = [title.text or "" for title in root.iter("title")]
    busiest = counted(max(s.requests for s in seconds), "request")
    assert any(f": {busiest} in this second" in title for title in titles)
    refused = sum(
        int(found[1]) for found in (re.search(r": (\d+) requests? refused", t) for t in titles) if found
    )
    assert refused == sum(second.rate_limited for second in seconds)
    for rect in root.iter("rect"):
        x, width = float(rect.get("x", "")), float(rect.get("width", ""))
        y, height = float(rect.get("y", "")), float(rect.get("height", ""))
        assert 0 <= x <= x + width <= layout.width
        assert 0 <= y <= y + height <= layout.height


def test_a_journal_of_a_killed_session_knows_when_it_was_last_active(tmp_path: Path) -> None:
    with (
        Manifest.from_items([("disk_1", "vm_1")]) as manifest,
        Run.create(tmp_path / "a.run", manifest) as run,
    ):
        run.journal.query(
            sqlite3.Connection.execute,
            "INSERT INTO session (number, started_at, finished_at, ended, reason) VALUES (1, 1000.5, NULL, NULL, NULL), (2, 2000.0, 2010.0, 'finished', NULL)",
        )
        run.journal.query(
            sqlite3.Connection.execute,
            "INSERT INTO second VALUES (1001, 5, 0, 0, NULL), (1020, 5, 0, 0, NULL), (2001, 5, 0, 0, NULL)",
        )
    with Journal.read(tmp_path / "a.run") as journal:
        summary = journal.summary()
    assert [s.active_until for s in summary.sessions] == [1021.0, 2010.0]
    assert summary.elapsed == pytest.approx(20.5 + 10.0)
