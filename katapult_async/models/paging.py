"""Where a page of a list stands."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class Pagination(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a page stands. On a large set the totals are None: page until a page comes back short."""

    current_page: int | UnsetType = UNSET
    total_pages: int | UnsetType | None = UNSET
    total: int | UnsetType | None = UNSET
    per_page: int | UnsetType = UNSET
    large_set: bool | UnsetType = UNSET
