"""The things the emulated cloud is made of, as plain mutable records. No behaviour: tests may set any field."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DataCenter:
    id: str
    name: str
    permalink: str


@dataclass(slots=True)
class IOProfile:
    """speed_in_mb and iops are None for the unrestricted profile."""

    id: str
    name: str
    permalink: str
    speed_in_mb: int | None = None
    iops: int | None = None


@dataclass(slots=True)
class Organization:
    id: str
    name: str
    sub_domain: str


@dataclass(slots=True)
class Trash:
    """What an object in the trash carries. keep_until: unix time."""

    id: str
    keep_until: int
    object_id: str
    object_type: str


@dataclass(slots=True)
class VirtualMachine:
    id: str
    name: str
    hostname: str
    fqdn: str
    data_center: DataCenter
    created_at: int
    state: str = "started"
    initial_root_password: str = "emulated-root-password"  # noqa: S105 - nobody's
    trash: Trash | None = None


@dataclass(slots=True)
class Disk:
    """virtual_machine: id of the machine it is assigned to. attachment: state of that assignment."""

    id: str
    name: str
    size_in_gb: int
    wwn: str
    io_profile: IOProfile
    data_center: DataCenter
    created_at: int
    state: str = "built"
    storage_speed: str = "nvme"
    bus_type: str | None = "scsi"
    virtual_machine: str | None = None
    attach_on_boot: bool = True
    boot: bool = False
    attachment: str = "detached"
    trash: Trash | None = None


@dataclass(slots=True)
class Task:
    """due: server time at which it ends. fails: whether it will end as failed."""

    id: str
    name: str
    action: str
    disk: str
    created_at: float
    due: float
    fails: bool = False
    status: str = "pending"
    argument: object = None
