"""Errors that the API, or a proxy in front of it, responded with: a class for each cause.

A class reads its own details out of the response. `response` chooses the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import msgspec

from katapult_async.models import TrashObject

from .katapult_error import Execution, KatapultError

JSON = Mapping[str, object]

#: The highest number of characters of a description or detail of the API in a message.
LONGEST_DESCRIPTION = 300
#: A higher limit (requests per minute) is implausible.
HIGHEST_PLAUSIBLE_LIMIT = 1_000_000

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
        if extra := clean(self._extra())[:LONGEST_DESCRIPTION]:
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
        return tuple(clean(item) for item in cast("list[object]", value) if isinstance(item, str))

    def _text(self, key: str) -> str | None:
        value = self.detail.get(key)
        return clean(value) if isinstance(value, str) else None


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
        return clean(argument) if isinstance(argument, str) else self._text("path")

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


def clean(text: str) -> str:
    """Replace control characters: the text goes to terminals and logs."""
    return "".join(character if character.isprintable() else " " for character in text[:2000])
