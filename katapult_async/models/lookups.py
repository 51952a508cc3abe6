"""How a thing is named in a request: by its id, or by the other name the API knows it by."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

#: What the API names by an ID with this prefix, disks aside.
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
    """Exactly one of these is set."""

    id: str | UnsetType = UNSET
    fqdn: str | UnsetType = UNSET
    sub_domain: str | UnsetType = UNSET
    permalink: str | UnsetType = UNSET

    def query(self, thing: str) -> tuple[str, str]:
        """As a parameter of a query: `disk[id]=disk_…`."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not UNSET:
                return f"{thing}[{name}]", value
        raise ValueError(f"a lookup of {thing} that names nothing")


def disk(disk_id: str) -> Lookup:
    """A disk by its id."""
    return Lookup(id=disk_id)


def virtual_machine(name: str) -> Lookup:
    """A machine by its id if it starts with `vm_`, else by its fully qualified domain name."""
    return Lookup(id=name) if name.startswith("vm_") else Lookup(fqdn=name)


def is_fqdn(name: str) -> bool:
    """Whether a machine is named by its fully qualified domain name, not by its ID."""
    return not name.startswith("vm_")


def not_a_disk(name: str) -> str | None:
    """Return why this cannot be the ID of a disk: its prefix is that of another kind. None if it may be one."""
    if not name.startswith(_PREFIXES):
        return None
    kind = _NOT_DISKS[name[: name.index("_") + 1]]
    return f"{name[:50]} is {kind}, not a disk"


def not_a_machine(name: str) -> str | None:
    """Return why this cannot be the ID or FQDN of a machine: it is the ID of a disk. None if it may be one."""
    if not name.startswith("disk_") or "." in name:
        return None
    return f"{name[:50]} is a disk, not a virtual machine"


def organization(name: str) -> Lookup:
    """An organization by its id if it starts with `org_`, else by its sub-domain."""
    return Lookup(id=name) if name.startswith("org_") else Lookup(sub_domain=name)


def data_center(name: str) -> Lookup:
    """A data centre by its id (`loc_…`, `dc_…`), else by its permalink."""
    return Lookup(id=name) if name.startswith(("loc_", "dc_")) else Lookup(permalink=name)


def io_profile(name: str) -> Lookup:
    """An IO profile by its id (`diop_…`), else by its permalink."""
    return Lookup(id=name) if name.startswith("diop_") else Lookup(permalink=name)


def with_annotations(wanted: Mapping[str, str]) -> list[tuple[str, str]]:
    """What filters a list: only what carries all of these is listed."""
    return [pair for key, value in wanted.items() for pair in ((_KEY, key), (_VALUE, value))]
