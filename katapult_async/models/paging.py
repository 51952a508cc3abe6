"""The position of a page in a list."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class Pagination(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The position of a page in a list. A large set has no totals: its last page is a short one."""

    current_page: int | UnsetType = UNSET
    total_pages: int | UnsetType | None = UNSET
    total: int | UnsetType | None = UNSET
    per_page: int | UnsetType = UNSET
    large_set: bool | UnsetType = UNSET
