"""What comes before the first change of a run: the preflight it was made with, and the question.

`assign` and `resume` share it, so that a run that was killed before anybody agreed to it is looked at and asked about
when it is resumed.
"""

from __future__ import annotations

import sys
import time

from katapult_async.cli.execute import look
from katapult_async.cli.options import Screen
from katapult_async.cli.preflight import show
from katapult_async.cli.questions import confirmed, nobody_to_ask, target
from katapult_async.cli.signals import run_loop
from katapult_async.cli.words import counted
from katapult_async.client import ClientSettings
from katapult_async.jobs import Preflight, Run
from katapult_async.transport import DEFAULT_BASE_URL


def can_be_asked(*, yes: bool) -> int | None:
    """Return None if the question before a run can be answered, else the exit code, after saying why not."""
    return None if yes else nobody_to_ask()


def prepare(run: Run, token: str, settings: ClientSettings, *, screen: Screen, yes: bool) -> int | None:
    """Make the preflight that a run still needs, show it, ask, and record that the user has agreed.

    Args:
        run: The run. Nothing of it has been sent.
        token: The API token.
        settings: Of the client.
        screen: What to show.
        yes: Whether the user has agreed already.

    Returns:
        None to go on, else the exit code.
    """
    result: Preflight | None = None
    organization, thorough = run.info.organization, run.info.thorough
    if run.needs_preflight and organization is not None:
        found: Preflight | int = run_loop(
            look(
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
    # An agreement to what an older preflight had shown is asked for again.
    if result is None and not run.needs_confirmation:
        return None
    changes_nothing = result is not None and not (result.assign_requests or result.attach)
    if not (yes or changes_nothing):
        base_url = settings.get("base_url", DEFAULT_BASE_URL)
        code = confirmed(question(run, result, base_url))
        if code is not None:
            return code
    run.confirm()
    return None


def question(run: Run, preflight: Preflight | None, base_url: str) -> str:
    """Return what the user is asked before a run.

    Args:
        run: The run.
        preflight: What has been found. None without a preflight.
        base_url: Where the changes go.
    """
    where = target(run.info.organization, base_url)
    if run.info.action is not None:
        return f"Carry out {run.info.action} for {counted(run.info.lines, 'line')} {where}?"
    if preflight is None:
        what = f"Assign {counted(run.info.lines, 'disk')}"
    elif not preflight.attach:
        what = f"Assign {counted(preflight.assign_requests, 'disk')}"
    elif not preflight.assign_requests:
        what = f"Attach {counted(preflight.attach, 'disk')}"
    else:
        what = f"Assign {counted(preflight.assign_requests, 'disk')} and attach {counted(preflight.attach, 'disk')}"
    return f"{what} {where}?"
