"""The preflight and the confirmation before the first change of a run.

Shared by `assign` and `resume`, so that `resume` also asks about a run that was killed before its
confirmation.
"""

from __future__ import annotations

import sys
import time

from katapult_async.cli.execute import make_preflight
from katapult_async.cli.options import Screen
from katapult_async.cli.preflight import show
from katapult_async.cli.questions import confirmed, nobody_to_ask, target
from katapult_async.cli.signals import run_loop
from katapult_async.cli.words import count, counted
from katapult_async.client import ClientSettings
from katapult_async.jobs import LineStatus, Preflight, Run
from katapult_async.transport import DEFAULT_BASE_URL


def can_be_asked(*, yes: bool) -> int | None:
    """Return None if the user can confirm a run, else the exit code, after a message."""
    return None if yes else nobody_to_ask()


def ask_to_continue(
    run: Run, settings: ClientSettings, *, yes: bool, canary: int | None = None
) -> int | None:
    """Ask whether to send the remaining lines of a run, and record the confirmation of all of them.

    Args:
        run: The run.
        settings: The settings of the client.
        yes: Whether the user has confirmed with --yes.
        canary: The number of lines to send first. None for all.

    Returns:
        None to continue, else the exit code.
    """
    code = None if yes else confirmed(_continue(run, settings, canary))
    if code is None and canary is None:
        run.confirm()
    return code


def _continue(run: Run, settings: ClientSettings, canary: int | None) -> str:
    counts = run.summary().counts
    left = counts.get(LineStatus.WAITING, 0) + counts.get(LineStatus.UNKNOWN, 0)
    where = target(run.info.organization, settings.get("base_url", DEFAULT_BASE_URL))
    of = f"of {counted(run.info.lines, 'line')}"
    if canary is not None and canary < left:
        return f"Continue with {count(canary)} {of} first (canary) {where}?"
    return f"Continue with {count(left)} {of} {where}?"


def prepare(
    run: Run,
    token: str,
    settings: ClientSettings,
    *,
    screen: Screen,
    yes: bool,
    canary: int | None = None,
) -> int | None:
    """Make the preflight that a run still needs, show it, ask, and record the confirmation.

    With a canary, nobody has agreed to the other lines yet, so nothing is recorded.

    Args:
        run: The run, of which nothing was sent.
        token: The API token.
        settings: The settings of the client.
        screen: What to show.
        yes: Whether the user has confirmed with --yes.
        canary: The number of lines to send first. None for all.

    Returns:
        None to continue, else the exit code.
    """
    result: Preflight | None = None
    organization, thorough = run.info.organization, run.info.thorough
    if run.needs_preflight and organization is not None:
        found: Preflight | int = run_loop(
            make_preflight(
                lambda client: run.preflight(client, organization, thorough=thorough),
                token,
                settings,
                screen=screen,
            )
        )
        if isinstance(found, int):
            return found
        result = found
        if not screen.quiet:
            out = sys.stderr if screen.as_json else sys.stdout
            show(out, result, period=settings.get("rate_window", 60.0), now=time.time())
    # A new preflight needs a new confirmation.
    if result is None and not run.needs_confirmation:
        return None
    changes_nothing = result is not None and not (result.assign_requests or result.attach)
    if not (yes or changes_nothing):
        base_url = settings.get("base_url", DEFAULT_BASE_URL)
        code = confirmed(question(run, result, base_url, canary=canary))
        if code is not None:
            return code
    if canary is None:
        run.confirm()
    return None


def question(run: Run, preflight: Preflight | None, base_url: str, *, canary: int | None = None) -> str:
    """Return the question before a run.

    Args:
        run: The run.
        preflight: The preflight, or None.
        base_url: The base URL of the API.
        canary: The number of lines to send first. None for all.
    """
    where = target(run.info.organization, base_url)
    if run.info.action is not None:
        what, lines, noun = f"Carry out {run.info.action} for", run.info.lines, "line"
    elif preflight is None:
        what, lines, noun = "Assign", run.info.lines, "disk"
    elif preflight.attach and not preflight.assign_requests:
        what, lines, noun = "Attach", preflight.attach, "disk"
    else:
        what, lines, noun = "Assign", preflight.assign_requests, "disk"
    if canary is not None and canary < lines:
        return f"{what} {count(canary)} of {counted(lines, noun)} first (canary) {where}?"
    attach = preflight.attach if preflight is not None and what == "Assign" else 0
    also = f" and attach {counted(attach, 'disk')}" if attach else ""
    return f"{what} {counted(lines, noun)}{also} {where}?"
