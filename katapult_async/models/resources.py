"""Small things that several resources refer to: places, profiles, tasks, trash, pages."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .enums import TaskStatus


class Country(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    id: str
    name: str | UnsetType = UNSET
    iso_code2: str | UnsetType = UNSET
    iso_code3: str | UnsetType = UNSET
    time_zone: str | UnsetType | None = UNSET
    eu: bool | UnsetType = UNSET


class DataCenter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a disk or a machine is: `loc_…` or `dc_…`."""

    id: str
    name: str | UnsetType = UNSET
    permalink: str | UnsetType = UNSET
    country: Country | UnsetType | None = UNSET


class Zone(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part of a data centre."""

    id: str
    name: str | UnsetType = UNSET
    permalink: str | UnsetType | None = UNSET
    data_center: DataCenter | UnsetType = UNSET


class IOProfile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How fast a disk may be (`diop_…`). speed_in_mb (MB/s) and iops are None where nothing limits them."""

    id: str
    name: str | UnsetType = UNSET
    permalink: str | UnsetType = UNSET
    speed_in_mb: int | UnsetType | None = UNSET
    iops: int | UnsetType | None = UNSET


class Task(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Work the platform does in the background (`task_…`). Times are unix seconds, progress is a percentage."""

    id: str
    name: str | UnsetType = UNSET
    status: TaskStatus | UnsetType = UNSET
    created_at: int | UnsetType = UNSET
    started_at: int | UnsetType | None = UNSET
    finished_at: int | UnsetType | None = UNSET
    progress: int | UnsetType = UNSET


class TrashObject(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something deleted that can still be restored (`trsh_…`) until keep_until (unix seconds)."""

    id: str
    keep_until: int | UnsetType = UNSET
    object_id: str | UnsetType = UNSET
    object_type: str | UnsetType = UNSET


class Annotation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A key and a value that the caller has put on something (OpenAPI: KeyValue)."""

    key: str
    value: str | UnsetType | None = UNSET


class Pagination(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a page stands. On a large set the totals are None: page until a page comes back short."""

    current_page: int | UnsetType = UNSET
    total_pages: int | UnsetType | None = UNSET
    total: int | UnsetType | None = UNSET
    per_page: int | UnsetType = UNSET
    large_set: bool | UnsetType = UNSET
