"""IO profiles: speed limits of disks."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class IOProfile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The speed limits of a disk (`diop_…`).

    Args:
        speed_in_mb: In MB/s. None for no limit.
        iops: IO operations per second. None for no limit.
    """

    id: str
    name: str | UnsetType = UNSET
    permalink: str | UnsetType = UNSET
    speed_in_mb: int | UnsetType | None = UNSET
    iops: int | UnsetType | None = UNSET
