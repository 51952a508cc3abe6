"""Where a run stands, in a word and in a sentence, and which commands lead on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from katapult_async.cli.status import ends_in, rate_of
from katapult_async.cli.watch import exit_code
from katapult_async.jobs import (
    LineStatus,
    RollbackProgress,
    RunInfo,
    RunKind,
    RunSession,
    RunState,
    RunSummary,
    TimelineSecond,
)
from katapult_async.jobs.report.standing import command, next_steps, progress, standing, title
from katapult_async.jobs.report.text import totals
from katapult_async.words import local_time

DONE, FAILED, OPEN = LineStatus.ASSIGNED, LineStatus.FAILED, LineStatus.WAITING
ENDED = local_time(2000.0)
ELSEWHERE = "https://katapult.example/core/v1"


def summary(
    counts: dict[LineStatus, int],
    *,
    ended: str | None = "finished",
    reason: str | None = None,
    sessions: int = 1,
    locked_by: str | None = None,
    rollback: RollbackProgress | None = None,
    **info: object,
) -> RunSummary:
    known = {"kind": RunKind.ASSIGN, "confirmed_at": 900.0, "lines": sum(counts.values())}
    session = RunSession(
        started_at=1000.0,
        finished_at=2000.0 if ended is not None else None,
        active_until=2000.0,
        ended=ended,
        reason=reason,
    )
    return RunSummary(
        info=msgspec.convert(
            {"run_id": "r1", "manifest": "plan.csv", "digest": "d", "created_at": 900.0, **known, **info},
            RunInfo,
        ),
        counts=counts,
        requests=10,
        rate_limited=0,
        total_permitted=None,
        sessions=(session,) * sessions,
        locked_by=locked_by,
        rollback=rollback,
    )


def rollback(
    *, done: int = 487, finished: bool = False, reachable: bool = True, locked_by: str | None = None
) -> RollbackProgress:
    return RollbackProgress(
        path="plan.run.rollback",
        lines=2000,
        done=done,
        finished=finished,
        reachable=reachable,
        locked_by=locked_by,
    )


ALL = {DONE: 2000}
SOME = {DONE: 1996, FAILED: 1, OPEN: 3}
NONE = {OPEN: 2000}


@pytest.mark.parametrize(
    ("found", "state", "sentence", "commands"),
    [
        (summary(ALL), RunState.DONE, f"Finished {ENDED}.", []),
        (
            summary({DONE: 1999, FAILED: 1}),
            RunState.DONE_WITH_FAILURES,
            f"Finished {ENDED}.",
            ["report plan.run", "resume plan.run --retry-failed"],
        ),
        (
            summary(SOME),
            RunState.OPEN,
            f"Ended {ENDED} with 3 lines open.",
            ["resume plan.run", "report plan.run"],
        ),
        (
            summary({DONE: 1, LineStatus.UNKNOWN: 1}),
            RunState.OPEN,
            f"Ended {ENDED} with 1 line open.",
            ["resume plan.run"],
        ),
        (
            summary(NONE, ended="interrupted"),
            RunState.INTERRUPTED,
            f"Interrupted {ENDED}.",
            ["resume plan.run"],
        ),
        (
            summary(NONE, ended="stopped_early", reason="only the first 5 lines should be sent"),
            RunState.STOPPED_EARLY,
            f"Stopped {ENDED}: only the first 5 lines should be sent.",
            ["resume plan.run"],
        ),
        (
            summary(SOME, ended="stopped_early", reason="more than 1 line failed"),
            RunState.STOPPED_EARLY,
            f"Stopped {ENDED}: more than 1 line failed.",
            ["report plan.run", "resume plan.run"],
        ),
        (
            summary(NONE, ended="refused", reason="The token is wrong."),
            RunState.REFUSED,
            f"Stopped {ENDED}: The token is wrong.",
            ["resume plan.run"],
        ),
        (
            summary(NONE, ended="no_answer", reason="The API has not answered for 120 s."),
            RunState.NO_ANSWER,
            f"Stopped {ENDED}: The API has not answered for 120 s.",
            ["resume plan.run"],
        ),
        (
            summary(NONE, ended="failed", reason="disk full"),
            RunState.STOPPED_BY_ERROR,
            f"Stopped by an error {ENDED}: disk full.",
            ["resume plan.run"],
        ),
        (
            summary(NONE, ended=None),
            RunState.KILLED,
            f"Stopped unexpectedly: its process was killed or crashed. It was last active {ENDED}.",
            ["resume plan.run"],
        ),
        (
            summary(NONE, sessions=0, confirmed_at=None, preflight=True),
            RunState.NOT_CONFIRMED,
            "Never confirmed, and nothing was sent. Resuming checks what is there, then asks.",
            ["resume plan.run"],
        ),
        (
            summary(NONE, sessions=0, confirmed_at=None),
            RunState.NOT_CONFIRMED,
            "Never confirmed, and nothing was sent. Resuming asks first.",
            ["resume plan.run"],
        ),
        (summary(NONE, sessions=0), RunState.NOT_STARTED, "Nothing was sent yet.", ["resume plan.run"]),
        (
            summary(NONE, ended=None, locked_by="process 7 on host"),
            RunState.RUNNING,
            "Running in process 7 on host.",
            ["status plan.run --watch"],
        ),
        (
            summary(NONE, sessions=0, confirmed_at=None, locked_by="process 7 on host"),
            RunState.RUNNING,
            "Prepared by process 7 on host. It has changed nothing yet.",
            ["status plan.run --watch"],
        ),
        (
            summary(ALL, rollback=rollback()),
            RunState.ROLLBACK_UNFINISHED,
            "Rollback unfinished: 487 of 2,000.",
            ["resume plan.run.rollback", "status plan.run.rollback"],
        ),
        (
            summary(ALL, rollback=rollback(done=0, reachable=False)),
            RunState.ROLLBACK_UNFINISHED,
            "A rollback has begun. Its journal plan.run.rollback cannot be read.",
            ["status plan.run.rollback"],
        ),
        (
            summary(ALL, rollback=rollback(locked_by="process 7 on host")),
            RunState.ROLLBACK_UNFINISHED,
            "Being rolled back in process 7 on host: 487 of 2,000.",
            ["status plan.run.rollback --watch"],
        ),
        (
            summary(ALL, rollback=rollback(done=2000, finished=True)),
            RunState.ROLLED_BACK,
            "Rolled back: 2,000 of 2,000.",
            ["status plan.run.rollback"],
        ),
        (
            summary(NONE, base_url=ELSEWHERE),
            RunState.OPEN,
            f"Ended {ENDED} with 2,000 lines open.",
            [f"resume plan.run --base-url {ELSEWHERE}"],
        ),
    ],
)
def test_where_a_run_stands(found: RunSummary, state: RunState, sentence: str, commands: list[str]) -> None:
    assert found.state is state
    assert standing(found) == sentence
    assert [line for _, line in next_steps(found, "plan.run")] == [
        f"katapult-async {line}" for line in commands
    ]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (summary(ALL), 0),
        (summary({DONE: 1, FAILED: 1}), 1),
        (summary(SOME), 1),
        (summary(NONE, ended="interrupted"), 130),
        (summary(NONE, ended="stopped_early", reason="more than 3 lines failed"), 1),
        (summary(NONE, ended="refused"), 3),
        (summary(NONE, ended="no_answer"), 3),
        (summary(NONE, ended="failed"), 1),
        (summary(NONE, ended=None), 1),
        (summary(NONE, sessions=0), 1),
        (summary(ALL, rollback=rollback()), 1),
        (summary(ALL, rollback=rollback(done=2000, finished=True)), 0),
    ],
)
def test_a_watcher_exits_with_the_code_of_the_run(found: RunSummary, code: int) -> None:
    assert exit_code(found) == code


def test_a_command_names_the_host_only_where_it_would_go_to_another_one() -> None:
    found = summary(NONE, base_url=ELSEWHERE)
    assert next_steps(found, "plan.run", base_url=f"{ELSEWHERE}/") == [
        ("Resume", "katapult-async resume plan.run")
    ]


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({DONE: 1}, "The 1 line is done."),
        (ALL, "All 2,000 lines are done."),
        (SOME, "1,996 of 2,000 lines done, 1 failed, 3 waiting."),
        ({LineStatus.UNKNOWN: 1}, "0 of 1 line done, 1 unknown."),
    ],
)
def test_how_far_it_is(counts: dict[LineStatus, int], sentence: str) -> None:
    assert progress(summary(counts)) == sentence


def test_the_journal_of_a_rollback_is_shown_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    inside, outside = tmp_path / "here" / "runs" / "a.run.rollback", tmp_path / "b.run.rollback"
    for path, shown in ((inside, "runs/a.run.rollback"), (outside, str(outside))):
        found = summary(ALL, rollback=msgspec.structs.replace(rollback(), path=str(path)))
        assert [line for _, line in next_steps(found, "a.run")] == [
            f"katapult-async resume {shown}",
            f"katapult-async status {shown}",
        ]


def test_what_it_is() -> None:
    assert title(summary(ALL)) == "Assignment of plan.csv"
    assert title(summary(ALL, kind=RunKind.ROLLBACK, manifest="a\x1bb")) == r"Rollback of a\x1bb"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("a b.run", "katapult-async resume 'a b.run'"),
        ("-x.run", "katapult-async resume ./-x.run"),
        ("it's.run", """katapult-async resume 'it'"'"'s.run'"""),
    ],
)
def test_a_command_can_be_copied_into_a_shell(path: str, shown: str) -> None:
    assert command("resume", path) == shown


@pytest.mark.parametrize(
    ("kind", "attach", "permitted", "sent", "seconds"),
    [
        (RunKind.ASSIGN, False, None, 0, None),  # nobody knows the limit
        (
            RunKind.ASSIGN,
            False,
            1000,
            0,
            50.0 + 1.0,
        ),  # half in this window, which began 10 s ago, half at the next boundary at 999 a second
        # This window has room for all, so the rate of the run decides.
        (RunKind.ASSIGN, False, 5000, 0, 1999 / 999),
        (RunKind.ASSIGN, False, 1000, 1000, 50.0 + 60.0 + 1.0),
        (RunKind.ROLLBACK, False, 1000, 0, 50.0 + 120.0 + 1.0),  # each disk is read first
        (RunKind.ASSIGN, True, 1000, 0, 50.0 + 120.0 + 1.0),
    ],
)
def test_when_it_will_end(
    kind: RunKind, attach: bool, permitted: int | None, sent: int, seconds: float | None
) -> None:
    minute = 60.0 * 30_000_000
    counts = {LineStatus.ASSIGNED: 100, LineStatus.WAITING: 1500, LineStatus.UNKNOWN: 499}
    found = msgspec.structs.replace(
        summary(counts, ended=None, locked_by="process 7 on host", kind=kind, attach=attach),
        total_permitted=permitted,
    )
    recent = [
        TimelineSecond(at=int(minute) - 5, requests=999),
        TimelineSecond(at=int(minute) + 2, requests=sent),
    ]
    assert ends_in(found, recent, now=minute + 10) == (
        None if seconds is None else pytest.approx(seconds, abs=0.01)
    )


def test_when_it_will_end_while_disks_are_attached() -> None:
    found = summary({OPEN: 100}, ended=None, locked_by="process 7 on host", attach=True)
    found = msgspec.structs.replace(found, total_permitted=1000)
    recent = [TimelineSecond(at=6000, requests=10)]
    assert ends_in(found, recent, now=6001.0) == pytest.approx(20.0)
    assert ends_in(found, recent, now=6001.0, attaching=60) == pytest.approx(14.0)


def test_when_it_will_end_under_windows_of_another_length() -> None:
    start = 15.0 * 120_000_000
    found = summary({LineStatus.WAITING: 601}, ended=None, locked_by="process 7 on host")
    session = msgspec.structs.replace(found.sessions[-1], period=15.0)
    found = msgspec.structs.replace(found, sessions=(session,), total_permitted=300)
    recent = [
        TimelineSecond(at=int(start) - 5, requests=300),
        TimelineSecond(at=int(start) + 1, requests=300),
    ]
    # 12 s of this window are left, which is used up; then 300 in each window of 15 s.
    assert ends_in(found, recent, now=start + 3) == pytest.approx(12.0 + 2 * 15.0, abs=0.01)
    assert ("permitted per 15 s", "300") in totals(found)


def test_the_next_command_has_the_window_of_an_emulator() -> None:
    found = summary(NONE, ended="interrupted")
    session = msgspec.structs.replace(found.sessions[-1], period=15.0)
    found = msgspec.structs.replace(found, sessions=(session,))
    assert next_steps(found, "plan.run") == [("Resume", "katapult-async resume plan.run --window 15")]


def test_the_rate_is_that_of_the_last_minute_or_of_the_session_so_far() -> None:
    found = summary(NONE, ended=None, locked_by="process 7 on host")  # begun at 1000.0
    seconds = [TimelineSecond(at=at, requests=30) for at in range(1000, 1100)]
    assert rate_of(found, seconds[:10], now=1010.0) == pytest.approx(30.0)
    assert rate_of(found, seconds[-60:], now=1100.0) == pytest.approx(30.0)
