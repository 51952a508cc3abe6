"""Virtual machines and their parts.

An Organization does not keep its postal address and tax data. Any field of a package, an
organization or an IP address may be null, because no work on disks depends on them.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .data_center import Zone
from .disk import Disk
from .enums import AttachmentState, VirtualMachineState
from .secret import Secret


class Package(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The size of a machine. Lists have only the name."""

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
    """The owner of a machine (`org_…`). created_at and activated_at are Unix seconds."""

    id: str
    name: str | UnsetType | None = UNSET
    sub_domain: str | UnsetType | None = UNSET
    infrastructure_domain: str | UnsetType | None = UNSET
    created_at: int | UnsetType | None = UNSET
    activated_at: int | UnsetType | None = UNSET
    suspended: bool | UnsetType | None = UNSET
    managed: bool | UnsetType | None = UNSET


class IPAddress(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An IP address of a machine (`ip_…`). Lists have only the address."""

    address: str
    id: str | UnsetType | None = UNSET
    address_with_mask: str | UnsetType | None = UNSET
    reverse_dns: str | UnsetType | None = UNSET
    vip: bool | UnsetType | None = UNSET
    label: str | UnsetType | None = UNSET


class VirtualMachineGroup(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A group of machines."""

    id: str
    name: str | UnsetType | None = UNSET
    segregate: bool | UnsetType | None = UNSET


class GPUType(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The type of a machine's graphics processors."""

    id: str
    name: str | UnsetType | None = UNSET
    permalink: str | UnsetType | None = UNSET


class VirtualMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine (`vm_…`). Lists have partial objects without `state`.

    Args:
        created_at: Unix time in seconds.
        initial_root_password: `initial_root_password.reveal()` returns the text.
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
    """An entry of a machine's list of disks."""

    disk: Disk
    attach_on_boot: bool | UnsetType = UNSET
    boot: bool | UnsetType = UNSET
    state: AttachmentState | UnsetType = UNSET
