"""`rollback`: undo exactly what a run did, or resume that. Shows the cost before it asks."""

from __future__ import annotations

import sys
import time

from katapult_async.cli.access import check_host, token_for
from katapult_async.cli.execute import carry_out
from katapult_async.cli.exit_codes import bad_input
from katapult_async.cli.options import Screen
from katapult_async.cli.questions import confirmed, nobody_to_ask, target
from katapult_async.cli.settings import Sources
from katapult_async.cli.signals import run_loop
from katapult_async.cli.summary import MOST_FAILURES
from katapult_async.cli.words import clock_time, count, counted, duration
from katapult_async.client import ClientSettings
from katapult_async.jobs import (
    Journal,
    JournalError,
    LineStatus,
    RollbackScope,
    Run,
    RunSummary,
    rollback_scope,
)
from katapult_async.jobs.location import Location, location_for_rollback
from katapult_async.jobs.preflight.forecast import (
    Throughput,
    rollback_requests,
    seconds_for,
    used_in_window,
)
from katapult_async.transport import DEFAULT_BASE_URL


def run_rollback(
    of: str,
    *,
    run_file: str | None,
    yes: bool,
    task_timeout: float,
    max_failures: int | None,
    screen: Screen,
    settings: ClientSettings,
    sources: Sources,
) -> int:
    """Roll a run back, or resume its rollback.

    Returns:
        The exit code.
    """
    token = token_for(sources, settings)
    try:
        with Journal.read(of) as parent:
            summary = parent.summary()
        check_host(of, summary.info, settings)
        if summary.locked_by is not None:
            return bad_input(f"{summary.locked_by} is executing {of}: stop it (Ctrl-C there), then roll back")
        location = location_for_rollback(of, run=run_file)
        if not location.begun or location.failed:
            code = None if yes else nobody_to_ask()
            if code is None:
                code = _ask(of, summary, location, settings, yes=yes)
            if code is not None:
                return code
        if location.unsent:
            Run.open(location.path).discard()
        with Run.open(location.path) if location.begun else Run.roll_back(of, location.path) as run:
            if location.failed:
                run.retry_failed()
            if not screen.quiet:
                print(f"the journal of this rollback is {location.path}", file=sys.stderr)
            return run_loop(
                carry_out(
                    run, token, settings, screen=screen, task_timeout=task_timeout, max_failures=max_failures
                )
            )
    except JournalError as exc:
        return bad_input(str(exc))


def _ask(
    of: str, summary: RunSummary, location: Location, settings: ClientSettings, *, yes: bool
) -> int | None:
    """Show the work and its cost, and ask. Returns None to continue, else the exit code."""
    if location.failed:
        lines, attached = location.failed, 0
        print(f"{counted(lines, 'line')} of {of} could not be rolled back: trying again", file=sys.stderr)
    else:
        with Journal.read(of) as parent:
            scope = rollback_scope(parent)
        lines, attached = scope.lines, min(summary.counts.get(LineStatus.ATTACHED, 0), scope.lines)
        if scope.uncertain:
            print(left_alone(scope), file=sys.stderr)
    if not lines:
        return None  # the next step reports the reason
    now = time.time()
    with Journal.read(of) as parent:
        used = used_in_window(parent.timeline(), summary.period, now)
    print(cost(lines, attached, summary, settings, used=used, now=now), file=sys.stderr)
    if yes:
        return None
    where = target(summary.info.organization, settings.get("base_url", DEFAULT_BASE_URL))
    return confirmed(f"Unassign {counted(lines, 'disk')} {where}?")


def left_alone(scope: RollbackScope) -> str:
    """Return which disks a rollback leaves alone and why, in two sentences."""
    more = counted(scope.uncertain, "more disk")
    lines = ", ".join(str(number) for number in scope.uncertain_lines[:MOST_FAILURES])
    if scope.uncertain > MOST_FAILURES:
        lines += f" and {count(scope.uncertain - MOST_FAILURES)} others"
    noun = "line" if scope.uncertain == 1 else "lines"
    return (
        f"{more} may have been assigned before the run: no preflight had looked, and no response arrived. "
        f"The rollback leaves alone {noun} {lines}"
    )


def cost(
    lines: int, attached: int, summary: RunSummary, settings: ClientSettings, *, used: int, now: float
) -> str:
    """Return what a rollback costs, in one sentence.

    Args:
        lines: Disks to unassign.
        attached: Disks to detach first.
        summary: The summary of the run to roll back.
        settings: The settings of the client.
        used: Requests that the run has sent in the current window.
        now: Unix time in seconds.
    """
    requests = rollback_requests(lines, attached)
    limit = settings.get("total_permitted") or summary.total_permitted
    throughput = Throughput(
        limit=limit,
        remaining=None if limit is None else max(limit - used, 0),
        period=settings.get("rate_window", summary.period),
        max_per_second=settings.get("max_per_second"),
    )
    sentence = f"Rolling back {counted(lines, 'disk')} needs about {counted(requests, 'request')}"
    seconds = seconds_for(requests, throughput, now)
    if seconds is None:
        return f"{sentence}. How long that takes is not known, because the rate limit is not known yet."
    if seconds < 1:  # no wait for the rate limit; how long requests take is not known yet
        return f"{sentence}."
    return f"{sentence}, and ends in about {duration(round(seconds))}, at {clock_time(now + seconds, now)}."
