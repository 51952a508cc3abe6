"""The bodies of requests. A field that is UNSET is not sent. The API checks the values."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .annotation import Annotation
from .enums import BusType, FileSystem, ResizeMethod, StorageSpeed
from .lookups import Lookup


class AssignDisk(msgspec.Struct, frozen=True, gc=False):
    """Assigns a disk to a machine."""

    disk: Lookup
    virtual_machine: Lookup


class NameDisk(msgspec.Struct, frozen=True, gc=False):
    """For requests that need only the disk."""

    disk: Lookup


class NameVirtualMachine(msgspec.Struct, frozen=True, gc=False):
    """For requests that need only the machine."""

    virtual_machine: Lookup


class ResizeDisk(msgspec.Struct, frozen=True, gc=False):
    disk: Lookup
    size_in_gb: int
    resize_method: ResizeMethod | UnsetType = UNSET


class ChangeIOProfile(msgspec.Struct, frozen=True, gc=False):
    disk: Lookup
    io_profile: Lookup


class VirtualMachineDiskArguments(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The assignment in the properties of a disk."""

    virtual_machine: Lookup | UnsetType = UNSET
    attach_on_boot: bool | UnsetType = UNSET
    attach: bool | UnsetType = UNSET
    boot: bool | UnsetType = UNSET


class DiskArguments(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The properties of a disk that is created or updated."""

    name: str | UnsetType = UNSET
    data_center: Lookup | UnsetType = UNSET
    size_in_gb: int | UnsetType = UNSET
    io_profile: Lookup | UnsetType = UNSET
    bus_type: BusType | UnsetType = UNSET
    storage_speed: StorageSpeed | UnsetType = UNSET
    initial_file_system: FileSystem | UnsetType = UNSET
    virtual_machine_disk: VirtualMachineDiskArguments | UnsetType = UNSET


class UpdateDisk(msgspec.Struct, frozen=True):
    disk: Lookup
    properties: DiskArguments
    annotations: tuple[Annotation, ...] | UnsetType = UNSET


class CreateDisk(msgspec.Struct, frozen=True):
    organization: Lookup
    properties: DiskArguments
    annotations: tuple[Annotation, ...] | UnsetType = UNSET
