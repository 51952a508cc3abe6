"""The things the emulated cloud is made of, as plain mutable records. No behaviour: tests may set any field."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Country:
    id: str
    name: str
    iso_code2: str
    iso_code3: str
    time_zone: str
    eu: bool


@dataclass(slots=True)
class DataCenter:
    id: str
    name: str
    permalink: str
    country: Country


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
    uuid: str
    country: Country
    created_at: int


@dataclass(slots=True)
class Trash:
    """What an object in the trash carries. keep_until: unix time."""

    id: str
    keep_until: int
    object_id: str
    object_type: str


@dataclass(slots=True)
class VirtualMachine:
    """annotations: value by key. While it is stopped, its disks are shown as detached."""

    id: str
    name: str
    hostname: str
    fqdn: str
    data_center: DataCenter
    created_at: int
    state: str = "started"
    initial_root_password: str = "emulated-root-password"  # noqa: S105 - nobody's
    annotations: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    trash: Trash | None = None


@dataclass(slots=True)
class Disk:
    """virtual_machine: ID of the machine it is assigned to.

    attachment: state of that assignment while the machine runs. attach_when_built: whether the task
    that builds it attaches it, too. installed: whether an operating system was installed on it.
    annotations: value by key.
    """

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
    attach_when_built: bool = False
    installed: bool = False
    annotations: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    trash: Trash | None = None


@dataclass(slots=True)
class Task:
    """subject: ID of the disk, or of the machine for a power action.

    starts, due: when it leaves the queue, and when it ends. fails: whether it ends as failed.
    """

    id: str
    name: str
    action: str
    subject: str
    created_at: float
    starts: float
    due: float
    fails: bool = False
    status: str = "pending"
    argument: object = None
