"""Annotations: keys and values on disks and machines."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class Annotation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A key and a value on a disk or a machine (OpenAPI: KeyValue)."""

    key: str
    value: str | UnsetType | None = UNSET
