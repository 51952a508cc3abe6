"""`status`: show the state of a run, its expected end, and the next commands."""

from __future__ import annotations

import time

import msgspec

from katapult_async.cli.exit_codes import OK, bad_input
from katapult_async.cli.settings import named_base_url
from katapult_async.cli.words import clock_time, duration
from katapult_async.jobs import Journal, JournalError, RunState, RunSummary
from katapult_async.jobs.journal.latency import Latency
from katapult_async.jobs.journal.records import LineStatus, RunInfo, RunKind, Step, TimelineSecond
from katapult_async.jobs.preflight.forecast import (
    Throughput,
    reached,
    seconds_for,
    step_requests,
    used_in_window,
)
from katapult_async.jobs.report.documents import StatusDocument, encode, iso, run_document_of
from katapult_async.jobs.report.standing import next_steps, progress, standing, title
from katapult_async.jobs.report.text import totals
from katapult_async.safe_text import for_terminal
from katapult_async.transport import DEFAULT_BASE_URL

#: Seconds over which the rate is measured, and the most seconds of the timeline that are read.
RECENT = 60


class Seen(msgspec.Struct, frozen=True):
    """The state of a run at one moment.

    Args:
        journal: The path of the journal, as the user typed it.
        summary: The summary of the run.
        latency: The response times of the run.
        at: When the journal was read (Unix seconds).
        rate: Requests per second in the last minute. None unless a process executes the run.
        ends_in: Seconds until the expected end. None if this is not known.
    """

    journal: str
    summary: RunSummary
    latency: Latency
    at: float
    rate: float | None = None
    ends_in: float | None = None

    @property
    def running(self) -> bool:
        """Whether a process executes the run."""
        return self.summary.state is RunState.RUNNING


def run_status(run_file: str, *, as_json: bool = False, watch: bool = False) -> int:
    """Show the state of a run.

    Returns:
        The exit code: 0, or with --watch the exit code of the run.
    """
    try:
        if watch:
            from katapult_async.cli.watch import watch_run

            return watch_run(run_file, as_json=as_json)
        seen = read_status(run_file)
    except JournalError as exc:
        return bad_input(str(exc))
    print(document(seen) if as_json else "\n".join(sentences(seen)))
    return OK


def read_status(run_file: str) -> Seen:
    """Read the current state of a run. Raises JournalError."""
    with Journal.read(run_file) as journal, journal.snapshot():
        summary, latency, now = journal.summary(), journal.latency(), time.time()
        if summary.locked_by is None or not summary.sessions or summary.sessions[-1].ended is not None:
            return Seen(run_file, summary, latency, now)
        recent = journal.timeline()[-RECENT:]
        attaching = journal.attaching()
    end = ends_in(summary, recent, now=now, attaching=attaching)
    return Seen(run_file, summary, latency, now, rate_of(summary, recent, now=now), end)


def rate_of(summary: RunSummary, recent: list[TimelineSecond], *, now: float) -> float:
    """Return the requests per second in the last minute of the session."""
    over = min(max(now - summary.sessions[-1].started_at, 1.0), RECENT)
    return sum(second.requests for second in recent if second.at >= now - over - 1) / over


def ends_in(
    summary: RunSummary, recent: list[TimelineSecond], *, now: float, attaching: int = 0
) -> float | None:
    """Return the seconds until the expected end of a run. None if no limit is known.

    The live display of the run calculates it from the same values, except for a user's own maximum
    of requests per second, which the journal does not have.

    Args:
        summary: The summary of the run.
        recent: The last seconds in which requests were sent.
        now: Unix time in seconds.
        attaching: Lines whose disk is assigned and has to be attached.
    """
    lines = sum(summary.counts.get(status, 0) for status in (LineStatus.WAITING, LineStatus.UNKNOWN))
    limit = summary.total_permitted
    used = used_in_window(recent, summary.period, now)
    began = int(summary.sessions[-1].started_at)
    throughput = Throughput(
        limit=limit,
        remaining=None if limit is None else max(limit - used, 0),
        period=summary.period,
        measured=reached(((second.at, second.requests) for second in recent if second.at >= began), now),
    )
    return seconds_for(_requests(summary.info, lines, attaching), throughput, now)


def _requests(info: RunInfo, lines: int, attaching: int) -> int:
    if info.action is not None:
        return step_requests(lines, info.action)
    if info.kind is RunKind.ROLLBACK:
        return step_requests(lines, Step.UNASSIGN)
    assigning = max(lines - attaching, 0)
    to_attach = lines if info.attach else attaching
    return step_requests(assigning, Step.ASSIGN) + step_requests(to_attach, Step.ATTACH)


def document(seen: Seen) -> str:
    """Return the status for a program, as JSON in one line."""
    steps = _next_steps(seen)
    return encode(
        StatusDocument(
            journal=for_terminal(seen.journal),
            run=run_document_of(seen.summary, seen.latency),
            rate=None if seen.rate is None else round(seen.rate, 2),
            expected_end=None if seen.ends_in is None else iso(seen.at + seen.ends_in),
            next=[command for _, command in steps],
        )
    )


def sentences(seen: Seen) -> list[str]:
    """Return the status for a person, in lines."""
    lines = [
        title(seen.summary),
        progress(seen.summary),
        " ".join([standing(seen.summary), *rate_and_end(seen)]),
    ]
    steps = _next_steps(seen)
    width = max((len(purpose) for purpose, _ in steps), default=0) + 1
    lines += [f"{purpose + ':':<{width}} {command}" for purpose, command in steps]
    rows = totals(seen.summary, latency=seen.latency)
    return [*lines, "", *(f"{name:>28}  {value}" for name, value in rows)]


def rate_and_end(seen: Seen) -> list[str]:
    """Return rate and expected end in sentences. Empty unless a process executes the run."""
    found = [] if seen.rate is None else [f"{seen.rate:.1f} requests/s in the last minute."]
    if seen.ends_in is not None:
        at = clock_time(seen.at + seen.ends_in, seen.at)
        found.append(f"Ends in about {duration(seen.ends_in)}, at {at}.")
    return found


def _next_steps(seen: Seen) -> list[tuple[str, str]]:
    named = named_base_url() or DEFAULT_BASE_URL
    return next_steps(seen.summary, seen.journal, base_url=named)
