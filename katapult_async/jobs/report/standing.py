"""Where a run stands, in one word for programs and in sentences for people, and the commands that lead on.

Decides from a summary only. Nothing is read or printed here.
"""

from __future__ import annotations

import enum
import shlex
from pathlib import Path

from katapult_async.jobs.record import LineStatus, RollbackProgress, RunKind, RunSummary, Session
from katapult_async.safe_text import for_terminal
from katapult_async.transport import DEFAULT_BASE_URL
from katapult_async.transport.address import is_same_base_url
from katapult_async.words import count, counted, local_time

_COMMAND = "katapult-async"


class RunState(str, enum.Enum):
    """Where a run stands."""

    #: A process executes it.
    RUNNING = "running"
    #: Nobody has agreed to it yet, and nothing was sent.
    NOT_CONFIRMED = "not_confirmed"
    #: It was agreed to, and nothing was sent.
    NOT_STARTED = "not_started"
    #: Every line is done.
    DONE = "done"
    #: It has ended, and some lines failed.
    DONE_WITH_FAILURES = "done_with_failures"
    #: It has ended, and some lines are open: a task did not end in time, or an outcome is unknown.
    OPEN = "open"
    #: Somebody stopped it.
    INTERRUPTED = "interrupted"
    #: The API refused the run as a whole.
    REFUSED = "refused"
    #: The API did not answer.
    NO_ANSWER = "no_answer"
    #: An error in this program ended it.
    STOPPED_BY_ERROR = "stopped_by_error"
    #: Its process ended without a word: a kill, a crash, a power cut.
    KILLED = "killed"
    #: Its rollback has begun and is not finished.
    ROLLBACK_UNFINISHED = "rollback_unfinished"
    ROLLED_BACK = "rolled_back"

    def __str__(self) -> str:
        return self.value

    @property
    def resumable(self) -> bool:
        """Whether `resume` is what leads on."""
        return self in _RESUMABLE


_RESUMABLE = frozenset(
    {
        RunState.NOT_CONFIRMED,
        RunState.NOT_STARTED,
        RunState.OPEN,
        RunState.INTERRUPTED,
        RunState.REFUSED,
        RunState.NO_ANSWER,
        RunState.STOPPED_BY_ERROR,
        RunState.KILLED,
    }
)
_BY_END = {
    None: RunState.KILLED,
    "finished": RunState.OPEN,
    "interrupted": RunState.INTERRUPTED,
    "refused": RunState.REFUSED,
    "no_answer": RunState.NO_ANSWER,
    "failed": RunState.STOPPED_BY_ERROR,
}
#: What a run in each state is called in a list.
STATE_WORDS = {
    RunState.RUNNING: "running",
    RunState.NOT_CONFIRMED: "not confirmed",
    RunState.NOT_STARTED: "not started",
    RunState.DONE: "done",
    RunState.DONE_WITH_FAILURES: "done, with failures",
    RunState.OPEN: "ended with open lines",
    RunState.INTERRUPTED: "interrupted",
    RunState.REFUSED: "refused",
    RunState.NO_ANSWER: "stopped: no answer",
    RunState.STOPPED_BY_ERROR: "stopped by an error",
    RunState.KILLED: "stopped unexpectedly",
    RunState.ROLLBACK_UNFINISHED: "rollback unfinished",
    RunState.ROLLED_BACK: "rolled back",
}


def state_of(summary: RunSummary) -> RunState:
    """Return where a run stands."""
    if summary.locked_by is not None:
        return RunState.RUNNING
    if summary.rollback is not None:
        return RunState.ROLLED_BACK if summary.rollback.finished else RunState.ROLLBACK_UNFINISHED
    if not summary.sessions:
        return RunState.NOT_CONFIRMED if summary.info.confirmed_at is None else RunState.NOT_STARTED
    if summary.finished:
        return RunState.DONE if summary.ok else RunState.DONE_WITH_FAILURES
    return _BY_END.get(summary.sessions[-1].ended, RunState.STOPPED_BY_ERROR)


def title(summary: RunSummary) -> str:
    """Return what the run is: `Assignment of plan.csv`."""
    what = "Assignment" if summary.info.kind is RunKind.ASSIGN else "Rollback"
    return f"{what} of {for_terminal(summary.info.manifest)}"


def progress(summary: RunSummary) -> str:
    """Say how many lines are done, failed, and open, in one sentence."""
    lines = summary.info.lines
    done = sum(number for status, number in summary.counts.items() if status.ok)
    if summary.ok:
        return "The 1 line is done." if lines == 1 else f"All {count(lines)} lines are done."
    parts = [f"{count(done)} of {counted(lines, 'line')} done"]
    parts += [
        f"{count(summary.counts[status])} {word}"
        for status, word in _NOT_DONE.items()
        if summary.counts.get(status)
    ]
    return ", ".join(parts) + "."


_NOT_DONE = {LineStatus.FAILED: "failed", LineStatus.UNKNOWN: "unknown", LineStatus.WAITING: "waiting"}


def standing(summary: RunSummary) -> str:
    """Say in a sentence or two where the run stands. Lines are counted by `progress`."""
    state, last = state_of(summary), summary.sessions[-1] if summary.sessions else None
    match state:
        case RunState.RUNNING if not summary.sessions:
            return f"Prepared by {for_terminal(summary.locked_by or '')}. It has changed nothing yet."
        case RunState.RUNNING:
            return f"Running in {for_terminal(summary.locked_by or '')}."
        case RunState.NOT_CONFIRMED if summary.info.preflight:
            return "Never confirmed, and nothing was sent. Resuming checks what is there, then asks."
        case RunState.NOT_CONFIRMED:
            return "Never confirmed, and nothing was sent. Resuming asks first."
        case RunState.NOT_STARTED:
            return "Nothing was sent yet."
        case RunState.ROLLBACK_UNFINISHED | RunState.ROLLED_BACK if summary.rollback is not None:
            return _rollback(summary.rollback)
        case RunState.DONE | RunState.DONE_WITH_FAILURES:
            return f"Finished{_when(last)}."
        case RunState.OPEN:
            return f"Ended{_when(last)} with {counted(_open_lines(summary), 'line')} open."
        case RunState.INTERRUPTED:
            return f"Interrupted{_when(last)}."
        case RunState.KILLED:
            active = f" It was last active {local_time(last.active_until)}." if last is not None else ""
            return f"Stopped unexpectedly.{active}"
        case _:
            # Refused by the API, or nobody has answered: the reason says it.
            how = "Stopped by an error" if state is RunState.STOPPED_BY_ERROR else "Stopped"
            why = f": {for_terminal(last.reason).rstrip('.')}" if last is not None and last.reason else ""
            return f"{how}{_when(last)}{why}."


def _rollback(rollback: RollbackProgress) -> str:
    if not rollback.reachable:
        return f"A rollback has begun. Its journal {for_terminal(rollback.path)} cannot be read."
    how = "Rolled back" if rollback.finished else "Rollback unfinished"
    return f"{how}: {count(rollback.done)} of {count(rollback.lines)}."


def _when(session: Session | None) -> str:
    at = session.finished_at if session is not None else None
    return f" {local_time(at)}" if at is not None else ""


def _open_lines(summary: RunSummary) -> int:
    return summary.counts.get(LineStatus.UNKNOWN, 0) + summary.counts.get(LineStatus.WAITING, 0)


def next_steps(
    summary: RunSummary, journal: str | Path, *, base_url: str = DEFAULT_BASE_URL
) -> list[tuple[str, str]]:
    """Return what can be done next, as pairs of a purpose and a command, the most useful one first.

    Args:
        summary: The run.
        journal: The path of its journal, as the user names it.
        base_url: The base URL that a command uses if it names none.
    """
    state, steps, made_for = state_of(summary), list[tuple[str, str]](), summary.info.base_url
    # A command that sends requests has to name another host than this: the journal alone may not choose it.
    host = [] if made_for is None or is_same_base_url(made_for, base_url) else ["--base-url", made_for]
    if state is RunState.RUNNING:
        steps.append(("Watch it", command("status", journal, "--watch")))
    if state.resumable:
        steps.append(("Resume", command("resume", journal, *host)))
    if summary.rollback is not None:
        if state is RunState.ROLLBACK_UNFINISHED and summary.rollback.reachable:
            steps.append(("Finish the rollback", command("resume", summary.rollback.path, *host)))
        steps.append(("See the rollback", command("status", summary.rollback.path)))
    if summary.counts.get(LineStatus.FAILED):
        steps.append(("See why lines failed", command("report", journal)))
        if state is RunState.DONE_WITH_FAILURES:
            steps.append(("Try failed lines again", command("resume", journal, "--retry-failed", *host)))
    return steps


def command(name: str, path: str | Path, *options: str) -> str:
    """Return a command that can be copied into a shell."""
    file = str(path)
    parts = [name, f"./{file}" if file.startswith("-") else file, *options]
    return for_terminal(f"{_COMMAND} {shlex.join(parts)}")
