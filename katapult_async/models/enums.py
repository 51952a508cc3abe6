"""The API's enumerations (OpenAPI, `*Enum`). Unknown values are decoded, too.

msgspec calls `_missing_` for an unknown value. The pseudo-member that it returns compares, hashes
and prints like any other member, and has `is_known == False`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on


class Word(str, enum.Enum):
    """A value of one of the API's enumerations."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        # Not registered as a member: a server with endless new values would fill the memory.
        word = str.__new__(cls, value)
        word._name_ = value
        word._value_ = value
        return word

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __str__(self) -> str:
        return str(self.value)

    def __reduce_ex__(self, proto: object) -> tuple[type[Word], tuple[str]]:
        # By value: some 3.11 releases pickle by name, which fails for an unknown value.
        return (type(self), (str(self.value),))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @property
    def is_known(self) -> bool:
        """Whether this version of the SDK knows the value."""
        return self.value in type(self)._value2member_map_


class DiskState(Word):
    """The state of a disk. Only a built disk can be used."""

    NOT_BUILT = "not_built"
    FAILED = "failed"
    BUILT = "built"
    BUILDING = "building"
    INSTALLING = "installing"
    RESTORING = "restoring"
    FORMATTING = "formatting"
    RESIZING = "resizing"
    CONFIGURING = "configuring"
    IMPORTING = "importing"


class AttachmentState(Word):
    """The state of an assignment: whether the disk is attached to its running machine."""

    DETACHED = "detached"
    FAILED = "failed"
    ATTACHED = "attached"
    ATTACHING = "attaching"
    DETACHING = "detaching"


class VirtualMachineState(Word):
    """The state of a machine."""

    STOPPED = "stopped"
    FAILED = "failed"
    STARTED = "started"
    STARTING = "starting"
    ALLOCATED = "allocated"
    ALLOCATING = "allocating"
    RESETTING = "resetting"
    MIGRATING = "migrating"
    STOPPING = "stopping"
    SHUTTING_DOWN = "shutting_down"
    TRANSFERRING = "transferring"
    ORPHANED = "orphaned"


class TaskStatus(Word):
    """The status of a task."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class StorageSpeed(Word):
    """The kind of storage of a disk."""

    NVME = "nvme"
    SSD = "ssd"


class BusType(Word):
    """The bus by which a machine sees a disk."""

    SCSI = "scsi"
    VIRTIO = "virtio"


class FileSystem(Word):
    """The first file system of a new disk."""

    EXT4 = "ext4"
    XFS = "xfs"


class ResizeMethod(Word):
    """Whether a machine may run during a resize of its disk."""

    OFFLINE = "offline"
    ONLINE = "online"
