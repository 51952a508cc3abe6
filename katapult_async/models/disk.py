"""Disks, as on the page of `POST /disks/disk/assign`, down to the badge of the operating system installed on them.

In lists the object is partial: what is not there is UNSET, what the API says is null is None.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .data_center import DataCenter
from .enums import AttachmentState, BusType, DiskState, StorageSpeed
from .io_profile import IOProfile
from .secret import Secret


class Attachment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file, here the badge of an operating system.

    Args:
        file_size: In bytes.
        token: Gives access to the file.
    """

    url: str | UnsetType = UNSET
    file_name: str | UnsetType = UNSET
    file_type: str | UnsetType = UNSET
    file_size: int | UnsetType = UNSET
    digest: str | UnsetType = UNSET
    token: Secret | UnsetType | None = UNSET


class OperatingSystem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    badge: Attachment | UnsetType | None = UNSET


class DiskTemplate(msgspec.Struct, frozen=True, kw_only=True):
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    permalink: str | UnsetType = UNSET
    universal: bool | UnsetType = UNSET
    size_in_gb: int | UnsetType | None = UNSET
    latest_version: DiskTemplateVersion | UnsetType | None = UNSET
    operating_system: OperatingSystem | UnsetType | None = UNSET


class DiskTemplateVersion(msgspec.Struct, frozen=True, kw_only=True):
    id: str | UnsetType = UNSET
    number: int | UnsetType = UNSET
    stable: bool | UnsetType = UNSET
    size_in_gb: int | UnsetType = UNSET
    disk_template: DiskTemplate | UnsetType = UNSET


class DiskInstallationAttribute(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A setting of an installation.

    Args:
        value: It may be the root password of the machine, so `value.reveal()` gives the text.
        protect: Whether the API itself treats the value as a secret.
    """

    key: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    value: Secret | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    protect: bool | UnsetType = UNSET


class DiskInstallation(msgspec.Struct, frozen=True, kw_only=True):
    """The operating system that was installed on a disk."""

    id: str
    disk_template_version: DiskTemplateVersion | UnsetType | None = UNSET
    attributes: tuple[DiskInstallationAttribute, ...] | UnsetType = UNSET


class VirtualMachineReference(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Names a machine."""

    id: str
    fqdn: str | UnsetType = UNSET


class VirtualMachineDisk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The bond between a disk and the one machine it is assigned to."""

    virtual_machine: VirtualMachineReference
    attach_on_boot: bool | UnsetType = UNSET
    boot: bool | UnsetType = UNSET
    state: AttachmentState | UnsetType = UNSET


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk (`disk_…`). created_at is in unix seconds. virtual_machine_disk is None while it is not assigned."""

    id: str
    name: str | UnsetType = UNSET
    size_in_gb: int | UnsetType = UNSET
    wwn: str | UnsetType = UNSET
    state: DiskState | UnsetType = UNSET
    created_at: int | UnsetType = UNSET
    storage_speed: StorageSpeed | UnsetType = UNSET
    io_profile: IOProfile | UnsetType | None = UNSET
    bus_type: BusType | UnsetType | None = UNSET
    data_center: DataCenter | UnsetType = UNSET
    virtual_machine_disk: VirtualMachineDisk | UnsetType | None = UNSET
    installation: DiskInstallation | UnsetType | None = UNSET
