"""Tables with an entry for each member of an enum. A missing entry is an error on import."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

Member = TypeVar("Member", bound=enum.Enum)
Entry = TypeVar("Entry")


def complete(members: type[Member], table: Mapping[Member, Entry]) -> Mapping[Member, Entry]:
    """Return the table, if it has an entry for each member.

    Raises:
        TypeError: If a member has no entry.
    """
    missing = [str(member) for member in members if member not in table]
    if missing:
        raise TypeError(f"no entry for {', '.join(missing)}: each member of {members.__name__} needs one")
    return table
