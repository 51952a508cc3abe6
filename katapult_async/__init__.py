"""Async client for bulk operations on the Katapult cloud API.

    from katapult_async import Assignment, Client

    async with Client.from_env() as client:
        report = await client.disks.assign_many([Assignment("disk_…", "vm_…")])
        report.raise_for_failures()

The path of one assignment: client -> resources -> bulk -> ratelimit -> transport -> models ->
Outcome. `tests/unit/test_layers.py` has the order in which packages may import each other.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

#: The version. The build reads it from here.
__version__ = "0.1.0"

if TYPE_CHECKING:
    from .budget import BudgetError
    from .bulk import (
        Action,
        Assignment,
        BulkError,
        BulkReport,
        Outcome,
        Outcomes,
        OutcomeStatus,
        read_with,
        send_with,
    )
    from .client import Client, ClientSettings
    from .errors import (
        APIError,
        AssignmentConflict,
        AuthenticationError,
        ConnectError,
        ConnectionLost,
        ConnectTimeout,
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
        RouteNotFound,
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
    from .models import Disk, Task, VirtualMachine
    from .observer import (
        BudgetEvent,
        BudgetProcess,
        Observer,
        OutcomeEvent,
        RequestEvent,
        RetryEvent,
        StepEvent,
        WaitEvent,
    )
    from .transport import Operation, RetryPolicy, SessionPool, Timeout

__all__ = [
    "APIError",
    "Action",
    "Assignment",
    "AssignmentConflict",
    "AuthenticationError",
    "BudgetError",
    "BudgetEvent",
    "BudgetProcess",
    "BulkError",
    "BulkReport",
    "Client",
    "ClientSettings",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "Disk",
    "InvalidRequest",
    "KatapultError",
    "NetworkNotAuthorized",
    "NoAnswer",
    "NotFound",
    "ObjectInTrash",
    "Observer",
    "Operation",
    "OrganizationUnavailable",
    "Outcome",
    "OutcomeEvent",
    "OutcomeStatus",
    "Outcomes",
    "PermissionDenied",
    "ProtocolError",
    "RateLimitReached",
    "RequestEvent",
    "RequestTimeout",
    "RetryEvent",
    "RetryPolicy",
    "RouteNotFound",
    "ScopeNotGranted",
    "ServerError",
    "ServiceUnavailable",
    "SessionPool",
    "StepEvent",
    "Task",
    "TaskFailed",
    "TaskQueueingError",
    "TaskTimeout",
    "Timeout",
    "TransportError",
    "UnableToAssign",
    "UnableToUnassign",
    "UnassignedDisk",
    "ValidationError",
    "VirtualMachine",
    "WaitEvent",
    "__version__",
    "read_with",
    "send_with",
]

# Imported on first use of a name, so that `--help` does not load an HTTP client.
_PACKAGES = ("models", "observer", "errors", "budget", "transport", "bulk", "client")

#: Names that were exported here, and their packages now.
_MOVED = {
    "Contradiction": "bulk",
    "ReadBack": "bulk",
    "Recorder": "bulk",
    "Start": "bulk",
    "Words": "bulk",
    "Execution": "errors",
    "AttachedDisk": "models",
    "AttachmentState": "models",
    "BusType": "models",
    "DataCenter": "models",
    "DiskState": "models",
    "FileSystem": "models",
    "IOProfile": "models",
    "ResizeMethod": "models",
    "StorageSpeed": "models",
    "TaskStatus": "models",
    "TrashObject": "models",
    "VirtualMachineDisk": "models",
    "VirtualMachineReference": "models",
    "VirtualMachineState": "models",
    "Observers": "observer",
    "Priority": "ratelimit",
    "DiskUpdate": "resources",
    "IOProfileChange": "resources",
    "Machine": "resources",
    "NewDisk": "resources",
    "Resize": "resources",
}


def __getattr__(name: str) -> object:
    if name in _MOVED:
        warnings.warn(
            f"katapult_async.{name} is now katapult_async.{_MOVED[name]}.{name}",
            DeprecationWarning,
            stacklevel=2,
        )
        moved: object = getattr(import_module(f".{_MOVED[name]}", __name__), name)
        return moved
    if name in __all__:
        for package in _PACKAGES:
            module = import_module(f".{package}", __name__)
            if name in vars(module):
                value: object = getattr(module, name)
                globals()[name] = value
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
