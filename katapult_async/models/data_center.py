"""Data centers, their zones and their countries."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class Country(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The country of a data center."""

    id: str
    name: str | UnsetType = UNSET
    iso_code2: str | UnsetType = UNSET
    iso_code3: str | UnsetType = UNSET
    time_zone: str | UnsetType | None = UNSET
    eu: bool | UnsetType = UNSET


class DataCenter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A data center (`loc_…` or `dc_…`)."""

    id: str
    name: str | UnsetType = UNSET
    permalink: str | UnsetType = UNSET
    country: Country | UnsetType | None = UNSET


class Zone(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A zone of a data center."""

    id: str
    name: str | UnsetType = UNSET
    permalink: str | UnsetType | None = UNSET
    data_center: DataCenter | UnsetType = UNSET
