"""What can go wrong, and the function that turns (status, headers, body) into an error.

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

`error_from_response` maps an unsuccessful response like this:

| response | error | execution |
|---|---|---|
| 429 from any sender | RateLimitReached | NOT_EXECUTED |
| 503 service_unavailable | ServiceUnavailable | NOT_EXECUTED |
| any other 5xx | ServerError | UNCLEAR |
| 4xx with a known code, and a status that belongs to it | the class of the code | REFUSED |
| 4xx (not 408) with an unknown code in the API's envelope, see below | APIError | REFUSED |
| 4xx with a known code, and a status that does not belong to it | APIError | UNCLEAR |
| 408, and 4xx without an error of the API: HTML, empty, foreign JSON | APIError | UNCLEAR |
| below 400 | ProtocolError | UNCLEAR |

A 4xx that does not come from the API says nothing about the disk, so it must not decide an outcome.
Its `code` is None.

Other APIs and proxies use the same envelope with codes of their own. So an unknown code counts only
if the response has the header `X-Api-Schema: json-error`, or if its body has the keys `description`
and `detail`.

A message says what was requested, what came back and what to do. It never contains the token or a
body, and at most LONGEST_DESCRIPTION characters of any text of the API. This module does not decide
whether to retry. `execution` says what is known, and the bulk run and the retry policy decide.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from .models import Task, TrashObject

JSON = Mapping[str, object]

#: The highest number of characters of a description or detail of the API in a message.
LONGEST_DESCRIPTION = 300
#: A higher limit (requests per minute) is implausible.
HIGHEST_PLAUSIBLE_LIMIT = 1_000_000


class Execution(enum.Enum):
    """Whether the server executed the request."""

    NOT_EXECUTED = "not executed: it may be sent again"
    REFUSED = "refused: the API would refuse it again"
    UNCLEAR = "unclear: it may have been executed"


class KatapultError(Exception):
    """The base class of all errors of this package, except for wrong arguments.

    Args:
        message: What happened, without the operation.
        operation: What was requested, for example "POST /disks/disk/assign".
        request_id: The API's ID of the request. Its support asks for it.

    Attributes:
        execution: Whether the server executed the request.
        stops_run: True if no other request of the same client can succeed either, so a bulk run
            ends.
        elapsed: Seconds from sending the request to its failure, without waits for the rate limit.
            0 if nothing was sent.
    """

    execution: Execution = Execution.UNCLEAR
    stops_run: bool = False
    elapsed: float = 0.0

    def __init__(self, message: str, *, operation: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.request_id = request_id

    def __str__(self) -> str:
        text = f"{self.operation}: {self.message}" if self.operation else self.message
        return f"{text} (request ID {self.request_id})" if self.request_id else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled by their arguments. These have different constructors, and all
        # their state is in __dict__.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(kind: type[KatapultError], args: tuple[object, ...], state: dict[str, object]) -> KatapultError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class TransportError(KatapultError):
    """No usable response.

    Attributes:
        sent: Whether the request was sent.
    """

    sent = True


class ConnectError(TransportError):
    """No connection: host not found, refused, TLS failed. Nothing was sent."""

    sent = False
    execution = Execution.NOT_EXECUTED


class ConnectTimeout(ConnectError):
    """No connection in time. Nothing was sent."""


class RequestTimeout(TransportError):
    """The request was sent, and no complete response arrived in time."""


class ConnectionLost(TransportError):
    """The request was sent, and the connection was reset or closed before the complete response."""


class ProtocolError(TransportError):
    """The request was sent, and what came back is not a response of this API."""


class NoAnswer(KatapultError):
    """The API did not respond for so long that a bulk run has given up.

    `__cause__` is the last error.
    """

    stops_run = True


class AssignmentConflict(KatapultError):
    """Reading the disk back showed that it is not where it should be.

    The disk is on another machine, or on none, or it is the boot disk of its machine and is left
    alone.

    Args:
        message: What happened.
        virtual_machine: The ID of the machine that the disk is on; None if it is on none.
    """

    execution = Execution.REFUSED
    code = "assignment_conflict"

    def __init__(self, message: str, *, virtual_machine: str | None = None) -> None:
        super().__init__(message)
        self.virtual_machine = virtual_machine

    @property
    def on_no_machine(self) -> bool:
        """Whether the disk is assigned to no machine at all."""
        return self.virtual_machine is None


class TaskFailed(KatapultError):
    """The task that a request queued has failed. `task`: as it ended."""

    execution = Execution.REFUSED
    code = "task_failed"

    def __init__(self, message: str, *, task: Task) -> None:
        super().__init__(message)
        self.task = task


class TaskTimeout(KatapultError):
    """The end of the queued task is not known: it took too long, or nobody waited for it."""

    execution = Execution.UNCLEAR
    code = "task_timeout"


_CHECK_FIRST = "it may have been executed: check the result before sending it again"


class APIError(KatapultError):
    """The API, or a proxy in front of it, responded with an error.

    Args:
        status: The HTTP status.
        code: The API's error code; None if the response has none.
        description: The API's description.
        detail: The API's details, not checked.
        operation: What was requested.
        request_id: The API's ID of the request.
        execution: Whether the server executed the request; None for the usual value of the class.
            It is UNCLEAR if the response says nothing about the request (see the table at the top
            of this module).
    """

    execution = Execution.REFUSED
    advice: ClassVar[str] = ""
    #: The statuses that the API sends with the codes of this class.
    statuses: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        *,
        status: int,
        code: str | None,
        description: str | None = None,
        detail: JSON | None = None,
        operation: str | None = None,
        request_id: str | None = None,
        execution: Execution | None = None,
    ) -> None:
        if execution is not None:
            self.execution = execution
        self.status = status
        self.code = code
        self.description = description
        self.detail: JSON = detail if detail is not None else {}
        super().__init__(self._describe(), operation=operation, request_id=request_id)

    def _describe(self) -> str:
        parts = [f"{self.code or 'error'} ({self.status})"]
        if self.description:
            parts.append(self.description.rstrip("."))
        if extra := _clean(self._extra())[:LONGEST_DESCRIPTION]:
            parts.append(extra)
        advice = self.advice or (_CHECK_FIRST if self.execution is Execution.UNCLEAR else "")
        if advice:
            parts.append(advice)
        return ": ".join(parts[:2]) + "".join(f"; {part}" for part in parts[2:])

    def _extra(self) -> str:
        return ""

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self.detail.get(key)
        if not isinstance(value, list):
            return ()
        return tuple(_clean(item) for item in cast("list[object]", value) if isinstance(item, str))

    def _text(self, key: str) -> str | None:
        value = self.detail.get(key)
        return _clean(value) if isinstance(value, str) else None


class AuthenticationError(APIError):
    """The token is missing, unknown or expired."""

    stops_run = True
    advice = "check the API token (KATAPULT_API_KEY)"
    # The API documents 400 and 403. 401 is the status that HTTP defines for this case.
    statuses = (400, 401, 403)


class NetworkNotAuthorized(AuthenticationError):
    """The token may not be used from this network."""

    advice = "use the token from a permitted network, or permit this one"

    @property
    def ip_address(self) -> str | None:
        """The address from which the API received the request."""
        return self._text("ip_address")

    def _extra(self) -> str:
        return f"the request came from {self.ip_address}" if self.ip_address else ""


class ScopeNotGranted(AuthenticationError):
    """The token lacks a scope. All disk writes need `disks`."""

    advice = "use a token with that scope"

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of which the token needs one."""
        return self._texts("scopes")

    def _extra(self) -> str:
        return f"required scope: {' or '.join(self.scopes)}" if self.scopes else ""


class OrganizationUnavailable(APIError):
    """The organization is suspended or not activated."""

    stops_run = True
    advice = "the organization's account must be active"
    statuses = (403,)


class PermissionDenied(APIError):
    """The token may not do this to this object."""

    statuses = (403,)

    @property
    def details(self) -> str | None:
        """The API's reason."""
        return self._text("details")

    def _extra(self) -> str:
        return self.details or ""


class NotFound(APIError):
    """A disk, a machine or another named object does not exist. `code` says which."""

    advice = "check the ID or name, and that the token has access to it"
    statuses = (404,)


class ObjectInTrash(APIError):
    """The object was deleted and can still be restored."""

    statuses = (406,)

    @property
    def trash_object(self) -> TrashObject | None:
        """The object in the trash; None if the API did not name it."""
        try:
            return msgspec.convert(self.detail.get("trash_object"), TrashObject | None)
        except msgspec.ValidationError:
            return None

    def _extra(self) -> str:
        trashed = self.trash_object
        return f"restore {trashed.id} first" if trashed is not None else ""


class _WithErrors(APIError):
    statuses = (422,)

    @property
    def errors(self) -> tuple[str, ...]:
        """The API's reasons, in its words."""
        return self._texts("errors")

    def _extra(self) -> str:
        return ", ".join(self.errors)


class UnableToAssign(_WithErrors):
    """The disk cannot be assigned to this machine."""


class UnableToUnassign(_WithErrors):
    """The disk cannot be unassigned, for example because it is attached."""


class ValidationError(_WithErrors):
    """A property has a value that is not allowed."""


class UnassignedDisk(APIError):
    """The disk is not assigned to a machine."""

    advice = "assign the disk first"
    statuses = (422,)


class TaskQueueingError(APIError):
    """The task could not be queued, for example because another one is running."""

    statuses = (406,)

    @property
    def details(self) -> str | None:
        """The API's reason."""
        return self._text("details")

    def _extra(self) -> str:
        return self.details or ""


class InvalidRequest(APIError):
    """The API did not understand the request."""

    statuses = (400,)

    @property
    def argument(self) -> str | None:
        """The argument that is wrong, with the objects around it: `properties.size_in_gb`."""
        # The API sends a list of names, and the argument as an object. Its documentation shows
        # texts.
        path = self._texts("path")
        if path:
            return ".".join(path)
        argument = self.detail.get("argument")
        if isinstance(argument, dict):
            argument = cast("JSON", argument).get("name")
        return _clean(argument) if isinstance(argument, str) else self._text("path")

    @property
    def issue(self) -> str | None:
        """The API's word for the problem, such as `parse_error`."""
        return self._text("issue")

    @property
    def errors(self) -> tuple[str, ...]:
        """The API's reasons, in its words."""
        return self._texts("errors")

    def _extra(self) -> str:
        fields = (
            ("argument", self.argument),
            ("issue", self.issue),
            ("errors", ", ".join(self.errors)),
            ("details", self._text("details")),
        )
        return ", ".join(f"{key}: {text}" for key, text in fields if text)


class RouteNotFound(InvalidRequest):
    """The base URL is wrong, or the API has no such endpoint."""

    stops_run = True
    advice = "check the base URL"
    statuses = (404,)


class RateLimitReached(APIError):
    """A 429. Users of a client do not get it, because the client sends the request again."""

    execution = Execution.NOT_EXECUTED
    advice = "not executed: send it again after a minute"
    statuses = (429,)

    @property
    def total_permitted(self) -> int | None:
        """Requests permitted per minute; None if the API named no plausible number."""
        value = self.detail.get("total_permitted")
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HIGHEST_PLAUSIBLE_LIMIT:
            return value
        return None

    def _extra(self) -> str:
        return (
            f"limit: {self.total_permitted} requests per minute" if self.total_permitted is not None else ""
        )


class ServiceUnavailable(APIError):
    """The API is temporarily unavailable. It did not execute the request."""

    execution = Execution.NOT_EXECUTED
    advice = "not executed: try again later"
    statuses = (503,)


class ServerError(APIError):
    """The server, or a proxy in front of it, failed. The request may have been executed.

    A gateway's 502, 503 or 504 has no `code`.
    """

    execution = Execution.UNCLEAR
    advice = _CHECK_FIRST
    statuses = (500,)


#: Every code documented for the supported endpoints, and every code that the API's framework adds.
CODES: Mapping[str, type[APIError]] = {
    "missing_api_token": AuthenticationError,
    "invalid_api_token": AuthenticationError,
    "invalid_capabilities_token": AuthenticationError,
    "unauthorized_network_for_api_token": NetworkNotAuthorized,
    "scope_not_granted": ScopeNotGranted,
    "organization_suspended": OrganizationUnavailable,
    "organization_not_activated": OrganizationUnavailable,
    "permission_denied": PermissionDenied,
    "disk_not_found": NotFound,
    "virtual_machine_not_found": NotFound,
    "organization_not_found": NotFound,
    "task_not_found": NotFound,
    "disk_io_profile_not_found": NotFound,
    "data_center_not_found": NotFound,
    "trash_object_not_found": NotFound,
    "object_in_trash": ObjectInTrash,
    "task_queueing_error": TaskQueueingError,
    "unable_to_assign": UnableToAssign,
    "unable_to_unassign": UnableToUnassign,
    "unassigned_disk": UnassignedDisk,
    "validation_error": ValidationError,
    "rate_limit_reached": RateLimitReached,
    "service_unavailable": ServiceUnavailable,
    "missing_required_argument": InvalidRequest,
    "invalid_argument": InvalidRequest,
    "invalid_json_body": InvalidRequest,
    "route_not_found": RouteNotFound,
    "unhandled_exception": ServerError,
}


class _Body(msgspec.Struct, frozen=True):
    """An error of the API. Only the code has to be of the right type: other fields are optional."""

    code: str
    description: object | UnsetType = UNSET
    detail: object | UnsetType = UNSET


class _Envelope(msgspec.Struct, frozen=True):
    error: _Body


# The API's documentation shows the three keys flat. The API sends them in an envelope.
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_flat = msgspec.json.Decoder(_Body).decode


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, *, operation: str | None = None
) -> KatapultError:
    """Return the error for an unsuccessful response. Any bytes give an error.

    Args:
        status: The HTTP status.
        headers: The headers, with names in any case.
        body: The body.
        operation: What was requested.
    """
    request_id = _header(headers, "X-Request-Id")
    request_id = _clean(request_id)[:100] if request_id else None
    kind = _clean(_header(headers, "Content-Type") or "no content type")[:50]
    if status < 400:
        moved = "; redirects are not followed: check the base URL" if status >= 300 else ""
        message = f"unexpected response ({status}, {kind}, {len(body)} bytes){moved}"
        return ProtocolError(message, operation=operation, request_id=request_id)
    reported = _read_body(body, marked=_header(headers, "X-Api-Schema") == "json-error")
    code: str | None = None
    description: object = (
        f"the response is not from the API ({kind}, {len(body)} bytes): check the base URL and proxies"
    )
    detail: object = None
    if reported is not None:
        code, description, detail = (
            _clean(reported.code)[:100].strip() or None,
            reported.description,
            reported.detail,
        )
    known, execution = _classify(status, code)
    return known(
        status=status,
        code=code,
        description=_clean(description)[:LONGEST_DESCRIPTION] if isinstance(description, str) else None,
        detail=cast("JSON", detail) if isinstance(detail, dict) else None,
        operation=operation,
        request_id=request_id,
        execution=execution,
    )


def _header(headers: Mapping[str, str], name: str) -> str | None:
    found = headers.get(name)  # the transport's mapping ignores case
    if found is None:
        wanted = name.lower()
        found = next((value for key, value in headers.items() if key.lower() == wanted), None)
    return found


def _read_body(body: bytes, *, marked: bool) -> _Body | None:
    """Return the API's error, or None if the body is not one.

    Args:
        body: The body of the response.
        marked: Whether the header `X-Api-Schema` says that the body is an error of the API.
    """
    for decode in (_decode_envelope, _decode_flat) if body else ():
        try:
            reported = decode(body)
        except Exception:  # noqa: BLE001, S112 - the body can be anything, deeply nested for example
            continue
        if isinstance(reported, _Envelope):
            return reported.error if _is_api_error(reported.error, marked=marked) else None
        # Without the envelope only a known code counts, because proxies send JSON, too.
        return reported if reported.code in CODES else None
    return None


def _is_api_error(reported: _Body, *, marked: bool) -> bool:
    if reported.code in CODES:
        return True
    whole = reported.description is not UNSET and reported.detail is not UNSET
    return bool(reported.code.strip()) and (marked or whole)


def _classify(status: int, code: str | None) -> tuple[type[APIError], Execution | None]:
    """Return the class of the error, and its execution if that differs from the class's own."""
    if status == 429:
        return RateLimitReached, None  # from any sender: not executed, and it must wait
    known = CODES.get(code) if code is not None else None
    if status >= 500:
        # Only the API itself knows that it did nothing. A proxy's 503 says nothing about the API.
        return (ServiceUnavailable if known is ServiceUnavailable and status == 503 else ServerError), None
    if code is None or status == 408:
        return APIError, Execution.UNCLEAR
    if known is None:
        return APIError, None  # the code is newer than this package
    return (known, None) if status in known.statuses else (APIError, Execution.UNCLEAR)


def _clean(text: str) -> str:
    """Replace control characters: the text goes to terminals and logs."""
    return "".join(character if character.isprintable() else " " for character in text[:2000])
