"""The API's enumerations (OpenAPI, `*Enum`). A word the server learns later decodes, too, and is kept.

msgspec calls `_missing_` for a word it does not know; the pseudo-member made there compares, hashes and prints like
any other member, and says `is_known == False`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on


class Word(str, enum.Enum):
    """A word of the server's own vocabulary."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        # Not registered as a member: a server that made up words could otherwise fill the memory.
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
        # By value: some 3.11 releases pickle members by name, and an unknown word is not an attribute of its class.
        return (type(self), (str(self.value),))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @property
    def is_known(self) -> bool:
        """Whether this version of the SDK knows the word."""
        return self.value in type(self)._value2member_map_


class DiskState(Word):
    """What a disk is going through; only a built one can be used."""

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
    """Whether a disk is attached to its running machine."""

    DETACHED = "detached"
    FAILED = "failed"
    ATTACHED = "attached"
    ATTACHING = "attaching"
    DETACHING = "detaching"


class VirtualMachineState(Word):
    """What a machine is doing."""

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
    """How far a task is."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class StorageSpeed(Word):
    NVME = "nvme"
    SSD = "ssd"


class BusType(Word):
    SCSI = "scsi"
    VIRTIO = "virtio"


class FileSystem(Word):
    EXT4 = "ext4"
    XFS = "xfs"


class ResizeMethod(Word):
    OFFLINE = "offline"
    ONLINE = "online"
