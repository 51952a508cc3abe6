"""The refusals of the API and of its framework, as one exception. It never leaves the emulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Detail = Mapping[str, Any]

# code -> (status, description). Clients must not depend on the wording of a description.
_CATALOGUE: Mapping[str, tuple[int, str]] = {
    "invalid_argument": (400, "The value provided for an argument is not valid"),
    "invalid_json_body": (400, "The body of the request is not valid JSON"),
    "missing_api_token": (400, "No API token was provided with the request"),
    "missing_required_argument": (400, "A required argument has not been provided"),
    "invalid_api_token": (403, "The API token is not valid: it may not exist or have expired"),
    "permission_denied": (403, "The authenticated identity is not permitted to perform this action"),
    "scope_not_granted": (403, "The scope that this endpoint needs has not been granted to this token"),
    "unauthorized_network_for_api_token": (403, "This token may not be used from this network"),
    "data_center_not_found": (404, "No data center matches the arguments"),
    "disk_io_profile_not_found": (404, "No disk IO profile matches the arguments"),
    "disk_not_found": (404, "No disk was found matching any of the criteria provided in the arguments"),
    "organization_not_found": (404, "No organization matches the arguments"),
    "route_not_found": (404, "No route matches the path of the request"),
    "task_not_found": (404, "No task matches the arguments"),
    "virtual_machine_not_found": (
        404,
        "No virtual machine was found matching any of the criteria provided in the arguments",
    ),
    "object_in_trash": (406, "The object is in the trash, it must be restored first"),
    "task_queueing_error": (406, "A background task that the request needs could not be queued"),
    "unable_to_assign": (422, "The disk cannot be assigned to this virtual machine"),
    "unable_to_unassign": (422, "The disk cannot be unassigned from its virtual machine"),
    "unassigned_disk": (422, "Disk is not assigned to a virtual machine."),
    "validation_error": (422, "The object cannot be created, updated or deleted like this"),
    "rate_limit_reached": (429, "The rate limit for this type of request has been reached"),
    "unhandled_exception": (500, "An exception occurred that the server did not handle"),
    "service_unavailable": (503, "The service is not available at the moment"),
}


class Refusal(Exception):
    """One refused request: status, code, description and detail of the response."""

    def __init__(self, code: str, **detail: Any) -> None:
        super().__init__(code)
        self.code = code
        self.status, self.description = _CATALOGUE[code]
        self.detail: Detail = detail


def missing_argument(path: Sequence[str]) -> Refusal:
    """Return 400 missing_required_argument. `path` has the outer objects' names and its own."""
    refusal = Refusal("missing_required_argument", path=list(path), argument=_argument(path))
    refusal.description = f"The '{'.'.join(path)}' argument is required but has not been provided"
    return refusal


def invalid_argument(path: Sequence[str], issue: str, *errors: str) -> Refusal:
    """Return 400 invalid_argument. `issue` is the framework's code, for example parse_error."""
    refusal = Refusal(
        "invalid_argument",
        path=list(path),
        index=None,
        issue=issue,
        issue_description=None,
        errors=list(errors),
        argument=_argument(path),
    )
    refusal.description = f"The '{'.'.join(path)}' argument is invalid"
    return refusal


def _argument(path: Sequence[str]) -> Detail:
    # In the real API the ID is the name of a Ruby class.
    return {"id": f"Emulator/{'/'.join(path)}", "name": path[-1], "description": None}
