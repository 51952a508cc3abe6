"""From an unsuccessful response (status, headers, body) to its error.

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
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec
from msgspec import UNSET, UnsetType

from .api import (
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
    clean,
)
from .katapult_error import Execution, KatapultError
from .transport import ProtocolError

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
    request_id = clean(request_id)[:100] if request_id else None
    kind = clean(_header(headers, "Content-Type") or "no content type")[:50]
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
            clean(reported.code)[:100].strip() or None,
            reported.description,
            reported.detail,
        )
    known, execution = _classify(status, code)
    return known(
        status=status,
        code=code,
        description=clean(description)[:LONGEST_DESCRIPTION] if isinstance(description, str) else None,
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
