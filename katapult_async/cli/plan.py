"""`plan` and `assign --dry-run`: check a manifest and make a preflight. Changes nothing."""

from __future__ import annotations

import sys
import time

from katapult_async.cli.access import token_for
from katapult_async.cli.execute import make_preflight
from katapult_async.cli.exit_codes import OK, SOME_NOT, bad_input
from katapult_async.cli.manifest import open_checked
from katapult_async.cli.options import Screen
from katapult_async.cli.preflight import as_json, show
from katapult_async.cli.settings import Sources
from katapult_async.cli.signals import run_loop
from katapult_async.client import ClientSettings
from katapult_async.jobs import ManifestError, Preflight, preview


def run_plan(
    name: str,
    *,
    organization: str | None,
    attach: bool,
    thorough: bool,
    screen: Screen,
    settings: ClientSettings,
    sources: Sources,
) -> int:
    """Show what a run of a manifest would find and cost.

    Returns:
        The exit code.
    """
    token = token_for(sources, settings)
    if organization is None:
        return bad_input(
            "which organization owns the disks? Add --organization, or set KATAPULT_ORGANIZATION"
        )
    try:
        with open_checked(name) as manifest:
            result: Preflight | int = run_loop(
                make_preflight(
                    lambda client: preview(client, manifest, organization, attach=attach, thorough=thorough),
                    token,
                    settings,
                    screen=screen,
                )
            )
    except ManifestError as exc:
        return bad_input(str(exc))
    if isinstance(result, int):
        return result
    if screen.as_json:
        print(as_json(result), flush=True)
    else:
        show(sys.stdout, result, period=settings.get("rate_window", 60.0), now=time.time())
    impossible = sum(number for found, number in result.counts.items() if found.is_impossible)
    return SOME_NOT if impossible else OK
