"""The tables of the actions, of line statuses and of run states, from the code."""

from __future__ import annotations

import enum
import inspect
import re

from docs.site.markdown import cell, code, table
from katapult_async.jobs import Finding, LineStatus, RunState
from katapult_async.jobs.manifest.item_rows import ItemRows
from katapult_async.resources.actions import ACTION_NAMES, action_named


def actions() -> str:
    """Return a row for each action of `katapult-async run`, with its columns and their class."""
    rows: list[tuple[str, str, str, str]] = []
    for name in ACTION_NAMES:
        columns = ItemRows(name).columns
        optional = [column for column in columns.all if column not in columns.required]
        item = f"{{py:class}}`~katapult_async.resources.{item_of(name).__name__}`"
        rows.append((code(name), _codes(columns.required), _codes(optional), item))
    return table(("action", "required columns", "optional columns", "fields explained in"), rows)


def item_of(action: str) -> type[object]:
    """Return the class of the items of an action of `katapult-async run`."""
    item: type[object] = action_named(action).item
    return item


def line_statuses() -> str:
    """Return a row for each status of a line."""
    return table(("status", "meaning"), _members(LineStatus, _STATUSES))


def run_states() -> str:
    """Return a row for each state of a run."""
    return table(("state", "meaning"), _members(RunState, _STATES))


def findings() -> str:
    """Return a row for each finding of a preflight."""
    return table(("finding", "meaning"), _members(Finding, _FINDINGS))


#: Members whose comment does not say it all, or that have none.
_STATUSES = {
    "assigned": "Assigned by this run.",
    "already_assigned": "Assigned before this run.",
    "already_unassigned": "In a rollback: the disk was on no machine.",
    "failed": "Not done. `code` and `detail` have the reason.",
}
_STATES = {"rolled_back": "The rollback of the run is finished."}
_FINDINGS = {
    "to_assign": "The run will assign the disk.",
    "already_there": "The disk is on the machine.",
    "disk_not_found": "The disk does not exist, or the token has no access to it.",
    "virtual_machine_not_found": "The machine does not exist, or the token has no access to it.",
    "in_trash": "The disk or the machine is in the trash.",
    "data_centers_differ": "The disk and the machine are in different data centers (`--thorough`).",
}


def _members(kind: type[enum.Enum], texts: dict[str, str]) -> list[tuple[str, str]]:
    """Return the value and the meaning of each member: given here, or its `#:` comment."""
    comments = {
        name: " ".join(line.strip()[2:].strip() for line in comment.splitlines())
        for comment, name in re.findall(r"((?:^ +#: .*\n)+) +(\w+) = ", inspect.getsource(kind), re.MULTILINE)
    }
    return [
        (code(str(member.value)), cell(texts.get(str(member.value)) or comments[name]))
        for name, member in kind.__members__.items()
    ]


def _codes(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(code(name) for name in names)
