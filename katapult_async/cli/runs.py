"""`resume` and `rollback`: what is done with a run that has a journal."""

from __future__ import annotations

import sys

from katapult_async.cli.assign import confirmed, token_or_reason
from katapult_async.cli.bulk import bad_input, carry_out, run_loop
from katapult_async.client import Settings
from katapult_async.jobs import Journal, JournalError, Run, to_take_back
from katapult_async.jobs.place import Place, place_for_rollback


def run_resume(
    run_file: str, *, retry_failed: bool, task_timeout: float, as_json: bool, settings: Settings
) -> int:
    """Go on with a run; the exit code."""
    token, reason = token_or_reason(settings)
    if reason:
        return bad_input(reason)
    try:
        with Run.open(run_file) as run:
            if retry_failed:
                print(f"{_lines(run.retry_failed())} that failed: tried again now", file=sys.stderr)
            return _execute(run, token, settings, task_timeout=task_timeout, as_json=as_json)
    except JournalError as exc:
        return bad_input(str(exc))


def run_rollback(
    of: str, *, run_file: str | None, yes: bool, task_timeout: float, as_json: bool, settings: Settings
) -> int:
    """Take a run back, or go on with that; the exit code."""
    token, reason = token_or_reason(settings)
    if reason:
        return bad_input(reason)
    try:
        place = place_for_rollback(of, run=run_file)
        if not place.begun or place.failed:
            code = _ask_to_take_back(of, place, yes=yes)
            if code is not None:
                return code
        if place.unsent:
            Run.open(place.path).discard()
        with Run.open(place.path) if place.begun else Run.roll_back(of, place.path) as run:
            if place.failed:
                run.retry_failed()
            print(f"the journal of taking back {of} is {place.path}", file=sys.stderr)
            return _execute(run, token, settings, task_timeout=task_timeout, as_json=as_json)
    except JournalError as exc:
        return bad_input(str(exc))


def _ask_to_take_back(of: str, place: Place, *, yes: bool) -> int | None:
    """Say what will be done, and ask; None to go on."""
    if place.failed:
        count = place.failed
        print(f"{_lines(count)} of {of} could not be taken back: tried again now", file=sys.stderr)
    else:
        with Journal.read(of) as parent:
            found = to_take_back(parent)
        count = found.lines
        print(f"{_lines(count)} of {of} to take back", file=sys.stderr)
        if found.uncertain:
            print(
                f"{found.uncertain} more may have been on their machines before the run (their requests were never "
                "answered, and no preflight had looked): they are left alone",
                file=sys.stderr,
            )
    if yes or not count:
        return None
    disks = "1 disk from its virtual machine" if count == 1 else f"{count} disks from their virtual machines"
    return confirmed(f"Take {disks}?")


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _execute(run: Run, token: str, settings: Settings, *, task_timeout: float, as_json: bool) -> int:
    # A run knows its installation; what is named on the command line must be the same one.
    if run.info.base_url is not None:
        settings.setdefault("base_url", run.info.base_url)
    return run_loop(carry_out(run, token, settings, as_json=as_json, task_timeout=task_timeout))
