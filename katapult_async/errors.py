"""What can go wrong, and the one function that turns (status, headers, body) into it.

    KatapultError
    ├── TransportError                no answer that can be understood
    │   ├── ConnectError              nothing was sent
    │   │   └── ConnectTimeout
    │   ├── RequestTimeout            sent; no whole answer in time
    │   ├── ConnectionLost            sent; reset or closed before the whole answer
    │   └── ProtocolError             sent; the answer is not the API's (HTML, cut off, too large, redirect)
    ├── APIError                      the API (or a proxy in front of it) answered with an error
    │   ├── AuthenticationError       the token is missing or not valid
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
    │   ├── InvalidRequest            the request itself was not understood
    │   ├── RateLimitReached          .total_permitted
    │   ├── ServiceUnavailable        not executed; try again later
    │   └── ServerError               5xx: it may have been executed
    ├── NoAnswer                      the API did not answer for so long that a bulk run has given up
    ├── TaskFailed                    the task that the request queued has failed: .task
    ├── TaskTimeout                   the end of the task that the request queued is not known
    ├── AssignmentConflict            reading back showed that the disk is on another machine
    └── BulkError                     (katapult_async.bulk) not every item of a run is done: .report

What `error_from_response` makes of a response that is no success:

| response | error | execution |
|---|---|---|
| 429, whoever sends it | RateLimitReached | NOT_EXECUTED |
| 503 service_unavailable | ServiceUnavailable | NOT_EXECUTED |
| any other 5xx | ServerError | UNCLEAR |
| 4xx with a known code, and the status that belongs to it | the class of the code | REFUSED |
| 4xx (not 408) with an unknown code in the API's envelope, see below | APIError | REFUSED |
| 4xx with a known code, and a status that does not belong to it | APIError | UNCLEAR |
| 408, and 4xx without an error of the API: HTML, an empty body, broken or foreign JSON | APIError | UNCLEAR |
| below 400 | ProtocolError | UNCLEAR |

A 4xx that does not come from the API says nothing about the disk, so it must not decide about it.
`code` is None there.

Other APIs and proxies use the same envelope with codes of their own. So an unknown code counts only if the response
carries the header `X-Api-Schema: json-error`, or if its body has the keys `description` and `detail`.

Messages say what was asked, what came back and what to do. They never contain the token or a body, and no more than
LONGEST_DESCRIPTION characters of anything the API says. Nothing here decides whether to try again: `execution` says
what is known, and the scheduler and the retry policy draw the conclusion.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from .models import Task, TrashObject

JSON = Mapping[str, object]

#: Characters of a description, and of a detail, from the API that are shown at most.
LONGEST_DESCRIPTION = 300
#: Requests per minute above this are taken for nonsense.
HIGHEST_PLAUSIBLE_LIMIT = 1_000_000


class Execution(enum.Enum):
    """Whether the request was carried out."""

    NOT_EXECUTED = "not executed: it may be sent again"
    REFUSED = "refused: sent again it would be refused again"
    UNCLEAR = "unclear: it may have been executed"


class KatapultError(Exception):
    """Everything this package raises, wrong arguments (ValueError) aside.

    operation: what was asked, for example "POST /disks/disk/assign". request_id: the API's name for this request,
    which its support asks for. execution: whether the request was carried out. stops_run: no other request of the same
    client can succeed either, so a bulk run ends. elapsed: seconds from sending the request to its
    failure, without the wait for the rate limit; 0 if nothing was sent.
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
        return f"{text} (request id {self.request_id})" if self.request_id else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled by their arguments; ours are made in many ways and keep everything in __dict__.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(kind: type[KatapultError], args: tuple[object, ...], state: dict[str, object]) -> KatapultError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class TransportError(KatapultError):
    """No answer that can be understood. `sent`: whether the request left."""

    sent = True


class ConnectError(TransportError):
    """No connection: host not found, refused, TLS failed. Nothing was sent."""

    sent = False
    execution = Execution.NOT_EXECUTED


class ConnectTimeout(ConnectError):
    """No connection in time. Nothing was sent."""


class RequestTimeout(TransportError):
    """The request was sent; no whole answer came in time."""


class ConnectionLost(TransportError):
    """The request was sent; the connection was reset or closed before its whole answer."""


class ProtocolError(TransportError):
    """The request was sent; what came back is not an answer of this API."""


class NoAnswer(KatapultError):
    """The API has not answered for so long that a bulk run has given up. `__cause__` is the last error."""

    stops_run = True


class AssignmentConflict(KatapultError):
    """Reading the disk showed that it is elsewhere than it should be, on `virtual_machine` (None: on none), or that it
    is the boot disk of that machine, which is left alone.
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
    """The request queued a task, and its end is not known: it took too long, or the wait was cut short."""

    execution = Execution.UNCLEAR
    code = "task_timeout"


_LOOK_FIRST = "it may have been executed: look before sending it again"


class APIError(KatapultError):
    """The API answered with an error, or a proxy in front of it did.

    status: of HTTP. code: the API's own word, None if it said none. description: in the API's words. detail: what
    it added, as it came. execution: UNCLEAR where the response says nothing about the request (see
    the table at the top of this module).
    """

    execution = Execution.REFUSED
    advice: ClassVar[str] = ""
    #: The statuses with which the API sends the codes of this class.
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
        advice = self.advice or (_LOOK_FIRST if self.execution is Execution.UNCLEAR else "")
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
    # 400 and 403 are documented. 401 is what HTTP says for it.
    statuses = (400, 401, 403)


class NetworkNotAuthorized(AuthenticationError):
    """The token may not be used from here. `ip_address`: where the API saw the request come from."""

    advice = "use the token from a network it is allowed for, or allow this one"

    @property
    def ip_address(self) -> str | None:
        return self._text("ip_address")

    def _extra(self) -> str:
        return f"seen from {self.ip_address}" if self.ip_address else ""


class ScopeNotGranted(AuthenticationError):
    """The token lacks a scope. `scopes`: those of which one is needed (all disk writes need `disks`)."""

    advice = "use a token with that scope"

    @property
    def scopes(self) -> tuple[str, ...]:
        return self._texts("scopes")

    def _extra(self) -> str:
        return f"needed: {', '.join(self.scopes)}" if self.scopes else ""


class OrganizationUnavailable(APIError):
    """The organization is suspended or not activated."""

    stops_run = True
    advice = "nothing can be done for it until its account is in order"
    statuses = (403,)


class PermissionDenied(APIError):
    """The token may not do this to this object. `details`: why."""

    statuses = (403,)

    @property
    def details(self) -> str | None:
        return self._text("details")

    def _extra(self) -> str:
        return self.details or ""


class NotFound(APIError):
    """A disk, a machine or whatever was named is not there. `code` says which."""

    advice = "check the name or id, and that the token can see it"
    statuses = (404,)


class ObjectInTrash(APIError):
    """It was deleted and can still be restored. `trash_object`: None if the API did not say which."""

    statuses = (406,)

    @property
    def trash_object(self) -> TrashObject | None:
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
    """The disk cannot be assigned to this machine. `errors`: why."""


class UnableToUnassign(_WithErrors):
    """The disk cannot be unassigned, for example because it is attached. `errors`: why."""


class ValidationError(_WithErrors):
    """A property has a value that is not allowed. `errors`: which and why."""


class UnassignedDisk(APIError):
    """The disk is not assigned to a machine."""

    advice = "assign it first"
    statuses = (422,)


class TaskQueueingError(APIError):
    """The task could not be queued, for example because another one is under way. `details`: why."""

    statuses = (406,)

    @property
    def details(self) -> str | None:
        return self._text("details")

    def _extra(self) -> str:
        return self.details or ""


class InvalidRequest(APIError):
    """The request was not understood. `argument`, `issue`, `errors`: what is wrong with it."""

    statuses = (400,)

    @property
    def argument(self) -> str | None:
        """The argument that is wrong, with the objects around it: `properties.size_in_gb`."""
        # The framework sends a list of names, and the argument as an object. Texts stand in the
        # documentation.
        path = self._texts("path")
        if path:
            return ".".join(path)
        argument = self.detail.get("argument")
        if isinstance(argument, dict):
            argument = cast("JSON", argument).get("name")
        return _clean(argument) if isinstance(argument, str) else self._text("path")

    @property
    def issue(self) -> str | None:
        """The API's word for what is wrong with it, such as `parse_error`."""
        return self._text("issue")

    @property
    def errors(self) -> tuple[str, ...]:
        """The API's reasons, in its words."""
        return self._texts("errors")

    def _extra(self) -> str:
        said = (
            ("argument", self.argument),
            ("issue", self.issue),
            ("errors", ", ".join(self.errors)),
            ("details", self._text("details")),
        )
        return ", ".join(f"{key}: {text}" for key, text in said if text)


class RouteNotFound(InvalidRequest):
    """The base URL or this SDK's idea of the API is wrong."""

    stops_run = True
    advice = "check the base URL"
    statuses = (404,)


class RateLimitReached(APIError):
    """429. Callers do not see it: requests wait for their turn. `total_permitted`: requests permitted per minute,
    None if the API named no number that makes sense.
    """

    execution = Execution.NOT_EXECUTED
    advice = "not executed: send it again when a minute has passed"
    statuses = (429,)

    @property
    def total_permitted(self) -> int | None:
        value = self.detail.get("total_permitted")
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HIGHEST_PLAUSIBLE_LIMIT:
            return value
        return None

    def _extra(self) -> str:
        return f"permitted: {self.total_permitted} a minute" if self.total_permitted is not None else ""


class ServiceUnavailable(APIError):
    """The API is not available for the moment. The request was not executed."""

    execution = Execution.NOT_EXECUTED
    advice = "not executed: try again later"
    statuses = (503,)


class ServerError(APIError):
    """The server, or a proxy in front of it, failed. The request may have been executed.

    A gateway's 502, 503 or 504 has no `code`; callers do the same about it, so it has no class of its own.
    """

    execution = Execution.UNCLEAR
    advice = _LOOK_FIRST
    statuses = (500,)


#: Every code documented for the covered endpoints, and every code the framework raises (katapult-api, Wire).
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
    """Only the code must be what it should be: the rest, if of the wrong kind, is no reason to lose it."""

    code: str
    description: object | UnsetType = UNSET
    detail: object | UnsetType = UNSET


class _Envelope(msgspec.Struct, frozen=True):
    error: _Body


# The published page shows the three keys flat, the wire has them in an envelope (katapult-api, Wire).
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_flat = msgspec.json.Decoder(_Body).decode


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, *, operation: str | None = None
) -> KatapultError:
    """The error that a response which is no success stands for. Pure, and total: any bytes give an error.

    `headers`: names in any case.
    """
    request_id = _header(headers, "X-Request-Id")
    request_id = _clean(request_id)[:100] if request_id else None
    kind = _clean(_header(headers, "Content-Type") or "no content type")[:50]
    if status < 400:
        moved = "; redirects are not followed: check the base URL" if status >= 300 else ""
        message = f"unexpected answer ({status}, {kind}, {len(body)} bytes){moved}"
        return ProtocolError(message, operation=operation, request_id=request_id)
    said = _read_body(body, marked=_header(headers, "X-Api-Schema") == "json-error")
    code: str | None = None
    description: object = (
        f"the answer is not the API's ({kind}, {len(body)} bytes): check the base URL and proxies"
    )
    detail: object = None
    if said is not None:
        code, description, detail = _clean(said.code)[:100].strip() or None, said.description, said.detail
    known, execution = _judge(status, code)
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
    found = headers.get(name)  # the transport's mapping does not mind the case: there this is all
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
            said = decode(body)
        except Exception:  # noqa: BLE001, S112 - a foreign body may be anything, deeply nested for example
            continue
        if isinstance(said, _Envelope):
            return said.error if _is_of_the_api(said.error, marked=marked) else None
        # Without the envelope only a known code counts: proxies send JSON, too.
        return said if said.code in CODES else None
    return None


def _is_of_the_api(said: _Body, *, marked: bool) -> bool:
    if said.code in CODES:
        return True
    whole = said.description is not UNSET and said.detail is not UNSET
    return bool(said.code.strip()) and (marked or whole)


def _judge(status: int, code: str | None) -> tuple[type[APIError], Execution | None]:
    """The class of the error, and its execution where that is not the one of the class."""
    if status == 429:
        return RateLimitReached, None  # whoever says it, the request was not executed and must wait
    known = CODES.get(code) if code is not None else None
    if status >= 500:
        # Only the API itself knows that nothing was done; a proxy's 503 says nothing about what is behind it.
        return (ServiceUnavailable if known is ServiceUnavailable and status == 503 else ServerError), None
    if code is None or status == 408:
        return APIError, Execution.UNCLEAR
    if known is None:
        return APIError, None  # a code that is newer than this package
    return (known, None) if status in known.statuses else (APIError, Execution.UNCLEAR)


def _clean(text: str) -> str:
    """Without control characters: this goes to terminals and logs."""
    return "".join(character if character.isprintable() else " " for character in text[:2000])
