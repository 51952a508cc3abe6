"""IO profiles: how fast a disk may be."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class IOProfile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How fast a disk may be (`diop_…`). speed_in_mb (MB/s) and iops are None where nothing limits them."""

    id: str
    name: str | UnsetType = UNSET
    permalink: str | UnsetType = UNSET
    speed_in_mb: int | UnsetType | None = UNSET
    iops: int | UnsetType | None = UNSET
