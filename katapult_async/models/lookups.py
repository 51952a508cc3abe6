"""Names of objects in requests: an ID, or the other name that the API accepts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

#: The prefixes of IDs other than disk IDs, and their kinds of object.
_NOT_DISKS = {
    "vm_": "a virtual machine",
    "task_": "a task",
    "org_": "an organization",
    "diop_": "a disk IO profile",
    "loc_": "a data center",
    "dc_": "a data center",
    "trsh_": "an object in the trash",
}
_PREFIXES = tuple(_NOT_DISKS)
_KEY, _VALUE = "annotations[][key]", "annotations[][value]"


class Lookup(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A name of an object. Exactly one field is set."""

    id: str | UnsetType = UNSET
    fqdn: str | UnsetType = UNSET
    sub_domain: str | UnsetType = UNSET
    permalink: str | UnsetType = UNSET

    def query(self, thing: str) -> tuple[str, str]:
        """Return the lookup as a query parameter, for example `disk[id]=disk_…`."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not UNSET:
                return f"{thing}[{name}]", value
        raise ValueError(f"a lookup of {thing} that names nothing")


def disk(disk_id: str) -> Lookup:
    """Name a disk by its ID."""
    return Lookup(id=disk_id)


def virtual_machine(name: str) -> Lookup:
    """Name a machine by its ID (`vm_…`), else by its fully qualified domain name."""
    return Lookup(id=name) if name.startswith("vm_") else Lookup(fqdn=name)


def is_fqdn(name: str) -> bool:
    """Return whether this names a machine by its fully qualified domain name, not by its ID."""
    return not name.startswith("vm_")


def not_a_disk(name: str) -> str | None:
    """Return why this is not the ID of a disk, judged by its prefix. None if it can be one."""
    if not name.startswith(_PREFIXES):
        return None
    kind = _NOT_DISKS[name[: name.index("_") + 1]]
    return f"{name[:50]} is {kind}, not a disk"


def not_a_machine(name: str) -> str | None:
    """Return why this is not the name of a machine, judged by its prefix. None if it can be one."""
    if not name.startswith("disk_") or "." in name:
        return None
    return f"{name[:50]} is a disk, not a virtual machine"


def organization(name: str) -> Lookup:
    """Name an organization by its ID (`org_…`), else by its sub-domain."""
    return Lookup(id=name) if name.startswith("org_") else Lookup(sub_domain=name)


def data_center(name: str) -> Lookup:
    """Name a data center by its ID (`loc_…`, `dc_…`), else by its permalink."""
    return Lookup(id=name) if name.startswith(("loc_", "dc_")) else Lookup(permalink=name)


def io_profile(name: str) -> Lookup:
    """Name an IO profile by its ID (`diop_…`), else by its permalink."""
    return Lookup(id=name) if name.startswith("diop_") else Lookup(permalink=name)


def with_annotations(wanted: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the query parameters that filter a list: objects with all of these annotations."""
    return [pair for key, value in wanted.items() for pair in ((_KEY, key), (_VALUE, value))]
