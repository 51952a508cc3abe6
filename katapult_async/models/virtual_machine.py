"""Virtual machines: the fields that a bulk job needs.

`initial_root_password` stands in every response about a machine. It is not declared here, so it is never kept.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .disk import Disk
from .enums import AttachmentState, VirtualMachineState
from .resources import Zone


class VirtualMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine (`vm_…`). Partial in lists, where `state` is UNSET. created_at is in unix seconds."""

    id: str
    name: str | UnsetType = UNSET
    hostname: str | UnsetType = UNSET
    fqdn: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    created_at: int | UnsetType = UNSET
    state: VirtualMachineState | UnsetType = UNSET
    suspended: bool | UnsetType = UNSET
    cpu_cores: int | UnsetType | None = UNSET
    memory_in_gb: int | UnsetType | None = UNSET
    zone: Zone | UnsetType | None = UNSET
    tag_names: tuple[str, ...] | UnsetType = UNSET


class AttachedDisk(msgspec.Struct, frozen=True, kw_only=True):
    """One of the disks assigned to a machine, as the machine's list of disks shows it."""

    disk: Disk
    attach_on_boot: bool | UnsetType = UNSET
    boot: bool | UnsetType = UNSET
    state: AttachmentState | UnsetType = UNSET
