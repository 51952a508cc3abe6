"""`assign` and `run`: make a durable run of a manifest, ask for confirmation, and execute it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

from katapult_async.cli.access import check_host, command_for, token_for
from katapult_async.cli.execute import carry_out, print_json
from katapult_async.cli.exit_codes import OK, SOME_NOT, bad_input
from katapult_async.cli.manifest import open_checked
from katapult_async.cli.options import Screen
from katapult_async.cli.prepare import ask_to_continue, can_be_asked, prepare
from katapult_async.cli.questions import confirmed, target
from katapult_async.cli.settings import Sources
from katapult_async.cli.signals import run_loop
from katapult_async.cli.words import counted
from katapult_async.client import ClientSettings
from katapult_async.jobs import JournalError, LineStatus, Manifest, ManifestError, Run
from katapult_async.jobs.location import Location, location_for
from katapult_async.transport import DEFAULT_BASE_URL


class Wanted(NamedTuple):
    """The options of `assign` or `run`. action: the action of `run`, None for `assign`."""

    yes: bool
    task_timeout: float
    canary: int | None
    max_failures: int | None
    organization: str | None = None
    preflight: bool = True
    thorough: bool = False
    attach: bool = False
    action: str | None = None


def run_assign(
    name: str,
    *,
    run_file: str | None,
    wanted: Wanted,
    screen: Screen,
    settings: ClientSettings,
    sources: Sources,
) -> int:
    """Execute a manifest, or resume its unfinished run.

    Returns:
        The exit code.
    """
    token = token_for(sources, settings)
    try:
        with open_checked(name, wanted.action) as manifest:
            location = location_for(name, manifest.check(), attach=wanted.attach, run=run_file)
            if wanted.preflight and wanted.organization is None and not location.begun:
                return bad_input(
                    "which organization owns the disks? Add --organization, or set KATAPULT_ORGANIZATION. "
                    "--no-preflight assigns without reading the current state"
                )
            run = _open(location, manifest, wanted, settings)
        with run:
            check_host(str(location.path), run.info, settings)
            code = _prepare(run, location, token, settings, wanted, screen)
            if code is not None:
                if not location.begun:
                    run.discard()
                return code
            return _execute(run, token, settings, wanted, screen)
    except (ManifestError, JournalError) as exc:
        return bad_input(str(exc))


def _open(location: Location, manifest: Manifest, wanted: Wanted, settings: ClientSettings) -> Run:
    if location.begun:
        return Run.open(location.path)
    if location.unsent:
        Run.open(location.path).discard()
    return Run.create(
        location.path,
        manifest,
        attach=wanted.attach,
        base_url=settings.get("base_url", DEFAULT_BASE_URL),
        preflight=wanted.preflight,
        thorough=wanted.thorough,
        organization=wanted.organization,
        confirmed=False,
    )


def _prepare(
    run: Run, location: Location, token: str, settings: ClientSettings, wanted: Wanted, screen: Screen
) -> int | None:
    """Make the preflight and ask, if needed. Returns None to continue, else the exit code."""
    unprepared = run.needs_preflight or (run.needs_confirmation and not location.begun)
    asks = unprepared or location.begun or wanted.canary is not None
    code = can_be_asked(yes=wanted.yes) if asks else None
    if code is not None:
        return code
    if not screen.quiet:
        print(_first_line(run, location), file=sys.stderr)
    if unprepared:
        return prepare(run, token, settings, screen=screen, yes=wanted.yes, canary=wanted.canary)
    # Who types `assign` may not expect that a run is under way.
    return ask_to_continue(run, settings, yes=wanted.yes, canary=wanted.canary) if location.begun else None


def _first_line(run: Run, location: Location) -> str:
    if location.begun:
        return f"resuming the unfinished run of this manifest: {location.path}"
    return f"{counted(run.info.lines, 'line')}; the journal of this run is {location.path}"


def _execute(run: Run, token: str, settings: ClientSettings, wanted: Wanted, screen: Screen) -> int:
    """Execute the run, after its first lines alone with --canary."""

    def execute(limit_lines: int | None) -> int:
        return run_loop(
            carry_out(
                run,
                token,
                settings,
                screen=screen,
                task_timeout=wanted.task_timeout,
                limit_lines=limit_lines,
                max_failures=wanted.max_failures,
            )
        )

    if wanted.canary is not None:
        code = _send_canary(run, settings, wanted, execute)
        if code is not None:
            return _end_here(run, code, screen)
    return execute(None)


def _send_canary(
    run: Run, settings: ClientSettings, wanted: Wanted, execute: Callable[[int | None], int]
) -> int | None:
    """Send the first lines, and ask for the others. Returns None to continue, or the exit code."""
    # Until somebody agrees to send all lines, the failures of an earlier canary count, too.
    failed_before = 0 if run.needs_confirmation else _failed(run)
    if not (wanted.yes and _failed(run) > failed_before):
        code = execute(wanted.canary)
        if run.summary().finished:
            run.confirm()
            return code
        if code not in (OK, SOME_NOT):
            return code
    stop = _ask_for_the_rest(run, settings, wanted, failed=_failed(run) - failed_before)
    if stop is None:
        run.confirm()
    else:
        print(f"Resume: {command_for('resume', run.journal.name, run.info.base_url)}", file=sys.stderr)
    return stop


def _failed(run: Run) -> int:
    """Return how many lines failed after a request. Failures of the preflight do not count."""
    problems = run.journal.lines(problems_only=True)
    return sum(1 for line in problems if line.status is not LineStatus.WAITING and line.attempts)


def _end_here(run: Run, code: int, screen: Screen) -> int:
    if screen.as_json:
        print_json(run)
    return code


def _ask_for_the_rest(run: Run, settings: ClientSettings, wanted: Wanted, *, failed: int) -> int | None:
    """Ask whether to send the other lines. Returns None to continue, else the exit code."""
    rest = counted(
        run.summary().counts.get(LineStatus.WAITING, 0), "disk" if wanted.action is None else "line"
    )
    if wanted.yes:
        if failed:
            bad_input(f"{counted(failed, 'line')} of the canary failed. The other {rest} were not sent")
            return SOME_NOT
        return None
    where = target(run.info.organization, settings.get("base_url", DEFAULT_BASE_URL))
    verb = "Assign" if wanted.action is None else f"Carry out {wanted.action} for"
    return confirmed(f"{verb} the other {rest} {where}?", nothing_sent=False)
