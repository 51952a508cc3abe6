"""The summary at the end of a run: one sentence, a table, the failures, and the next command."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple, TextIO

from katapult_async import KatapultError, NoAnswer
from katapult_async.budget import BudgetError
from katapult_async.cli.access import command_for
from katapult_async.cli.safe import shown
from katapult_async.cli.words import count, counted, duration
from katapult_async.jobs import Journal, LineRecord, LineStatus, RunKind, RunSummary
from katapult_async.jobs.report import totals
from katapult_async.jobs.report.standing import in_sentence
from katapult_async.jobs.report.text import reason, subject
from katapult_async.jobs.steps.runner import held_back
from katapult_async.resources.actions import action_named

#: Most failures that are shown. The others are counted.
MOST_FAILURES = 20
#: The statuses that count as done, and the verb, by the kind of the run.
_WORK: dict[RunKind, tuple[tuple[LineStatus, ...], str]] = {
    RunKind.ASSIGN: ((LineStatus.ASSIGNED, LineStatus.ATTACHED), "Assigned"),
    RunKind.ROLLBACK: ((LineStatus.UNASSIGNED, LineStatus.DETACHED), "Unassigned"),
}


class Ending(NamedTuple):
    """How a run ended.

    Attributes:
        interrupted: Whether a signal ended it.
        refused_by: The error with which the API refused the whole run, or None.
        kept: Whether the journal stays. If not, no command that needs it is shown.
        canary: Lines that were to be sent before the command asks for the others. None for all.
    """

    interrupted: bool = False
    refused_by: KatapultError | None = None
    kept: bool = True
    canary: int | None = None


def show_summary(file: TextIO, journal: Journal, ending: Ending, *, quiet: bool = False) -> None:
    """Write the summary of a run.

    Args:
        file: The stream to write to.
        journal: The journal of the run.
        ending: How the run ended.
        quiet: Whether to omit the table, and after a success the sentence.
    """
    summary = journal.summary()
    if not (quiet and summary.ok):
        print(sentence(summary, journal.name if ending.kept else None), file=file)
    if not quiet:
        for name, value in totals(summary, latency=journal.latency()):
            print(f"{name:>28}  {value}", file=file)
    for line in _remarks(journal, summary, ending):
        print(line, file=file)
    file.flush()


def sentence(summary: RunSummary, name: str | None) -> str:
    """Return the result of a run in one sentence, with the command for the report.

    Args:
        summary: The summary of the run.
        name: The path of the journal. None if it does not stay.
    """
    action = summary.info.action
    if action is None:
        (statuses, verb), noun = _WORK[summary.info.kind], "disk"
    else:
        statuses, verb, noun = (LineStatus.DONE,), in_sentence(action_named(action).words.done), "line"
    changed = sum(summary.counts.get(status, 0) for status in statuses)
    text = f"{verb} {count(changed)} of {counted(summary.info.lines, noun)} in {duration(summary.elapsed)}"
    others = [
        f"{count(number)} {status.value.replace('_', ' ')}"
        for status, number in summary.counts.items()
        if status not in statuses
    ]
    if others:
        text += f" ({', '.join(others)})"
    return f"{text}." if name is None else f"{text}. Report: {command_for('report', name, None)}"


def _remarks(journal: Journal, summary: RunSummary, ending: Ending) -> list[str]:
    failed = sum(summary.counts.get(status, 0) for status in (LineStatus.FAILED, LineStatus.UNKNOWN))
    refused_by = ending.refused_by
    # The error that ended the run is shown once, not for every request that was in flight.
    why = getattr(refused_by, "code", None) or type(refused_by).__name__
    records = (line for line in journal.lines(problems_only=True) if line.status is not LineStatus.WAITING)
    listed = list(islice((line for line in records if refused_by is None or line.code != why), MOST_FAILURES))
    remarks = [describe(line) for line in listed]
    if refused_by is not None:
        remarks.append(shown(_refusal(refused_by)))
    elif failed > len(listed):
        more = failed - len(listed)
        report = f": {command_for('report', journal.name, None)}" if ending.kept else ""
        remarks.append(f"{count(more)} more failed or unknown{report}")
    if _is_canary(summary, ending):
        remarks.append("The canary has ended.")
    elif not summary.finished:
        remarks.append(_stopped_by(summary, ending))
        if ending.kept:
            resume = command_for("resume", journal.name, summary.info.base_url)
            remarks[-1] = f"{remarks[-1]} Resume: {resume}".lstrip()
    return [remark for remark in remarks if remark]


def _is_canary(summary: RunSummary, ending: Ending) -> bool:
    """Return whether the command continues, because only the first lines were to be sent."""
    if ending.canary is None or summary.finished or not summary.sessions:
        return False
    return summary.sessions[-1].reason == held_back(ending.canary)


def _refusal(error: KatapultError) -> str:
    if isinstance(error, NoAnswer):
        return f"{error.message[:1].upper()}{error.message[1:]}"
    if isinstance(error, BudgetError):
        return f"The budget cannot be used: {in_words(error)}"
    return f"The API refused the run: {in_words(error)}"


def in_words(error: KatapultError) -> str:
    """Return the message and the request ID of an error, without method and path."""
    return f"{error.message} (request ID {error.request_id})" if error.request_id else error.message


def _stopped_by(summary: RunSummary, ending: Ending) -> str:
    if ending.interrupted:
        return "Interrupted."
    last = summary.sessions[-1] if summary.sessions else None
    if last is not None and last.ended == "stopped_early":
        return f"Stopped: {last.reason}."
    return "Not finished." if ending.refused_by is None else ""


def describe(line: LineRecord) -> str:
    """Return a line of a run with its status and the reason."""
    why = reason(line) or "no reason is known"
    request = (
        f" (request ID {line.request_id})"
        if line.request_id and line.request_id not in str(line.detail)
        else ""
    )
    return shown(f"line {line.number}: {subject(line)}: {line.status}: {why}{request}")
