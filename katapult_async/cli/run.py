"""`run`: the names of actions, and the cost of a run. `assign` has the rest."""

from __future__ import annotations

import sys
import time

from katapult_async.cli.exit_codes import OK, bad_input, refuse
from katapult_async.cli.manifest import open_checked
from katapult_async.cli.options import Screen
from katapult_async.cli.words import clock_time, counted, duration
from katapult_async.client import ClientSettings
from katapult_async.jobs import ManifestError
from katapult_async.jobs.preflight.forecast import Throughput, action_requests, seconds_for
from katapult_async.jobs.report.command_documents import CostDocument
from katapult_async.jobs.report.documents import encode
from katapult_async.resources.actions import action_named


def checked_action(name: str) -> str:
    """Return the name of an action. Exits with 2 if the action is unknown."""
    try:
        return action_named(name).name
    except ValueError as exc:
        refuse(str(exc))


def run_cost(manifest: str, *, action: str, screen: Screen, settings: ClientSettings) -> int:
    """Check a manifest and show what carrying it out costs. Sends nothing.

    Returns:
        The exit code.
    """
    try:
        with open_checked(manifest, action) as opened:
            lines = opened.check().lines
    except ManifestError as exc:
        return bad_input(str(exc))
    requests = action_requests(lines, action)
    throughput = Throughput(
        limit=settings.get("total_permitted"),
        period=settings.get("rate_window", 60.0),
        max_per_second=settings.get("max_per_second"),
    )
    now = time.time()
    seconds = seconds_for(requests, throughput, now)
    if screen.as_json:
        print(encode(CostDocument(action=action, lines=lines, requests=requests, seconds=seconds)))
        return OK
    print(
        f"To {action.replace('_', ' ')} {counted(lines, 'line')} takes at least {counted(requests, 'request')}."
    )
    if seconds is None:
        print(
            "How long that takes is not known, because the rate limit is not known yet (--total-permitted)."
        )
    else:
        at = clock_time(now + seconds, now)
        print(f"The last one is sent in about {duration(round(seconds))}, at {at}.")
    if not screen.quiet:
        print("Nothing was sent.", file=sys.stderr)
    return OK
