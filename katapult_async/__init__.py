"""Async client for bulk operations on the Katapult cloud API.

    from katapult_async import Assignment, Client

    async with Client.from_env() as client:
        report = await client.disks.assign_many(Assignment(disk, machine) for disk, machine in pairs)
        report.raise_for_failures()

The way of one assignment through the package: client -> resources.disks -> bulk -> ratelimit.gate -> transport
-> models -> bulk.Outcome. A module imports from those before it only (see the order in `tests/test_layers.py`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

#: The one place where the version stands; the build reads it from here.
__version__ = "0.1.0"

if TYPE_CHECKING:
    from .bulk import (
        Action,
        Assignment,
        BulkError,
        BulkReport,
        Contradiction,
        Outcome,
        Outcomes,
        OutcomeStatus,
        ReadBack,
        Recorder,
        Start,
        Words,
        read_with,
        send_with,
    )
    from .client import Client
    from .errors import (
        APIError,
        AssignmentConflict,
        AuthenticationError,
        ConnectError,
        ConnectionLost,
        ConnectTimeout,
        Execution,
        InvalidRequest,
        KatapultError,
        NetworkNotAuthorized,
        NoAnswer,
        NotFound,
        ObjectInTrash,
        OrganizationUnavailable,
        PermissionDenied,
        ProtocolError,
        RateLimitReached,
        RequestTimeout,
        ScopeNotGranted,
        ServerError,
        ServiceUnavailable,
        TaskFailed,
        TaskQueueingError,
        TaskTimeout,
        TransportError,
        UnableToAssign,
        UnableToUnassign,
        UnassignedDisk,
        ValidationError,
    )
    from .models import (
        AttachedDisk,
        AttachmentState,
        BusType,
        DataCenter,
        Disk,
        DiskState,
        FileSystem,
        IOProfile,
        ResizeMethod,
        StorageSpeed,
        Task,
        TaskStatus,
        TrashObject,
        VirtualMachine,
        VirtualMachineDisk,
        VirtualMachineReference,
        VirtualMachineState,
    )
    from .observer import (
        Observer,
        Observers,
        OutcomeEvent,
        RequestEvent,
        RetryEvent,
        StepEvent,
        WaitEvent,
    )
    from .ratelimit import Priority
    from .resources import DiskUpdate, IOProfileChange, Machine, NewDisk, Resize
    from .transport import Operation, RetryPolicy, SessionPool, Timeout

__all__ = [
    "APIError",
    "Action",
    "Assignment",
    "AssignmentConflict",
    "AttachedDisk",
    "AttachmentState",
    "AuthenticationError",
    "BulkError",
    "BulkReport",
    "BusType",
    "Client",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "Contradiction",
    "DataCenter",
    "Disk",
    "DiskState",
    "DiskUpdate",
    "Execution",
    "FileSystem",
    "IOProfile",
    "IOProfileChange",
    "InvalidRequest",
    "KatapultError",
    "Machine",
    "NetworkNotAuthorized",
    "NewDisk",
    "NoAnswer",
    "NotFound",
    "ObjectInTrash",
    "Observer",
    "Observers",
    "Operation",
    "OrganizationUnavailable",
    "Outcome",
    "OutcomeEvent",
    "OutcomeStatus",
    "Outcomes",
    "PermissionDenied",
    "Priority",
    "ProtocolError",
    "RateLimitReached",
    "ReadBack",
    "Recorder",
    "RequestEvent",
    "RequestTimeout",
    "Resize",
    "ResizeMethod",
    "RetryEvent",
    "RetryPolicy",
    "ScopeNotGranted",
    "ServerError",
    "ServiceUnavailable",
    "SessionPool",
    "Start",
    "StepEvent",
    "StorageSpeed",
    "Task",
    "TaskFailed",
    "TaskQueueingError",
    "TaskStatus",
    "TaskTimeout",
    "Timeout",
    "TransportError",
    "TrashObject",
    "UnableToAssign",
    "UnableToUnassign",
    "UnassignedDisk",
    "ValidationError",
    "VirtualMachine",
    "VirtualMachineDisk",
    "VirtualMachineReference",
    "VirtualMachineState",
    "WaitEvent",
    "Words",
    "__version__",
    "read_with",
    "send_with",
]

# Imported when first asked for: the command line answers --help without loading an HTTP client.
_PACKAGES = ("client", "resources", "bulk", "transport", "ratelimit", "observer", "errors", "models")


def __getattr__(name: str) -> object:
    if name in __all__:
        for package in reversed(_PACKAGES):
            module = import_module(f".{package}", __name__)
            if name in getattr(module, "__all__", ()) or name in vars(module):
                value: object = getattr(module, name)
                globals()[name] = value
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
