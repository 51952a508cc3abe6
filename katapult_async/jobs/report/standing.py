"""The state of a run: one word for programs, sentences for people, and the next commands.

Functions of a RunSummary. Paths in the working directory are shown relative to it.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from katapult_async.jobs.journal.records import LineStatus, RunKind, RunSession
from katapult_async.jobs.journal.summary import RollbackProgress, RunState, RunSummary
from katapult_async.safe_text import for_terminal
from katapult_async.transport import DEFAULT_BASE_URL
from katapult_async.transport.address import is_same_base_url
from katapult_async.words import count, counted, local_time

_COMMAND = "katapult-async"


#: The words for each state in a list of runs.
STATE_WORDS = {
    RunState.RUNNING: "running",
    RunState.NOT_CONFIRMED: "not confirmed",
    RunState.NOT_STARTED: "not started",
    RunState.DONE: "done",
    RunState.DONE_WITH_FAILURES: "done, with failures",
    RunState.OPEN: "ended with open lines",
    RunState.INTERRUPTED: "interrupted",
    RunState.STOPPED_EARLY: "stopped early",
    RunState.REFUSED: "refused",
    RunState.NO_ANSWER: "stopped: no answer",
    RunState.STOPPED_BY_ERROR: "stopped by an error",
    RunState.KILLED: "stopped unexpectedly",
    RunState.ROLLBACK_UNFINISHED: "rollback unfinished",
    RunState.ROLLED_BACK: "rolled back",
}


def title(summary: RunSummary) -> str:
    """Return the title of a run: `Assignment of plan.csv`."""
    info = summary.info
    what = "Assignment" if info.kind is RunKind.ASSIGN else "Rollback"
    if info.action is not None:
        what = in_sentence(info.action)
    return f"{what} of {for_terminal(summary.info.manifest)}"


def in_sentence(word: str) -> str:
    """Return an action, or one of its words, as the beginning of a sentence: `Shut down`."""
    return word.replace("_", " ").capitalize()


def progress(summary: RunSummary) -> str:
    """Return a sentence with the numbers of lines that are done, failed, unknown and waiting."""
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
    """Return the state of a run in one or two sentences. `progress` has the numbers of lines."""
    state, last = summary.state, summary.sessions[-1] if summary.sessions else None
    match state:
        case RunState.RUNNING if not summary.sessions:
            return f"Prepared by {for_terminal(summary.locked_by or '')}. It has changed nothing yet."
        case RunState.RUNNING if last is not None and last.ended is not None:
            # After a canary the command asks before it sends the other lines.
            holder = for_terminal(summary.locked_by or "")
            return f"Open in {holder}, and not being executed. It may wait for an answer."
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
            return f"Stopped unexpectedly: its process was killed or crashed.{active}"
        case _:
            # STOPPED_EARLY, REFUSED, NO_ANSWER, STOPPED_BY_ERROR: the reason says it.
            how = "Stopped by an error" if state is RunState.STOPPED_BY_ERROR else "Stopped"
            why = f": {for_terminal(last.reason).rstrip('.')}" if last is not None and last.reason else ""
            return f"{how}{_when(last)}{why}."


def _rollback(rollback: RollbackProgress) -> str:
    if not rollback.reachable:
        return f"A rollback has begun. Its journal {for_terminal(rollback.shown_path)} cannot be read."
    if rollback.locked_by is not None:
        where = for_terminal(rollback.locked_by)
        return f"Being rolled back in {where}: {count(rollback.done)} of {count(rollback.lines)}."
    how = "Rolled back" if rollback.finished else "Rollback unfinished"
    return f"{how}: {count(rollback.done)} of {count(rollback.lines)}."


def _when(session: RunSession | None) -> str:
    at = session.finished_at if session is not None else None
    return f" {local_time(at)}" if at is not None else ""


def _open_lines(summary: RunSummary) -> int:
    return summary.counts.get(LineStatus.UNKNOWN, 0) + summary.counts.get(LineStatus.WAITING, 0)


def next_steps(
    summary: RunSummary, journal: str | Path, *, base_url: str = DEFAULT_BASE_URL
) -> list[tuple[str, str]]:
    """Return the next commands, as pairs of a purpose and a command, the most useful one first.

    Args:
        summary: The run.
        journal: The path of its journal, as the user has written it.
        base_url: The base URL that a command uses without `--base-url`.
    """
    state, steps, made_for = summary.state, list[tuple[str, str]](), summary.info.base_url
    # If the run uses another host, commands that send requests must name it. The journal alone must
    # not choose the host that gets the token.
    host = [] if made_for is None or is_same_base_url(made_for, base_url) else ["--base-url", made_for]
    if summary.period != 60.0:  # an emulator's
        host += ["--window", f"{summary.period:g}"]
    if state is RunState.RUNNING:
        steps.append(("Watch it", command("status", journal, "--watch")))
    failures = ("See why lines failed", command("report", journal))
    failed = bool(summary.counts.get(LineStatus.FAILED))
    if state is RunState.STOPPED_EARLY and failed:
        steps.append(failures)
    if state.resumable:
        steps.append(("Resume", command("resume", journal, *host)))
    if (rollback := summary.rollback) is not None:
        if rollback.locked_by is not None:
            steps.append(("Watch the rollback", command("status", rollback.shown_path, "--watch")))
        else:
            if state is RunState.ROLLBACK_UNFINISHED and rollback.reachable:
                steps.append(("Finish the rollback", command("resume", rollback.shown_path, *host)))
            steps.append(("See the rollback", command("status", rollback.shown_path)))
    if failed and state is not RunState.STOPPED_EARLY:
        steps.append(failures)
    if state is RunState.DONE_WITH_FAILURES:
        steps.append(("Try failed lines again", command("resume", journal, "--retry-failed", *host)))
    return steps


def command(name: str, path: str | Path, *options: str) -> str:
    """Return a command that can be copied into a shell."""
    file = str(path)
    parts = [name, f"./{file}" if file.startswith("-") else file, *options]
    return for_terminal(f"{_COMMAND} {shlex.join(parts)}")
