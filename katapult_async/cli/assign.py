"""`assign PLAN`: the plan is checked whole, then carried out."""

from __future__ import annotations

import os
import sys

from katapult_async import Assignment, Client
from katapult_async.cli.bulk import bad_input, carry_out, run_loop
from katapult_async.client import Settings
from katapult_async.jobs import Manifest, ManifestError


def run_assign(plan: str, *, as_json: bool, settings: Settings) -> int:
    """Carry out the plan; the exit code."""
    token = os.environ.get("KATAPULT_API_KEY", "")
    if not token:
        return bad_input("the environment variable KATAPULT_API_KEY is not set: put the API token there")
    try:
        Client(token, **settings)  # complains about token and base URL before the plan is read
    except ValueError as exc:
        return bad_input(str(exc))
    try:
        # There is no sys.stdin at all when it was closed (`<&-`).
        with Manifest.open(plan, stdin=sys.stdin.buffer if sys.stdin is not None else None) as manifest:
            lines = _checked(manifest)
            items = (Assignment(line.disk, line.virtual_machine) for line in manifest)
            return run_loop(carry_out(token, items, lines, as_json=as_json, settings=settings))
    except ManifestError as exc:
        return bad_input(str(exc))


def _checked(manifest: Manifest) -> int:
    """How many items there are. Raises ManifestError after saying what is wrong with which line."""
    check = manifest.check()
    if check.ok:
        return check.lines
    for complaint in check.complaints:
        print(complaint, file=sys.stderr)
    more = check.complaint_count - len(check.complaints)
    if more > 0:
        print(f"and {more} more", file=sys.stderr)
    raise ManifestError("nothing was sent: mend the plan and run it again")
