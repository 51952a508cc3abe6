"""What the command line decides about showing: plain or not, which line when, what is said at the end."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from katapult_async import (
    Assignment,
    AuthenticationError,
    BulkReport,
    ConnectError,
    Outcome,
    OutcomeStatus,
    WaitEvent,
)
from katapult_async.cli.bulk import stopping
from katapult_async.cli.closing import MOST_FAILURES, closing
from katapult_async.cli.progress import Progress
from katapult_async.cli.terminal import is_plain
from katapult_async.errors import APIError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def outcome(
    status: OutcomeStatus, error: APIError | ConnectError | None = None, disk: str = "disk_1"
) -> Outcome:
    return Outcome(assignment=Assignment(disk, "vm_1"), status=status, error=error, finished_at=0.0)


def closed(
    report: BulkReport, *, interrupted: bool = False, never_pulled: int = 0, plain: bool = True
) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=not plain, width=80)
    closing(console, report, never_pulled=never_pulled, interrupted=interrupted, period=60.0)
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
    report = BulkReport()
    report.add(outcome(OutcomeStatus.ASSIGNED))
    report.total_permitted = 1000
    plain = closed(report, never_pulled=7)
    assert "assigned  1\n" in plain
    assert "not_attempted  7\n" in plain
    assert "permitted per minute  1000\n" in plain
    assert "\x1b" not in plain
    assert "│" in closed(report, plain=False)


def test_failures_are_listed_up_to_a_number_and_then_counted() -> None:
    report = BulkReport()
    for number in range(MOST_FAILURES + 3):
        error = APIError(status=404, code="disk_not_found", request_id=f"r-{number}")
        report.add(outcome(OutcomeStatus.FAILED, error, disk=f"disk_{number}"))
    said = closed(report)
    assert "disk_0 -> vm_1: failed: disk_not_found (404) (request id r-0)\n" in said
    assert said.count("failed: ") == MOST_FAILURES
    assert "and 3 more that failed; --json shows all" in said


def test_what_ended_the_run_is_said_once_and_other_failures_too() -> None:
    report = BulkReport()
    for _ in range(5):
        refused = AuthenticationError(status=403, code="invalid_api_token")
        report.add(outcome(OutcomeStatus.FAILED, refused))
        report.stopped_by = report.stopped_by or refused
    report.add(outcome(OutcomeStatus.FAILED, APIError(status=404, code="disk_not_found")))
    said = closed(report)
    assert said.count("invalid_api_token") == 1
    assert said.count("disk_not_found") == 1
    assert "failed  6" in said


def test_the_live_line_tells_each_status_by_its_own_word() -> None:
    progress = Progress(Console(file=io.StringIO()), total=9)
    for status in (OutcomeStatus.ASSIGNED, OutcomeStatus.ALREADY_ASSIGNED, OutcomeStatus.FAILED):
        progress.outcome(outcome(status))
    assert progress.line().startswith("2 of 9 done, 1 failed, 0.0 requests/s")
    progress.outcome(outcome(OutcomeStatus.UNKNOWN))
    progress.outcome(outcome(OutcomeStatus.NOT_ATTEMPTED))
    assert "1 failed, 1 unknown, 1 not attempted" in progress.line()


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
            progress.outcome(outcome(OutcomeStatus.ASSIGNED))
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
