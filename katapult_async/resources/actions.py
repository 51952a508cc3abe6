"""The actions that a durable run finds by name. Each resource's module lists its own.

`assign` is not one of them. Its runs can also attach and be rolled back (`katapult_async.jobs`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from katapult_async.bulk import Action

from . import disk_actions, disk_changes, disk_creation, power_actions

#: Takes an item. Returns the time when an earlier process first sent it, in Unix seconds, or None.
SentAt = Callable[[object], "float | None"]


def by_name(actions: Iterable[Action[Any, Any]]) -> dict[str, Action[Any, Any]]:
    """Return the actions by name. Raises ValueError if two actions have the same name."""
    found: dict[str, Action[Any, Any]] = {}
    for action in actions:
        if action.name in found:
            raise ValueError(f"two actions have the name {action.name}: choose another for one of them")
        found[action.name] = action
    return found


_MODULES = (disk_actions, disk_changes, power_actions)
_KNOWN = by_name(
    [
        *(action for module in _MODULES for action in module.DURABLE_ACTIONS),
        disk_creation.creating(None),  # `action_named` creates a new one for each run
    ]
)
#: The names that `action_named` accepts.
ACTION_NAMES = tuple(_KNOWN)


def action_named(name: str, sent_at: SentAt | None = None) -> Action[Any, Any]:
    """Return the action of this name, for one run.

    Args:
        name: One of `ACTION_NAMES`. A hyphen stands for an underscore.
        sent_at: Returns the time when an earlier process first sent an item. Only `create` uses it.

    Returns:
        The action.

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
