"""Disks and their parts, as documented at `POST /disks/disk/assign`. Lists have partial objects."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .data_center import DataCenter
from .enums import AttachmentState, BusType, DiskState, StorageSpeed
from .io_profile import IOProfile
from .secret import Secret


class Attachment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file: the badge of an operating system.

    Args:
        file_size: Size in bytes.
        token: Gives access to the file.
    """

    url: str | UnsetType = UNSET
    file_name: str | UnsetType = UNSET
    file_type: str | UnsetType = UNSET
    file_size: int | UnsetType = UNSET
    digest: str | UnsetType = UNSET
    token: Secret | UnsetType | None = UNSET


class OperatingSystem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An operating system that a template installs."""

    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    badge: Attachment | UnsetType | None = UNSET


class DiskTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A template for the content of a disk."""

    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    permalink: str | UnsetType = UNSET
    universal: bool | UnsetType = UNSET
    size_in_gb: int | UnsetType | None = UNSET
    latest_version: DiskTemplateVersion | UnsetType | None = UNSET
    operating_system: OperatingSystem | UnsetType | None = UNSET


class DiskTemplateVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a template."""

    id: str | UnsetType = UNSET
    number: int | UnsetType = UNSET
    stable: bool | UnsetType = UNSET
    size_in_gb: int | UnsetType = UNSET
    disk_template: DiskTemplate | UnsetType = UNSET


class DiskInstallationAttribute(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A setting of an installation.

    Args:
        value: `value.reveal()` returns the text, which may be the machine's root password.
        protect: Whether the API treats the value as a secret.
    """

    key: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    value: Secret | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    protect: bool | UnsetType = UNSET


class DiskInstallation(msgspec.Struct, frozen=True, kw_only=True):
    """The installation of an operating system on a disk."""

    id: str
    disk_template_version: DiskTemplateVersion | UnsetType | None = UNSET
    attributes: tuple[DiskInstallationAttribute, ...] | UnsetType = UNSET


class VirtualMachineReference(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The ID and FQDN of a machine."""

    id: str
    fqdn: str | UnsetType = UNSET


class VirtualMachineDisk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The assignment of a disk to a machine."""

    virtual_machine: VirtualMachineReference
    attach_on_boot: bool | UnsetType = UNSET
    boot: bool | UnsetType = UNSET
    state: AttachmentState | UnsetType = UNSET


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk (`disk_…`).

    Args:
        created_at: Unix time in seconds.
        virtual_machine_disk: The assignment. None if the disk is on no machine.
    """

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
