"""The records of the emulated cloud. Tests may set any field."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Country:
    """A country of a data center or an organization."""

    id: str
    name: str
    iso_code2: str
    iso_code3: str
    time_zone: str
    eu: bool


@dataclass(slots=True)
class DataCenter:
    """A data center."""

    id: str
    name: str
    permalink: str
    country: Country


@dataclass(slots=True)
class IOProfile:
    """An IO profile. `speed_in_mb` and `iops` are None for no limit."""

    id: str
    name: str
    permalink: str
    speed_in_mb: int | None = None
    iops: int | None = None


@dataclass(slots=True)
class Organization:
    """An organization."""

    id: str
    name: str
    sub_domain: str
    uuid: str
    country: Country
    created_at: int


@dataclass(slots=True)
class Trash:
    """An object in the trash. `keep_until` is Unix seconds."""

    id: str
    keep_until: int
    object_id: str
    object_type: str


@dataclass(slots=True)
class VirtualMachine:
    """A virtual machine. Its annotations are values by key."""

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
    """A disk.

    Args:
        virtual_machine: ID of the machine that the disk is assigned to.
        attachment: State of the assignment while the machine runs.
        attach_when_built: Whether the task that builds the disk also attaches it.
        installed: Whether the disk has an operating system.
        annotations: Values by key.
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
    """A task.

    Args:
        subject: ID of the disk, or of the machine for a power action.
        starts: Time when the task leaves the queue.
        due: Time when the task ends.
        fails: Whether the task fails.
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
