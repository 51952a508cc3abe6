"""All help texts, questions and screens of the command line, kept in files.

A change of words therefore shows in review. This command writes the files again:
KATAPULT_GOLDEN=write python -m pytest tests/unit/test_cli_golden.py tests/e2e/test_cli_bad_input.py
"""

from __future__ import annotations

import io
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer

from docs.site.commands import every_command
from katapult_async import AuthenticationError, OutcomeEvent, OutcomeStatus, RequestEvent, WaitEvent
from katapult_async.bulk import Words
from katapult_async.cli.access import check_host, command_for
from katapult_async.cli.execute import stopping
from katapult_async.cli.live import Line
from katapult_async.cli.preflight import show
from katapult_async.cli.prepare import question
from katapult_async.cli.progress import Progress
from katapult_async.cli.questions import NOBODY
from katapult_async.cli.rollback import cost
from katapult_async.cli.summary import Ending, show_summary
from katapult_async.client import ClientSettings
from katapult_async.jobs import Finding, Journal, LineFinding, LineStatus, Manifest, Preflight, Run, RunKind
from katapult_async.jobs.journal import NewLine, new_info
from katapult_async.jobs.journal.queries_sessions import begin_session
from tests.command_line import check_golden, run_many

COMMANDS = (*every_command(), "load")
#: The first second of a minute.
NOW = 1_795_000_020.0


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("KATAPULT_BASE_URL", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(not typer.__version__.startswith("0.29."), reason="other versions lay help out otherwise")
def test_the_help_of_all_commands(tmp_path: Path) -> None:
    arguments = [["--help"], *([*command.split(), "-h"] for command in COMMANDS)]
    cases: list[dict[str, object]] = [{"arguments": words, "env": [], "stdin": ""} for words in arguments]
    text = ""
    for words, one in zip(arguments, run_many(cases, tmp_path), strict=True):
        assert one["code"] == 0 or one["code"] is None
        text += f"$ katapult-async {' '.join(words)}\n{one['out']}{one['err']}\n"
    assert max(map(len, text.splitlines())) <= 80
    assert "<bool>" not in text
    check_golden("help.txt", text)


def preflight(**changes: object) -> Preflight:
    counts = dict.fromkeys(Finding, 7)
    line = LineFinding(
        number=9, disk="disk_9", virtual_machine="vm_9", found=Finding.CONFLICT, detail="it is on vm_8"
    )
    found = Preflight(
        counts={**counts, Finding.TO_ASSIGN: 19_994},
        first=dict.fromkeys(Finding, (line,)),
        requests=304,
        assign_requests=19_994,
        attach=0,
        attach_machines=0,
        total_permitted=1000,
        remaining=700,
        seconds=1178.0,
        not_compared=0,
        not_examined=0,
    )
    return msgspec.structs.replace(found, **changes)


def test_what_a_preflight_says() -> None:
    out = io.StringIO()
    for changes in (
        {},
        {"total_permitted": None, "seconds": None},
        {"attach": 50, "attach_machines": 4, "not_compared": 19_994, "not_examined": 300},
        {"assign_requests": 7, "seconds": 0.2},
        {"counts": {Finding.ALREADY_THERE: 1}, "assign_requests": 0, "requests": 1},
    ):
        show(out, preflight(**changes), period=60.0, now=NOW)
        print(file=out)
    check_golden("preflight.txt", out.getvalue())


def test_the_questions(tmp_path: Path) -> None:
    out: list[str] = []
    with Manifest.from_items((f"disk_{n}", "vm_1") for n in range(2000)) as manifest:
        for organization in ("acme", None):
            name = tmp_path / f"{organization}.run"
            with Run.create(name, manifest, organization=organization) as run:
                out += [
                    question(run, found, "https://api.katapult.io/core/v1")
                    for found in (
                        None,
                        preflight(assign_requests=1),
                        preflight(attach=50),
                        preflight(assign_requests=0, attach=1),
                    )
                ]
    out += [NOBODY, *(stopping(number) for number in (0, 1, 32))]
    with Journal.read(tmp_path / "acme.run") as journal:
        summary = journal.summary()
    permitted: ClientSettings = {"total_permitted": 1000}
    out += [
        cost(2000, 0, summary, {}, used=0, now=NOW),
        cost(2000, 50, summary, permitted, used=0, now=NOW),
        # The run itself has used up the current window.
        cost(2000, 50, summary, permitted, used=1000, now=NOW),
    ]
    out += [command_for("resume", "a b.run", "https://other.example"), command_for("resume", "a.run", None)]
    check_golden("questions.txt", "\n".join(out) + "\n")


def test_naming_another_host_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    info = new_info(RunKind.ASSIGN, "plan.csv", "0", 1, base_url="https://other.example/core/v1")
    with pytest.raises(SystemExit):
        check_host("plan.csv.run", info, {})
    check_golden("other_host.txt", capsys.readouterr().err)


def ended(
    kind: RunKind, counts: dict[LineStatus, int], ending: Ending, *, period: float | None = None
) -> str:
    statuses = [status for status, number in counts.items() for _ in range(number)]
    lines = [
        NewLine(number=number, disk=f"disk_{number}", virtual_machine="vm_1", step="assign")
        for number in range(1, len(statuses) + 1)
    ]
    out = io.StringIO()
    with Journal.temporary(new_info(kind, "plan.csv", "0", len(lines)), lines) as journal:
        for number, status in enumerate(statuses, start=1):
            problem = not status.ok and status is not LineStatus.WAITING
            why = ("it is on vm_8", "conflict", "f00f-1234") if problem else (None, None, None)
            journal.query(
                sqlite3.Connection.execute,
                "UPDATE line SET status = ?, detail = ?, code = ?, request_id = ? WHERE number = ?",
                (status.value, *why, number),
            )
        if period is not None:
            journal.query(begin_session, NOW, period, 600.0)
            journal.query(
                sqlite3.Connection.execute, "UPDATE session SET finished_at = started_at, ended = 'finished'"
            )
        show_summary(out, journal, ending)
    return out.getvalue()


def test_the_ends_of_runs() -> None:
    refused = AuthenticationError(status=403, code="invalid_api_token")
    out = [
        ended(RunKind.ASSIGN, {LineStatus.ASSIGNED: 2000}, Ending()),
        ended(
            RunKind.ASSIGN,
            {LineStatus.ASSIGNED: 20, LineStatus.ALREADY_ASSIGNED: 1, LineStatus.FAILED: 2},
            Ending(),
        ),
        ended(RunKind.ASSIGN, {LineStatus.ATTACHED: 1, LineStatus.WAITING: 5}, Ending(interrupted=True)),
        ended(RunKind.ASSIGN, {LineStatus.WAITING: 5}, Ending(refused_by=refused)),
        ended(RunKind.ASSIGN, {LineStatus.FAILED: 25, LineStatus.UNKNOWN: 1}, Ending()),
        ended(RunKind.ROLLBACK, {LineStatus.UNASSIGNED: 59, LineStatus.FAILED: 1}, Ending(), period=6.0),
    ]
    check_golden("ends.txt", "\n".join(out))


def test_the_live_display_at_three_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 15)
    out: list[str] = []
    progress = Progress(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), total=2000)
    for number in range(640):
        at = NOW + number / 50
        progress.on_request(
            RequestEvent(
                operation="POST /disks/disk/assign",
                sent_at=at,
                ended_at=at + 0.05,
                status=200,
                permitted=1000,
                remaining=999 - number,
            )
        )
        status = OutcomeStatus.FAILED if number % 100 == 50 else OutcomeStatus.ASSIGNED
        progress.on_outcome(
            OutcomeEvent(
                action="assign",
                disk=f"disk_{number}",
                virtual_machine="vm_1",
                status=Words("assigned", "already_assigned").of(status),
                ok=status.ok,
                finished_at=at + 0.05,
            )
        )
    progress.in_flight = lambda: 7
    states: list[tuple[str, list[int]]] = [("under way", [60, 80, 140])]
    for name, widths in states:
        for width in widths:
            out += [f"-- {name}, {width} columns", *map(text_of, progress.lines(width))]
    progress.on_wait(
        WaitEvent(since=NOW + 15, until=NOW + 60, reason="the next window of the server's clock")
    )
    out += ["-- waits for the rate limit", *map(text_of, progress.lines(80)), progress.line()]
    progress.patience_left = lambda: 299.0
    out += ["-- nobody answers", *map(text_of, progress.lines(80)), progress.line()]
    progress.stopping = True
    out += ["-- is being stopped", *map(text_of, progress.lines(80)), progress.line()]
    check_golden("live.txt", "\n".join(out) + "\n")


def text_of(line: Line) -> str:
    return "".join(part.text for part in line)
