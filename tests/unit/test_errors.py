"""Every answer that is no success becomes one clear error, whatever its bytes."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.errors import (
    CODES,
    APIError,
    AuthenticationError,
    ConnectError,
    Execution,
    InvalidRequest,
    KatapultError,
    NetworkNotAuthorized,
    NotFound,
    ObjectInTrash,
    ProtocolError,
    RateLimitReached,
    ScopeNotGranted,
    ServerError,
    ServiceUnavailable,
    TaskQueueingError,
    UnableToAssign,
    error_from_response,
)

OPENAPI = Path(__file__).parents[3] / "shared" / "katapult-core-openapi.json"
STATUS = {
    "missing_api_token": 400,
    "missing_required_argument": 400,
    "invalid_argument": 400,
    "invalid_json_body": 400,
    "route_not_found": 404,
    "object_in_trash": 406,
    "task_queueing_error": 406,
    "unable_to_assign": 422,
    "unable_to_unassign": 422,
    "unassigned_disk": 422,
    "validation_error": 422,
    "rate_limit_reached": 429,
    "unhandled_exception": 500,
    "service_unavailable": 503,
}


def status_of(code: str) -> int:
    return STATUS.get(code, 404 if code.endswith("_not_found") else 403)


def answer(status: int, code: str, detail: object = None, *, flat: bool = False) -> KatapultError:
    body: dict[str, object] = {"code": code, "description": "Words of the API.", "detail": detail or {}}
    text = json.dumps(body if flat else {"error": body}).encode()
    return error_from_response(status, {"X-Request-Id": "req-1"}, text, operation="POST /x")


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("code", sorted(CODES))
def test_every_known_code_gives_its_class(code: str, flat: bool) -> None:
    error = answer(status_of(code), code, flat=flat)
    assert type(error) is CODES[code]
    assert isinstance(error, APIError)
    assert (error.code, error.status, error.request_id) == (code, status_of(code), "req-1")
    assert str(error).startswith(f"POST /x: {code} ({status_of(code)}): Words of the API")
    assert "req-1" in str(error)


@pytest.mark.skipif(not OPENAPI.exists(), reason="the OpenAPI document is not beside this checkout")
def test_every_code_documented_for_the_covered_endpoints_is_in_the_table() -> None:
    document = json.loads(OPENAPI.read_text())
    covered = [path for path in document["paths"] if path.startswith("/disks/disk") and "backup" not in path]
    covered += [
        "/organizations/organization/disks",
        "/organizations/organization/disk_io_profiles",
        "/organizations/organization/virtual_machines",
        "/virtual_machines/virtual_machine/disks",
        "/tasks/task",
    ]
    codes: set[str] = set()
    for path in covered:
        for operation in document["paths"][path].values():
            for response in operation["responses"].values():
                collect(document, response, codes)
    assert len(codes) > 15
    assert codes <= set(CODES)


def collect(document: dict[str, object], node: object, codes: set[str]) -> None:
    if isinstance(node, list):
        for item in node:  # pyright: ignore[reportUnknownVariableType]
            collect(document, item, codes)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(node, dict):
        reference = node.get("$ref")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(reference, str):
            target: object = document
            parts = reference.removeprefix("#/").split("/")
            for part in parts:
                target = target[part]  # type: ignore[index]  # pyright: ignore
            name = parts[-1]
            if name.endswith("Enum"):
                codes.update(value for value in target["enum"] if "_" in value)  # type: ignore[index]  # pyright: ignore
            elif name.endswith(("Response", "Res", "Schema")) or name.startswith("OneOf"):
                collect(document, target, codes)
            return
        if "properties" in node and "code" not in node["properties"]:
            return
        for value in node.values():  # pyright: ignore[reportUnknownVariableType]
            collect(document, value, codes)  # pyright: ignore[reportUnknownArgumentType]


def test_details_are_typed() -> None:
    trashed = answer(406, "object_in_trash", {"trash_object": {"id": "trsh_1", "object_id": "disk_1"}})
    assert isinstance(trashed, ObjectInTrash)
    assert trashed.trash_object is not None
    assert trashed.trash_object.id == "trsh_1"
    assert "trsh_1" in str(trashed)
    refused = answer(422, "unable_to_assign", {"errors": ["Disk is not built", 7]})
    assert isinstance(refused, UnableToAssign)
    assert refused.errors == ("Disk is not built",)
    scope = answer(403, "scope_not_granted", {"scopes": ["disks"]})
    assert isinstance(scope, ScopeNotGranted)
    assert scope.scopes == ("disks",)
    assert "needed: disks" in str(scope)
    network = answer(403, "unauthorized_network_for_api_token", {"ip_address": "192.0.2.1"})
    assert isinstance(network, NetworkNotAuthorized)
    assert network.ip_address == "192.0.2.1"
    assert "192.0.2.1" in str(network)
    queueing = answer(406, "task_queueing_error", {"details": "busy"})
    assert isinstance(queueing, TaskQueueingError)
    assert queueing.details == "busy"
    invalid = answer(400, "invalid_argument", {"path": "disk", "argument": "id", "issue": "invalid_scalar"})
    assert isinstance(invalid, InvalidRequest)
    assert "argument: id" in str(invalid)


@pytest.mark.parametrize(
    "detail", [{}, [], "x", {"trash_object": 4}, {"errors": "no list"}, {"scopes": None}]
)
def test_details_of_the_wrong_kind_are_no_obstacle(detail: object) -> None:
    trashed = answer(406, "object_in_trash", detail)
    assert isinstance(trashed, ObjectInTrash)
    assert trashed.trash_object is None
    refused = answer(422, "unable_to_assign", detail)
    assert isinstance(refused, UnableToAssign)
    assert refused.errors == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1000, 1000),
        (1, 1),
        (0, None),
        (-3, None),
        (True, None),
        ("1000", None),
        (1.5, None),
        (10**7, None),
        (None, None),
    ],
)
def test_total_permitted_is_a_plausible_number_or_none(value: object, expected: int | None) -> None:
    error = answer(429, "rate_limit_reached", {"total_permitted": value})
    assert isinstance(error, RateLimitReached)
    assert error.total_permitted == expected


@pytest.mark.parametrize(
    ("status", "body", "kind", "execution"),
    [
        (502, b"<html><h1>502 Bad Gateway</h1></html>", ServerError, Execution.UNCLEAR),
        (504, b"", ServerError, Execution.UNCLEAR),
        (503, b"<html>", ServerError, Execution.UNCLEAR),
        (
            500,
            b'{"error":{"code":"unhandled_exception","description":null,"detail":{}}}',
            ServerError,
            Execution.UNCLEAR,
        ),
        (503, b'{"error":{"code":"service_unavailable"}}', ServiceUnavailable, Execution.NOT_EXECUTED),
        (500, b'{"error":{"code":"disk_not_found"}}', ServerError, Execution.UNCLEAR),
        (429, b"<html>slow down</html>", RateLimitReached, Execution.NOT_EXECUTED),
        (404, b'{"error":{"code":"disk_not_found"', APIError, Execution.REFUSED),
        (404, b"\xff\xfe", APIError, Execution.REFUSED),
        (418, b'{"error":{"code":"brand_new"}}', APIError, Execution.REFUSED),
        (403, b'{"error":{"code":"service_unavailable"}}', APIError, Execution.REFUSED),
        (302, b"", ProtocolError, Execution.UNCLEAR),
    ],
)
def test_bodies_that_are_not_the_apis(
    status: int, body: bytes, kind: type[KatapultError], execution: Execution
) -> None:
    error = error_from_response(status, {"Content-Type": "text/html"}, body, operation="GET /y")
    assert type(error) is kind
    assert error.execution is execution
    assert not error.stops_run
    assert "<" not in str(error)


@given(st.integers(300, 599), st.binary(max_size=300))
def test_any_answer_gives_a_bounded_printable_message(status: int, body: bytes) -> None:
    error = error_from_response(status, {}, body, operation="GET /y")
    assert str(error).isprintable()
    assert len(str(error)) < 1500


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_words_of_the_api_cannot_steer_a_terminal(code: str, description: str) -> None:
    body = json.dumps({"error": {"code": code, "description": description}}).encode()
    error = error_from_response(422, {"X-Request-Id": "\x1b[31m"}, body)
    assert str(error).isprintable()
    assert len(str(error)) < 600


def test_only_what_refuses_the_token_or_the_organization_stops_a_run() -> None:
    stopping = {code for code in CODES if answer(status_of(code), code).stops_run}
    assert stopping == {
        "missing_api_token",
        "invalid_api_token",
        "invalid_capabilities_token",
        "unauthorized_network_for_api_token",
        "scope_not_granted",
        "organization_suspended",
        "organization_not_activated",
    }
    assert issubclass(CODES["invalid_api_token"], AuthenticationError)


@pytest.mark.parametrize(
    "error",
    [
        answer(404, "disk_not_found"),
        answer(406, "object_in_trash"),
        ConnectError("no host", operation="GET /x"),
    ],
)
def test_errors_survive_pickle_and_copy(error: KatapultError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.__dict__ == error.__dict__


def test_a_not_found_is_no_authentication_error() -> None:
    assert isinstance(answer(404, "task_not_found"), NotFound)
