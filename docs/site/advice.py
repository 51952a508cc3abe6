"""What to do about each error. The keys are codes of the API, and names of error classes."""

from __future__ import annotations

_CREDENTIAL = "Check `KATAPULT_API_KEY`, or the token file or command. The run ends."
_ORGANIZATION = "Activate the organization's account. The run ends."
_ID = "Check the ID or name, and that the token has access to the object."
_READ_BACK = "Check the result before you send the request again. Bulk runs and most single calls read the item back by themselves."

ADVICE: dict[str, str] = {
    "missing_api_token": _CREDENTIAL,
    "invalid_api_token": _CREDENTIAL,
    "invalid_capabilities_token": _CREDENTIAL,
    "unauthorized_network_for_api_token": (
        "Use the token from a permitted network, or permit this one. The run ends."
    ),
    "scope_not_granted": "Use a token with a scope that the message names. The run ends.",
    "organization_suspended": _ORGANIZATION,
    "organization_not_activated": _ORGANIZATION,
    "permission_denied": "Ask the owner of the object for the permission. The message has the API's reason.",
    "disk_not_found": _ID,
    "virtual_machine_not_found": _ID,
    "organization_not_found": _ID,
    "task_not_found": _ID,
    "disk_io_profile_not_found": _ID,
    "data_center_not_found": _ID,
    "trash_object_not_found": _ID,
    "object_in_trash": "Restore the object first. `error.trash_object` has its ID.",
    "task_queueing_error": "Wait until the running task of the object has ended, then try again.",
    "unable_to_assign": "Read the API's reasons in `error.errors`. The disk may be on another machine.",
    "unable_to_unassign": "Read the API's reasons in `error.errors`. Detach an attached disk first.",
    "unassigned_disk": "Assign the disk to a machine first.",
    "validation_error": "Correct the property that `error.errors` names.",
    "rate_limit_reached": "Nothing. The client sends the request again by itself.",
    "service_unavailable": "Nothing. The client sends the request again, as `RetryPolicy` says.",
    "missing_required_argument": "Add the argument in `error.argument`.",
    "invalid_argument": "Correct the argument in `error.argument`. `error.issue` has the problem.",
    "invalid_json_body": "Report it. The body is not JSON for the API.",
    "route_not_found": "Check the base URL. The run ends.",
    "unhandled_exception": _READ_BACK,
    "TransportError": _READ_BACK,
    "ConnectError": "Check the base URL, the network and proxies. Nothing was sent.",
    "ConnectTimeout": "Check the base URL, the network and proxies. Nothing was sent.",
    "RequestTimeout": _READ_BACK + " A longer `Timeout(total=…)` helps if the API is slow.",
    "ConnectionLost": _READ_BACK,
    "ProtocolError": _READ_BACK + " If it happens for each request, check the base URL and proxies.",
    "NoAnswer": "Try again when the API responds. A durable run resumes. `patience=` sets how long a run waits.",
    "AssignmentConflict": "Decide where the disk belongs. `error.virtual_machine` is the machine that it is on.",
    "TaskFailed": "Look at the task, `error.task`, and at the machine. Then try again.",
    "TaskTimeout": "Read the object. The task may still run. `task_timeout=` sets how long the client waits.",
}
