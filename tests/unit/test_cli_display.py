"""What the command line decides about showing: plain or not, which line when, what is said at the end."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from rich.console import Console

from katapult_async import AuthenticationError, OutcomeEvent, OutcomeStatus, StepEvent, WaitEvent
from katapult_async.cli.bulk import stopping
from katapult_async.cli.closing import MOST_FAILURES, closing
from katapult_async.cli.progress import Progress
from katapult_async.cli.runs import run_status
from katapult_async.cli.terminal import is_plain
from katapult_async.errors import APIError
from katapult_async.jobs import Journal, LineStatus, RunKind
from katapult_async.jobs.journal import NewLine, new_info


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def outcome(status: OutcomeStatus) -> OutcomeEvent:
    return OutcomeEvent(
        action="assign",
        disk="disk_1",
        virtual_machine="vm_1",
        status=status.value,
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
        journal.connection.execute(
            "UPDATE line SET status = ?, detail = ?, code = ?, request_id = ? WHERE number = ?",
            (status.value, *why, number),
        )
    return journal


def closed(
    journal: Journal,
    *,
    interrupted: bool = False,
    refused_by: APIError | None = None,
    plain: bool = True,
) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=not plain, width=80)
    with journal:
        closing(console, journal, interrupted=interrupted, refused_by=refused_by)
    return file.getvalue()


@pytest.mark.parametrize(
    ("stream", "environment", "plain"),
    [
        (Terminal(), {}, False),
        (Terminal(), {"TERM": "xterm-256color"}, False),
        (Terminal(), {"TERM": "dumb"}, True),
        (Terminal(), {"NO_COLOR": "1"}, True),
        (Terminal(), {"NO_COLOR": ""}, False),
        (io.StringIO(), {"FORCE_COLOR": "1", "GITHUB_ACTIONS": "true"}, True),
        (None, {}, True),
    ],
)
def test_only_a_terminal_gets_escape_codes(
    stream: io.StringIO | None, environment: dict[str, str], plain: bool
) -> None:
    assert is_plain(stream, environment) is plain


def test_the_closing_table_is_plain_lines_without_a_terminal() -> None:
    statuses = (LineStatus.ASSIGNED, *[LineStatus.WAITING] * 7)
    plain = closed(journal_of(*statuses))
    assert "assigned  1\n" in plain
    assert "waiting  7\n" in plain
    assert "permitted per minute  not known\n" in plain
    assert "not finished: go on with: katapult-async resume" in plain
    assert "\x1b" not in plain
    assert "│" in closed(journal_of(*statuses), plain=False)


def test_failures_are_listed_up_to_a_number_and_then_counted() -> None:
    said = closed(journal_of(*[LineStatus.FAILED] * (MOST_FAILURES + 3)))
    assert "line 0: disk_0 -> vm_1: failed: disk_not_found: not there (request id r-0)\n" in said
    assert said.count("failed: ") == MOST_FAILURES
    assert "and 3 more" in said
    assert "katapult-async report" in said


def test_what_ended_the_run_is_said_once() -> None:
    refused = AuthenticationError(status=403, code="invalid_api_token")
    journal = journal_of(*[LineStatus.FAILED] * 5, code="invalid_api_token")
    said = closed(journal, refused_by=refused)
    assert said.count("invalid_api_token") == 1
    assert "failed  5" in said


@pytest.mark.parametrize(
    ("ended", "open_lines", "sentence"),
    [
        ("finished", [LineStatus.UNKNOWN, LineStatus.WAITING], "it ended with 2 lines open: go on with: "),
        ("finished", [LineStatus.UNKNOWN], "it ended with 1 line open: go on with: "),
        ("finished", [], "it is finished"),
        ("interrupted", [LineStatus.WAITING], "it was interrupted: go on with: "),
        ("refused", [LineStatus.WAITING], "it was refused: go on with: "),
        ("failed", [LineStatus.WAITING], "it failed: go on with: "),
        (None, [LineStatus.WAITING], "it was killed, or could not write any more: go on with: "),
    ],
)
def test_the_status_of_a_run_says_how_it_ended(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ended: str | None,
    open_lines: list[LineStatus],
    sentence: str,
) -> None:
    file = tmp_path / "a.run"
    statuses = [LineStatus.ASSIGNED, *open_lines]
    lines = [
        NewLine(number=number, disk=f"disk_{number}", virtual_machine="vm_1", step="assign")
        for number in range(len(statuses))
    ]
    with Journal.create(file, new_info(RunKind.ASSIGN, "plan.csv", "0", len(lines)), lines) as journal:
        for number, status in enumerate(statuses):
            journal.connection.execute("UPDATE line SET status = ? WHERE number = ?", (status.value, number))
        journal.connection.execute(
            "INSERT INTO session (number, started_at, finished_at, ended, reason) VALUES (1, 1000, 1010, ?, NULL)",
            (ended,),
        )
    assert run_status(str(file)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1] == (f"{sentence}katapult-async resume {file}" if open_lines else sentence)


def test_the_live_line_tells_each_status_by_its_own_word() -> None:
    progress = Progress(Console(file=io.StringIO()), total=9)
    for status in (OutcomeStatus.ASSIGNED, OutcomeStatus.ALREADY_ASSIGNED, OutcomeStatus.FAILED):
        progress.on_outcome(outcome(status))
    assert progress.line().startswith("assigning: 2 of 9 done, 1 failed, 0.0 requests/s")
    progress.on_outcome(outcome(OutcomeStatus.UNKNOWN))
    progress.on_outcome(outcome(OutcomeStatus.NOT_ATTEMPTED))
    assert "1 failed, 1 unknown, 1 not attempted" in progress.line()
    progress.on_step(StepEvent(step="attach", lines=4))
    assert progress.line().startswith("attaching: 0 of 4 done, 0 failed")


def test_a_wait_is_shown_until_it_is_over() -> None:
    progress = Progress(Console(file=io.StringIO()), total=9)
    assert progress.waiting(100.0) == ""
    progress.on_wait(WaitEvent(since=100.0, until=None, reason="an answer"))
    assert progress.waiting(100.0) == ""
    progress.on_wait(WaitEvent(since=100.0, until=104.0, reason="the next window"))
    assert progress.waiting(101.0).startswith("waits 3 s, until ")
    assert progress.waiting(101.0).endswith("for the next window")
    assert progress.waiting(104.0) == ""
    progress.stopping = True
    assert progress.waiting(101.0) == "stopping"


def test_a_long_wait_is_told_once_and_at_once_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Console(file=io.StringIO(), force_terminal=False), total=9)
    with progress:
        for _ in range(3):
            progress.on_wait(WaitEvent(since=100.0, until=101.0, reason="a moment"))
            progress.on_outcome(outcome(OutcomeStatus.ASSIGNED))
        assert capsys.readouterr().err == ""
        for since in (100.0, 100.5, 101.0):
            progress.on_wait(WaitEvent(since=since, until=150.0, reason="the next window"))
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("in_flight", "words"), [(0, "nothing is in flight"), (1, "for 1 request in"), (32, "for 32 requests in")]
)
def test_stopping_says_what_it_waits_for(in_flight: int, words: str) -> None:
    assert words in stopping(in_flight)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_packages_it_says_what_to_install(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
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
        "the command line needs two more packages: pip install 'katapult-async[cli]'"
    ]


def test_silence_is_explained() -> None:
    """Nothing comes out for half a minute when servers do not answer."""
    progress = Progress(Console(file=io.StringIO()), total=10)
    progress.heard -= 10
    assert progress.waiting(0.0) == ""
    progress.in_flight = lambda: 7
    assert progress.waiting(0.0) == "waits for 7 answers"
    progress.stopping = True
    assert progress.waiting(0.0) == "stopping, waits for 7 answers"


async def test_a_log_shows_that_a_run_is_alive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("katapult_async.cli.progress.EVERY", 0.01)
    monkeypatch.setattr("katapult_async.cli.progress.SILENCE", 0.02)
    progress = Progress(Console(file=io.StringIO()), total=10)
    with progress, anyio.move_on_after(0.2):
        await progress.beat()
    assert capsys.readouterr().err.count("assigning: 0 of 10 done") >= 2
