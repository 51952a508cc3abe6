"""The trash: deleted objects that can still be restored."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class TrashObject(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A deleted object that can still be restored (`trsh_…`).

    Args:
        keep_until: Unix time in seconds.
    """

    id: str
    keep_until: int | UnsetType = UNSET
    object_id: str | UnsetType = UNSET
    object_type: str | UnsetType = UNSET
