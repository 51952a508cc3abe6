"""What can go wrong. Users catch these classes; `error_from_response` makes them.

KatapultError
├── TransportError                no usable response
│   ├── ConnectError              nothing was sent
│   │   └── ConnectTimeout
│   ├── RequestTimeout            sent; no complete response in time
│   ├── ConnectionLost            sent; reset or closed before the complete response
│   └── ProtocolError             sent; not a response of the API (HTML, too large, redirect)
├── APIError                      the API (or a proxy in front of it) responded with an error
│   ├── AuthenticationError       the token is missing or invalid
│   │   ├── NetworkNotAuthorized  .ip_address
│   │   └── ScopeNotGranted       .scopes
│   ├── OrganizationUnavailable   suspended, or not activated
│   ├── PermissionDenied          .details
│   ├── NotFound
│   ├── ObjectInTrash             .trash_object
│   ├── UnableToAssign            .errors
│   ├── UnableToUnassign          .errors
│   ├── UnassignedDisk
│   ├── ValidationError           .errors
│   ├── TaskQueueingError         .details
│   ├── InvalidRequest            the API did not understand the request
│   ├── RateLimitReached          .total_permitted
│   ├── ServiceUnavailable        not executed; try again later
│   └── ServerError               5xx: it may have been executed
├── NoAnswer                      no response for so long that a bulk run has given up
├── TaskFailed                    the task that the request queued has failed: .task
├── TaskTimeout                   the end of the task that the request queued is not known
├── AssignmentConflict            reading back showed that the disk is on another machine
└── BulkError                     (katapult_async.bulk) some items are not done: .report
"""

from __future__ import annotations

from .api import (
    HIGHEST_PLAUSIBLE_LIMIT,
    JSON,
    LONGEST_DESCRIPTION,
    APIError,
    AuthenticationError,
    InvalidRequest,
    NetworkNotAuthorized,
    NotFound,
    ObjectInTrash,
    OrganizationUnavailable,
    PermissionDenied,
    RateLimitReached,
    RouteNotFound,
    ScopeNotGranted,
    ServerError,
    ServiceUnavailable,
    TaskQueueingError,
    UnableToAssign,
    UnableToUnassign,
    UnassignedDisk,
    ValidationError,
)
from .katapult_error import (
    Execution,
    KatapultError,
)
from .response import (
    CODES,
    error_from_response,
)
from .transport import (
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    ProtocolError,
    RequestTimeout,
    TransportError,
)
from .work import (
    AssignmentConflict,
    NoAnswer,
    TaskFailed,
    TaskTimeout,
)

__all__ = [
    "CODES",
    "HIGHEST_PLAUSIBLE_LIMIT",
    "JSON",
    "LONGEST_DESCRIPTION",
    "APIError",
    "AssignmentConflict",
    "AuthenticationError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "Execution",
    "InvalidRequest",
    "KatapultError",
    "NetworkNotAuthorized",
    "NoAnswer",
    "NotFound",
    "ObjectInTrash",
    "OrganizationUnavailable",
    "PermissionDenied",
    "ProtocolError",
    "RateLimitReached",
    "RequestTimeout",
    "RouteNotFound",
    "ScopeNotGranted",
    "ServerError",
    "ServiceUnavailable",
    "TaskFailed",
    "TaskQueueingError",
    "TaskTimeout",
    "TransportError",
    "UnableToAssign",
    "UnableToUnassign",
    "UnassignedDisk",
    "ValidationError",
    "error_from_response",
]
