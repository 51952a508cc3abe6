"""The API's objects as frozen msgspec structs, in the field's own words.

New fields and new enum values from the server never break decoding. A field that a partial object lacks is
`msgspec.UNSET`, not a guess; null is None.
"""

from __future__ import annotations

from .disk import (
    Attachment,
    Disk,
    DiskInstallation,
    DiskInstallationAttribute,
    DiskTemplate,
    DiskTemplateVersion,
    OperatingSystem,
    VirtualMachineDisk,
    VirtualMachineReference,
)
from .enums import (
    AttachmentState,
    BusType,
    DiskState,
    FileSystem,
    ResizeMethod,
    StorageSpeed,
    TaskStatus,
    VirtualMachineState,
)
from .resources import Annotation, Country, DataCenter, IOProfile, Pagination, Task, TrashObject, Zone
from .virtual_machine import (
    AttachedDisk,
    GPUType,
    IPAddress,
    Organization,
    Package,
    VirtualMachine,
    VirtualMachineGroup,
)

__all__ = [
    "Annotation",
    "AttachedDisk",
    "Attachment",
    "AttachmentState",
    "BusType",
    "Country",
    "DataCenter",
    "Disk",
    "DiskInstallation",
    "DiskInstallationAttribute",
    "DiskState",
    "DiskTemplate",
    "DiskTemplateVersion",
    "FileSystem",
    "GPUType",
    "IOProfile",
    "IPAddress",
    "OperatingSystem",
    "Organization",
    "Package",
    "Pagination",
    "ResizeMethod",
    "StorageSpeed",
    "Task",
    "TaskStatus",
    "TrashObject",
    "VirtualMachine",
    "VirtualMachineDisk",
    "VirtualMachineGroup",
    "VirtualMachineReference",
    "VirtualMachineState",
    "Zone",
]
