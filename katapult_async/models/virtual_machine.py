"""Virtual machines, and what stands in their responses beside them.

The address and the tax data of an organization are not kept. No work on disks depends on the fields
of a package, an organization or an address, so any of them may be null.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .data_center import Zone
from .disk import Disk
from .enums import AttachmentState, VirtualMachineState
from .secret import Secret


class Package(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The size of a machine. In lists it has a name only."""

    id: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    permalink: str | UnsetType | None = UNSET
    cpu_cores: int | UnsetType | None = UNSET
    memory_in_gb: int | UnsetType | None = UNSET
    storage_in_gb: int | UnsetType | None = UNSET
    ipv4_addresses: int | UnsetType | None = UNSET
    monthly_bandwidth_allowance_in_gb: int | UnsetType | None = UNSET
    use_dedicated_cpus: bool | UnsetType | None = UNSET


class Organization(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The owner of a machine (`org_…`). created_at and activated_at are in unix seconds."""

    id: str
    name: str | UnsetType | None = UNSET
    sub_domain: str | UnsetType | None = UNSET
    infrastructure_domain: str | UnsetType | None = UNSET
    created_at: int | UnsetType | None = UNSET
    activated_at: int | UnsetType | None = UNSET
    suspended: bool | UnsetType | None = UNSET
    managed: bool | UnsetType | None = UNSET


class IPAddress(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An address of a machine (`ip_…`). In lists it is the address only."""

    address: str
    id: str | UnsetType | None = UNSET
    address_with_mask: str | UnsetType | None = UNSET
    reverse_dns: str | UnsetType | None = UNSET
    vip: bool | UnsetType | None = UNSET
    label: str | UnsetType | None = UNSET


class VirtualMachineGroup(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Machines that belong together."""

    id: str
    name: str | UnsetType | None = UNSET
    segregate: bool | UnsetType | None = UNSET


class GPUType(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The graphics processors of a machine."""

    id: str
    name: str | UnsetType | None = UNSET
    permalink: str | UnsetType | None = UNSET


class VirtualMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine (`vm_…`). Partial in lists, where `state` is UNSET.

    Args:
        created_at: Unix time in seconds.
        initial_root_password: `initial_root_password.reveal()` gives the text.
    """

    id: str
    name: str | UnsetType = UNSET
    hostname: str | UnsetType = UNSET
    fqdn: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    created_at: int | UnsetType = UNSET
    initial_root_password: Secret | UnsetType | None = UNSET
    state: VirtualMachineState | UnsetType = UNSET
    suspended: bool | UnsetType = UNSET
    cpu_cores: int | UnsetType | None = UNSET
    memory_in_gb: int | UnsetType | None = UNSET
    use_dedicated_cpus: bool | UnsetType | None = UNSET
    zone: Zone | UnsetType | None = UNSET
    organization: Organization | UnsetType | None = UNSET
    package: Package | UnsetType | None = UNSET
    group: VirtualMachineGroup | UnsetType | None = UNSET
    gpu_type: GPUType | UnsetType | None = UNSET
    ip_addresses: tuple[IPAddress, ...] | UnsetType | None = UNSET
    tag_names: tuple[str, ...] | UnsetType = UNSET


class AttachedDisk(msgspec.Struct, frozen=True, kw_only=True):
    """One of the disks assigned to a machine, as the machine's list of disks shows it."""

    disk: Disk
    attach_on_boot: bool | UnsetType = UNSET
    boot: bool | UnsetType = UNSET
    state: AttachmentState | UnsetType = UNSET
