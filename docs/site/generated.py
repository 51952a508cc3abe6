"""The parts of the pages that are generated: `<!-- generated: commands -->` and similar markers."""

from __future__ import annotations

import re
from collections.abc import Callable

from docs.site.actions import actions, findings, line_statuses, run_states
from docs.site.commands import commands
from docs.site.errors import error_codes, other_errors
from docs.site.events import events, metrics
from docs.site.measured import asynclimiter
from docs.site.schemas import schemas
from docs.site.settings import settings

PARTS: dict[str, Callable[[], str]] = {
    "actions": actions,
    "asynclimiter": asynclimiter,
    "commands": commands,
    "error-codes": error_codes,
    "events": events,
    "findings": findings,
    "line-statuses": line_statuses,
    "metrics": metrics,
    "other-errors": other_errors,
    "run-states": run_states,
    "schemas": schemas,
    "settings": settings,
}
_MARKER = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)


def filled(page: str) -> str:
    """Return a page with its markers replaced.

    Raises:
        KeyError: A marker has an unknown name.
    """
    return _MARKER.sub(lambda marker: PARTS[marker[1]](), page)


def markers(page: str) -> set[str]:
    """Return the names of the markers of a page."""
    return set(_MARKER.findall(page))
