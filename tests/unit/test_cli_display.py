"""The command line's decisions about its display.

It decides whether the display is plain, which line to show when, and what to print at the end.
"""

from __future__ import annotations

import contextlib
import io
import sqlite3
import subprocess
import sys
import time

import anyio
import msgspec
import pytest

from katapult_async import (
    AuthenticationError,
    BudgetEvent,
    OutcomeEvent,
    OutcomeStatus,
    RequestEvent,
    RetryEvent,
    StepEvent,
    WaitEvent,
)
from katapult_async.bulk import Words
from katapult_async.cli import terminal
from katapult_async.cli.execute import stopping
from katapult_async.cli.live import Live, Part, columns_of_line, cut, fitted
from katapult_async.cli.meter import Meter
from katapult_async.cli.progress import Progress
from katapult_async.cli.status import ends_in
from katapult_async.cli.summary import MOST_FAILURES, Ending, show_summary
from katapult_async.cli.terminal import has_colors, is_plain, wrapped
from katapult_async.cli.words import clock_time, duration
from katapult_async.errors import APIError
from katapult_async.jobs import Journal, LineStatus, RunKind, RunSummary
from katapult_async.jobs.journal import NewLine, new_info
from katapult_async.jobs.journal.records import RunInfo, RunSession, TimelineSecond
from katapult_async.jobs.preflight.forecast import Throughput, seconds_for


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def outcome(status: OutcomeStatus) -> OutcomeEvent:
    return OutcomeEvent(
        action="assign",
        disk="disk_1",
        virtual_machine="vm_1",
        status=Words("assigned", "already_assigned").of(status),
        ok=status.ok,
        finished_at=0.0,
    )


def journal_of(*statuses: LineStatus, code: str = "disk_not_found") -> Journal:
    """A journal whose lines came out so."""
    lines = [
        NewLine(number=number, disk=f"disk_{number}", virtual_machine="vm_1", step="assign")
        for number in range(len(statuses))
    ]
    journal = Journal.temporary(new_info(RunKind.ASSIGN, "plan.csv", "0", len(lines)), lines)
    for number, status in enumerate(statuses):
        why = ("not there", code, f"r-{number}") if status is LineStatus.FAILED else (None, None, None)
        journal.query(
            sqlite3.Connection.execute,
            "UPDATE line SET status = ?, detail = ?, code = ?, request_id = ? WHERE number = ?",
            (status.value, *why, number),
        )
    return journal


def closed(journal: Journal, *, interrupted: bool = False, refused_by: APIError | None = None) -> str:
    """What is said at the end of a run."""
    file = io.StringIO()
    with journal:
        show_summary(file, journal, Ending(interrupted=interrupted, refused_by=refused_by))
    return file.getvalue()


@pytest.mark.parametrize(
    ("stream", "environment", "plain", "colors"),
    [
        (Terminal(), {}, False, True),
        (Terminal(), {"TERM": "xterm-256color"}, False, True),
        (Terminal(), {"TERM": "dumb"}, True, False),
        (Terminal(), {"NO_COLOR": "1"}, False, False),
        (Terminal(), {"NO_COLOR": ""}, False, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "GITHUB_ACTIONS": "true"}, True, False),
        (None, {}, True, False),
    ],
)
def test_only_a_terminal_gets_escape_codes_and_colors(
    stream: io.StringIO | None, environment: dict[str, str], plain: bool, colors: bool
) -> None:
    assert is_plain(stream, environment) is plain
    assert has_colors(stream, environment) is colors


def test_the_end_is_a_sentence_then_a_table() -> None:
    said = closed(journal_of(LineStatus.ASSIGNED, *[LineStatus.WAITING] * 7)).splitlines()
    assert (
        said[0]
        == "Assigned 1 of 8 disks in 0 s (7 waiting). Report: katapult-async report '<temporary journal>'"
    )
    assert "                    assigned  1" in said
    assert "                     waiting  7" in said
    assert "        permitted per minute  not known" in said
    assert said[-1] == "Not finished. Resume: katapult-async resume '<temporary journal>'"


def test_failures_are_listed_up_to_a_number_and_then_counted() -> None:
    said = closed(journal_of(*[LineStatus.FAILED] * (MOST_FAILURES + 3)))
    assert "line 0: disk_0 -> vm_1: failed: disk_not_found: not there (request ID r-0)\n" in said
    assert said.count("failed: ") == MOST_FAILURES
    assert "3 more failed or unknown: katapult-async report " in said


def test_what_ended_the_run_is_said_once() -> None:
    refused = AuthenticationError(status=403, code="invalid_api_token")
    journal = journal_of(*[LineStatus.FAILED] * 5, code="invalid_api_token")
    said = closed(journal, refused_by=refused)
    assert said.count("invalid_api_token") == 1
    assert "failed  5" in said


def test_text_of_the_api_cannot_drive_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATAPULT_API_KEY", "not_there_0123")
    said = closed(journal_of(LineStatus.FAILED, code="a\x1b[2J\u202enot_there_0123"))
    assert "a\\x1b[2J\\u202e<token>" in said


def progress_of(total: int = 9, *, verbose: bool = False, shown: bool = True) -> Progress:
    return Progress(io.StringIO(), total=total, verbose=verbose, shown=shown)


def texts(progress: Progress, width: int) -> list[str]:
    return ["".join(part.text for part in line) for line in progress.lines(width)]


def test_lines_that_were_not_attempted_do_not_count_as_progress() -> None:
    progress = progress_of(total=60)
    for _ in range(5):
        progress.on_outcome(outcome(OutcomeStatus.ASSIGNED))
    for _ in range(55):
        progress.on_outcome(outcome(OutcomeStatus.NOT_ATTEMPTED))
    progress.stopping = True
    assert texts(progress, 80)[0].endswith("5 of 60  8 %")
    assert progress.line().startswith("assigning: 5 of 60, 5 assigned, 0 failed, 55 not attempted, ")


def request(at: float, *, permitted: int | None = None, remaining: int | None = None) -> RequestEvent:
    return RequestEvent(
        operation="POST /disks/disk/assign",
        sent_at=at,
        ended_at=at + 0.1,
        status=200,
        permitted=permitted,
        remaining=remaining,
    )


def test_the_plain_line_tells_each_status_by_its_own_word() -> None:
    progress = progress_of()
    for status in (OutcomeStatus.ASSIGNED, OutcomeStatus.ALREADY_ASSIGNED, OutcomeStatus.FAILED):
        progress.on_outcome(outcome(status))
    assert progress.line().startswith(
        "assigning: 3 of 9, 1 already assigned, 1 assigned, 1 failed, 0.0 requests/s"
    )
    progress.on_outcome(outcome(OutcomeStatus.UNKNOWN))
    progress.on_outcome(outcome(OutcomeStatus.NOT_ATTEMPTED))
    assert "1 failed, 1 not attempted, 1 unknown" in progress.line()
    progress.on_step(StepEvent(step="attach", lines=4))
    assert progress.line().startswith("attaching: 0 of 4, 0 failed")


def test_failures_of_earlier_sessions_and_steps_stay_visible() -> None:
    progress = progress_of()
    progress.failed_before = 3
    assert ", 0 failed, 3 failed before, " in progress.line()
    progress.on_outcome(outcome(OutcomeStatus.FAILED))
    progress.on_step(StepEvent(step="attach", lines=8))
    assert ", 0 failed, 4 failed before, " in progress.line()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 140])
def test_no_live_line_is_wider_than_the_terminal(width: int) -> None:
    progress = progress_of(12_345)
    now = time.time()
    for second in range(10):
        progress.on_request(request(now - second, permitted=1000, remaining=900 - second))
    for status in (OutcomeStatus.ASSIGNED, OutcomeStatus.ALREADY_ASSIGNED, OutcomeStatus.FAILED):
        progress.on_outcome(outcome(status))
    progress.on_wait(WaitEvent(since=now, until=now + 40, reason="the next window of the server's clock"))
    lines = texts(progress, width)
    assert max(map(len, lines)) <= width
    assert "assigning" in lines[0]
    if width >= 60:
        assert "of 12,345  0 %" in lines[0]
        assert any(line.startswith("ends in about ") for line in lines)
        assert any("for the next window of the server's clock" in line for line in lines)
        assert "of 1,000 permitted this minute used" in " ".join(lines)
    assert len(lines) <= {140: 5, 80: 6, 60: 8}.get(width, 15)


def test_a_bar_is_made_of_what_the_stream_can_show() -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    progress = Progress(ascii_only, total=2)
    progress.on_outcome(outcome(OutcomeStatus.ASSIGNED))
    assert "###" in texts(progress, 60)[0]
    assert "━" not in texts(progress, 60)[0]


def test_the_rate_is_of_the_last_seconds_and_the_budget_of_this_window() -> None:
    meter = Meter()
    for second in range(100):
        for _ in range(20 if second < 80 else 2):
            meter.add(request(6000.0 + second))
    meter.add(request(6099.5, permitted=1000, remaining=400))
    assert meter.per_second(6100.0) == pytest.approx(2.1, abs=0.3)
    assert meter.words(6100.0)[1] == "600 of 1,000 permitted this minute used"
    # The next minute of the server is a full one.
    assert meter.words(6121.0)[1] == "0 of 1,000 permitted this minute used"
    # At about 17 a second, as an average request of the last minute saw.
    assert meter.seconds_for(1400, 6100.0) == pytest.approx(1400 / 17.3, abs=1.0)


def test_what_other_processes_have_used_counts_in_the_window() -> None:
    """This also holds before the first response.

    A resumed run waits for the rest of a window that is used up.
    """
    meter = Meter()
    event = BudgetEvent(
        place="", reachable=True, limit=1000, remaining=0, used=1001, in_flight=0, waiting=427, others=()
    )
    meter.add_shared(event, 6006.0)
    assert meter.words(6006.0)[1] == "1,000 of 1,000 permitted this minute used"
    assert meter.seconds_for(427, 6006.0) == pytest.approx(54.0, abs=5.0)


def test_the_end_agrees_with_the_preflight() -> None:
    """Both ask the same function. A run that begins as the preflight ends gets the same answer."""
    meter = Meter()
    for _ in range(250):
        meter.add(request(6000.0, permitted=1000, remaining=750))
    throughput = Throughput(limit=1000, remaining=750, measured=250.0)
    assert meter.seconds_for(5000, 6010.0) == pytest.approx(seconds_for(5000, throughput, 6010.0))
    meter.max_per_second = 10.0
    assert meter.seconds_for(5000, 6010.0) == pytest.approx(500.0)


def test_late_responses_before_a_wait_do_not_move_the_end() -> None:
    """A run that has used up its window waits with its last requests, which get no response."""
    meter = Meter()
    for number in range(10_000):
        sent_at = 6000.0 + number / 500
        meter.add(request(sent_at, permitted=10_000, remaining=9_999 - number))
    before = meter.seconds_for(20_000, 6025.0)
    assert before is not None
    assert before == pytest.approx(35.0 + 60.0 + 20.0, abs=0.1)
    for _ in range(13):
        meter.add(msgspec.structs.replace(request(6020.0), ended_at=6035.0, status=None))
    assert meter.seconds_for(20_000, 6037.0) == pytest.approx(before - 12.0, abs=0.5)
    assert meter.seconds_for(20_000, 6059.0) == pytest.approx(before - 34.0, abs=0.5)


def test_the_live_display_and_status_foretell_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds of a run, each from a display that saw its requests and from its journal."""
    monkeypatch.setattr(time, "time", lambda: 6045.0)
    kinds: list[tuple[str, RunInfo]] = [
        ("assign", new_info(RunKind.ASSIGN, "plan.csv", "0", 9000)),
        ("assign", new_info(RunKind.ASSIGN, "plan.csv", "0", 9000, attach=True)),
        ("unassign", new_info(RunKind.ROLLBACK, "plan.csv", "0", 9000)),
        ("resize", new_info(RunKind.ACTION, "plan.csv", "0", 9000, action="resize")),
    ]
    for step, info in kinds:
        progress = progress_of()
        progress.attaches = info.attach
        progress.on_step(StepEvent(step=step, lines=9000))
        for number in range(1000):
            progress.meter.add(request(6010.0 + number / 100, permitted=1000, remaining=999 - number))
        session = RunSession(
            started_at=6005.0, finished_at=None, active_until=6044.0, ended=None, reason=None
        )
        summary = RunSummary(
            info=info,
            counts={LineStatus.WAITING: 9000},
            requests=1000,
            rate_limited=0,
            total_permitted=1000,
            sessions=(session,),
            locked_by="process 7 on host",
        )
        recent = [TimelineSecond(at=at, requests=100) for at in range(6010, 6020)]
        seconds = ends_in(summary, recent, now=6045.0)
        assert seconds is not None
        assert f"ends in about {duration(round(seconds))}, at " in progress.line()


def test_no_end_is_foretold_while_only_responses_are_outstanding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 6030.0)
    progress = progress_of(7)
    for _ in range(7):
        progress.on_request(request(6029.0, permitted=1000, remaining=1000))
    progress.in_flight = lambda: 6
    assert "ends in about 1 s" in progress.line()
    progress.in_flight = lambda: 7
    assert "ends in" not in progress.line()


def test_a_rollback_needs_two_requests_for_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 6030.0)
    progress = progress_of(2500)
    for _ in range(250):
        progress.on_request(request(6029.0, permitted=1000, remaining=1000))
    assert "ends in about 1 min 32 s" in progress.line()  # 1,000 now, 1,000 in 30 s, 500 in 90 s
    progress.on_step(StepEvent(step="unassign", lines=1250))
    assert "ends in about 1 min 32 s" in progress.line()


def test_a_wait_is_shown_until_it_is_over() -> None:
    progress = progress_of()
    assert progress.waiting(100.0) == []
    progress.on_wait(WaitEvent(since=100.0, until=None, reason="an answer"))
    assert progress.waiting(100.0) == []
    progress.on_wait(WaitEvent(since=100.0, until=104.0, reason="the next window"))
    first, until = progress.waiting(101.0)
    assert first == "waits 3 s for the next window"
    assert until == f"until {clock_time(104.0, 101.0)}"
    assert progress.waiting(104.0) == []
    progress.stopping = True
    assert progress.waiting(101.0) == ["stopping"]


def test_an_outage_says_when_the_run_gives_up() -> None:
    progress = progress_of()
    progress.patience_left = lambda: 299.0
    assert progress.waiting(1000.0) == [
        "the API does not answer",
        f"the run gives up in 4 min 59 s, at {clock_time(1299.0, 1000.0)}",
    ]


def test_a_long_wait_is_told_once_and_at_once_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = progress_of()
    with progress:
        for _ in range(3):
            progress.on_wait(WaitEvent(since=100.0, until=101.0, reason="a moment"))
            progress.on_outcome(outcome(OutcomeStatus.ASSIGNED))
        assert capsys.readouterr().err == ""
        for since in (100.0, 100.5, 101.0):
            progress.on_wait(WaitEvent(since=since, until=150.0, reason="the next window"))
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_quiet_says_nothing_and_verbose_everything(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = progress_of(shown=False)
    quiet.on_wait(WaitEvent(since=100.0, until=150.0, reason="the next window"))
    quiet.on_outcome(outcome(OutcomeStatus.ASSIGNED))
    assert capsys.readouterr().err == ""
    verbose = progress_of(verbose=True)
    verbose.on_outcome(outcome(OutcomeStatus.ALREADY_ASSIGNED))
    verbose.on_retry(RetryEvent(operation="assign disk_1\x1b", attempt=2, delay=1.5, reason="a reset"))
    assert capsys.readouterr().err.splitlines() == [
        "disk_1 -> vm_1: already assigned",
        "assign disk_1\\x1b: retry 2 in 1.5 s: a reset",
    ]


def test_wide_characters_take_two_columns() -> None:
    assert columns_of_line([Part("計画.csv"), Part("e\u0301")]) == 2 * 2 + 4 + 1
    assert cut("計画.csv", 5) == "計画."
    assert cut("計画", 3) == "計"
    assert cut("plan.csv", 4) == "plan"
    lines = fitted([Part("計" * 10), Part("画" * 10)], 30)
    assert [columns_of_line(line) for line in lines] == [20, 20]
    assert columns_of_line(fitted([Part("計" * 20)], 30)[0]) == 30


def test_painting_goes_back_over_what_a_narrower_terminal_has_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, widths = Terminal(), [100]

    def narrowed(_stream: object) -> int:
        return widths[-1]

    def no_keys(_stream: object) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    monkeypatch.setattr("katapult_async.cli.live.width_of", narrowed)
    monkeypatch.setattr("katapult_async.cli.live.hidden_keys", no_keys)
    live = Live(terminal, lambda width: [[Part("x" * min(width, 90))], [Part("y")]])
    with live:
        live.paint()
        assert terminal.getvalue().endswith("\r\x1b[1A\x1b[J" + "x" * 90 + "\ny")
        widths.append(40)  # the line of ninety now takes three rows
        live.paint()
        assert terminal.getvalue().endswith("\r\x1b[3A\x1b[J" + "x" * 39 + "\ny")
        live.print_above("a line that stays")
        assert "\r\x1b[1A\x1b[Ja line that stays\n" in terminal.getvalue()


@pytest.mark.parametrize(
    ("in_flight", "words"),
    [(0, "no request is in flight"), (1, "for 1 request in"), (32, "for 32 requests in")],
)
def test_stopping_says_what_it_waits_for(in_flight: int, words: str) -> None:
    assert words in stopping(in_flight)


def test_without_typer_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['typer'] = None\n"
        "sys.argv = ['katapult-async', 'demo']\n"
        "from katapult_async.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "the command line needs one more package: pip install 'katapult-async[cli]'"
    ]


def test_silence_is_explained() -> None:
    """Nothing comes out for half a minute when servers do not answer."""
    progress = progress_of()
    progress.responded_at -= 10
    assert progress.waiting(0.0) == []
    progress.in_flight = lambda: 7
    assert progress.waiting(0.0) == ["waits for 7 responses"]
    progress.stopping = True
    assert progress.waiting(0.0) == ["stopping", "waits for 7 responses"]


async def test_a_log_shows_that_a_run_is_alive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("katapult_async.cli.progress.EVERY", 0.01)
    monkeypatch.setattr("katapult_async.cli.progress.SILENCE", 0.02)
    progress = progress_of(10)
    with progress, anyio.move_on_after(0.2):
        await progress.beat()
    assert capsys.readouterr().err.count("assigning: 0 of 10") >= 2


def test_sentences_are_broken_between_words_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Preflight did not compare data centers, because lists do not show them: --thorough does."
    assert wrapped(text, io.StringIO()) == text
    monkeypatch.setenv("TERM", "xterm")

    def forty(_stream: object) -> int:
        return 40

    monkeypatch.setattr(terminal, "width_of", forty)
    lines = wrapped(text, Terminal()).split("\n")
    assert " ".join(lines) == text
    assert max(map(len, lines)) <= 40


def test_a_refusal_names_neither_method_nor_path() -> None:
    error = AuthenticationError(
        status=403, code="invalid_api_token", request_id="r-1", operation="POST /disks/disk/assign"
    )
    said = closed(journal_of(LineStatus.WAITING), refused_by=error)
    assert "POST" not in said
    assert said.count("r-1") == 1
