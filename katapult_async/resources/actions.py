"""The actions that a durable run finds by name. Each resource's module lists its own.

Assigning is not among them: its runs attach, too, and can be rolled back (`katapult_async.jobs`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from katapult_async.bulk import Action

from . import disk_actions, disk_changes, disk_creation, power_actions

#: When an item was first sent by an earlier process, in Unix seconds; None if it never was.
SentAt = Callable[[object], "float | None"]

_KNOWN: dict[str, Action[Any, Any]] = {
    action.name: action
    for module in (disk_actions, disk_changes, power_actions)
    for action in module.DURABLE_ACTIONS
}
#: Their names, as `action_named` takes them.
ACTION_NAMES = (*_KNOWN, disk_creation.NAME)


def action_named(name: str, sent_at: SentAt | None = None) -> Action[Any, Any]:
    """Return the action of this name, for one run.

    Args:
        name: One of `ACTION_NAMES`. A hyphen stands for an underscore.
        sent_at: Tells when an earlier process has sent an item.

    Raises:
        ValueError: If there is no action of this name.
    """
    name = name.replace("-", "_")
    if name == disk_creation.NAME:
        return disk_creation.creating(sent_at)
    try:
        return _KNOWN[name]
    except KeyError:
        raise ValueError(
            f"there is no action {name[:50]!r}: choose one of {', '.join(ACTION_NAMES)}"
        ) from None
