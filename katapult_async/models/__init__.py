"""The API's objects as frozen msgspec structs, with the API's own names.

New fields and enum values never break decoding. A field that a response does not contain is
`msgspec.UNSET`, and null is None. Passwords and tokens are a `Secret`.
"""

from __future__ import annotations

from .annotation import Annotation
from .data_center import Country, DataCenter, Zone
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
from .io_profile import IOProfile
from .paging import Pagination
from .secret import Secret
from .task import Task
from .trash import TrashObject
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
    "Secret",
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
