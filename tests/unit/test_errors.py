"""Every unsuccessful response becomes one clear error, whatever its bytes."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.errors import (
    CODES,
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
    NotFound,
    ObjectInTrash,
    ProtocolError,
    RateLimitReached,
    RequestTimeout,
    ScopeNotGranted,
    ServerError,
    ServiceUnavailable,
    TaskQueueingError,
    TransportError,
    UnableToAssign,
    error_from_response,
)

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


def error_for(status: int, code: str, detail: object = None, *, flat: bool = False) -> KatapultError:
    body: dict[str, object] = {"code": code, "description": "Words of the API.", "detail": detail or {}}
    text = json.dumps(body if flat else {"error": body}).encode()
    return error_from_response(status, {"X-Request-Id": "req-1"}, text, operation="POST /x")


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("code", sorted(CODES))
def test_every_known_code_gives_its_class(code: str, flat: bool) -> None:
    error = error_for(status_of(code), code, flat=flat)
    assert type(error) is CODES[code]
    assert isinstance(error, APIError)
    assert (error.code, error.status, error.request_id) == (code, status_of(code), "req-1")
    assert str(error).startswith(f"POST /x: {code} ({status_of(code)}): Words of the API")
    assert "req-1" in str(error)


def test_details_are_typed() -> None:
    trashed = error_for(406, "object_in_trash", {"trash_object": {"id": "trsh_1", "object_id": "disk_1"}})
    assert isinstance(trashed, ObjectInTrash)
    assert trashed.trash_object is not None
    assert trashed.trash_object.id == "trsh_1"
    assert "trsh_1" in str(trashed)
    refused = error_for(422, "unable_to_assign", {"errors": ["Disk is not built", 7]})
    assert isinstance(refused, UnableToAssign)
    assert refused.errors == ("Disk is not built",)
    scope = error_for(403, "scope_not_granted", {"scopes": ["disks"]})
    assert isinstance(scope, ScopeNotGranted)
    assert scope.scopes == ("disks",)
    assert "required scope: disks" in str(scope)
    network = error_for(403, "unauthorized_network_for_api_token", {"ip_address": "192.0.2.1"})
    assert isinstance(network, NetworkNotAuthorized)
    assert network.ip_address == "192.0.2.1"
    assert "192.0.2.1" in str(network)
    queueing = error_for(406, "task_queueing_error", {"details": "busy"})
    assert isinstance(queueing, TaskQueueingError)
    assert queueing.details == "busy"
    invalid = error_for(
        400, "invalid_argument", {"path": "disk", "argument": "id", "issue": "invalid_scalar"}
    )
    assert isinstance(invalid, InvalidRequest)
    assert "argument: id" in str(invalid)


@pytest.mark.parametrize(
    ("detail", "argument", "shown"),
    [
        (
            {
                "path": ["properties", "size_in_gb"],
                "index": None,
                "issue": "validation_errors",
                "errors": ["greater_than_zero"],
                "argument": {"id": "X/Y/Size", "name": "size_in_gb", "description": None},
            },
            "properties.size_in_gb",
            "argument: properties.size_in_gb, issue: validation_errors, errors: greater_than_zero",
        ),
        ({"argument": {"id": "X/Y", "name": "disk", "description": None}}, "disk", "argument: disk"),
        (
            {"path": [], "argument": "disk", "issue": "parse_error"},
            "disk",
            "argument: disk, issue: parse_error",
        ),
        ({"path": "disk"}, "disk", "argument: disk"),
        ({"path": ["a\x1bb"]}, "a b", "argument: a b"),
        ({"argument": {"name": 7}, "errors": [7], "issue": {}}, None, None),
    ],
)
def test_an_invalid_request_says_which_argument_is_wrong(
    detail: object, argument: str | None, shown: str | None
) -> None:
    invalid = error_for(400, "invalid_argument", detail)
    assert isinstance(invalid, InvalidRequest)
    assert invalid.argument == argument
    assert str(shown) in str(invalid) if shown else "argument:" not in str(invalid)


def test_invalid_json_names_the_place() -> None:
    assert "details: nesting of 101" in str(
        error_for(400, "invalid_json_body", {"details": "nesting of 101"})
    )


@pytest.mark.parametrize(
    "detail", [{}, [], "x", {"trash_object": 4}, {"errors": "no list"}, {"scopes": None}]
)
def test_details_of_the_wrong_type_are_ignored(detail: object) -> None:
    trashed = error_for(406, "object_in_trash", detail)
    assert isinstance(trashed, ObjectInTrash)
    assert trashed.trash_object is None
    refused = error_for(422, "unable_to_assign", detail)
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
    error = error_for(429, "rate_limit_reached", {"total_permitted": value})
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
        (404, b'{"error":{"code":"disk_not_found"', APIError, Execution.UNCLEAR),
        (404, b"\xff\xfe", APIError, Execution.UNCLEAR),
        (403, b"<html>Forbidden</html>", APIError, Execution.UNCLEAR),
        (422, b"", APIError, Execution.UNCLEAR),
        (422, b'{"errors":["no envelope"]}', APIError, Execution.UNCLEAR),
        (403, b'{"code":"of a proxy","message":"no"}', APIError, Execution.UNCLEAR),
        (404, b'{"error":{"code":" "}}', APIError, Execution.UNCLEAR),
        (404, b'{"error":{"code":"\\u0000"}}', APIError, Execution.UNCLEAR),
        (408, b"<html>Request Timeout</html>", APIError, Execution.UNCLEAR),
        (408, b'{"error":{"code":"disk_not_found"}}', APIError, Execution.UNCLEAR),
        (408, b'{"error":{"code":"brand_new"}}', APIError, Execution.UNCLEAR),
        (418, b'{"error":{"code":"brand_new"}}', APIError, Execution.UNCLEAR),
        (
            418,
            b'{"error":{"code":"brand_new","description":null,"detail":{}}}',
            APIError,
            Execution.REFUSED,
        ),
        (403, b'{"error":{"code":"service_unavailable"}}', APIError, Execution.UNCLEAR),
        (400, b'{"error":{"code":"rate_limit_reached"}}', APIError, Execution.UNCLEAR),
        (403, b'{"error":{"code":"disk_not_found"}}', APIError, Execution.UNCLEAR),
        (404, b'{"error":{"code":"invalid_api_token"}}', APIError, Execution.UNCLEAR),
        (502, b'{"error":{"code":"rate_limit_reached"}}', ServerError, Execution.UNCLEAR),
        (502, b'{"error":{"code":"service_unavailable"}}', ServerError, Execution.UNCLEAR),
        (302, b"", ProtocolError, Execution.UNCLEAR),
    ],
)
def test_foreign_bodies(status: int, body: bytes, kind: type[KatapultError], execution: Execution) -> None:
    error = error_from_response(status, {"Content-Type": "text/html"}, body, operation="GET /y")
    assert type(error) is kind
    assert error.execution is execution
    assert not error.stops_run
    assert "<" not in str(error)


FOREIGN = [
    (404, b'{"error":{"code":"ResourceNotFound","message":"The resource was not found."}}'),
    (404, b'{"error":{"code":"NotFound","message":"x","target":"y"}}'),
    (401, b'{"error":{"code":"Unauthorized","message":"Access denied"}}'),
    (401, b'{"error":{"code":"unauthorized","description":"x"}}'),
    (403, b'{"error":{"code":"AccessDenied"}}'),
    (403, b'{"error":{"code":"AccessDenied","detail":{}}}'),
]


@pytest.mark.parametrize(("status", "body"), FOREIGN)
def test_an_unknown_code_without_header_and_keys_is_foreign(status: int, body: bytes) -> None:
    error = error_from_response(status, {"Content-Type": "application/json"}, body)
    assert isinstance(error, APIError)
    assert (error.code, error.execution) == (None, Execution.UNCLEAR)
    assert "the response is not from the API" in str(error)


@pytest.mark.parametrize("name", ["X-Api-Schema", "x-api-schema"])
@pytest.mark.parametrize(("status", "body"), FOREIGN)
def test_the_header_marks_an_unknown_code_as_the_apis(status: int, body: bytes, name: str) -> None:
    error = error_from_response(status, {name: "json-error"}, body)
    assert isinstance(error, APIError)
    assert error.code is not None
    assert error.execution is Execution.REFUSED
    assert error_from_response(status, {name: "json"}, body).execution is Execution.UNCLEAR


@pytest.mark.parametrize(
    "body",
    [
        b"SECRET" * 100_000,
        b'{"error":{"code":"disk_not_found","description":"SECRET',
        b'{"error":"SECRET"}',
        b'{"error":{"code":["SECRET"]}}',
        b"\xffSECRET",
        b'{"error":{"code":"disk_not_found","detail":' + b"[" * 100_000 + b"SECRET",
        b'{"initial_root_password":"SECRET"}',
    ],
)
@pytest.mark.parametrize("status", [200, 301, 403, 404, 429, 500, 502, 503])
def test_a_foreign_body_is_never_shown(status: int, body: bytes) -> None:
    error = error_from_response(status, {"Content-Type": "text/html"}, body, operation="GET /y")
    assert "SECRET" not in f"{error} {error!r} {error.args} {vars(error)}"
    assert f"text/html, {len(body)} bytes" in str(error)
    assert str(error).startswith("GET /y: ")


@pytest.mark.parametrize("code", sorted(CODES))
@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 408, 409, 422])
def test_a_known_code_refuses_only_with_its_own_status(code: str, status: int) -> None:
    error = error_for(status, code)
    assert isinstance(error, APIError)
    assert error.code == code
    if status in CODES[code].statuses:
        assert (type(error), error.execution) == (CODES[code], Execution.REFUSED)
    else:
        assert (type(error), error.execution) == (APIError, Execution.UNCLEAR)
        assert not error.stops_run
        assert "check the result before sending it again" in str(error)


def test_an_unclear_error_stays_unclear_when_pickled() -> None:
    error = pickle.loads(pickle.dumps(error_from_response(404, {}, b"<html>")))
    assert error.execution is Execution.UNCLEAR


def test_a_message_shows_only_the_documented_parts_of_an_error() -> None:
    body = b'{"error":{"code":"disk_not_found","detail":{"more":"SECRET"}},"x":"SECRET"}'
    error = error_from_response(404, {}, body, operation="GET /y")
    assert "SECRET" not in f"{error} {error!r}"


@pytest.mark.parametrize("description", [None, 5, [], {"a": 1}])
def test_the_code_survives_a_description_of_the_wrong_type(description: object) -> None:
    body = json.dumps({"error": {"code": "disk_not_found", "description": description}}).encode()
    error = error_from_response(404, {}, body)
    assert isinstance(error, NotFound)
    assert error.code == "disk_not_found"
    assert error.description is None


def test_a_long_description_is_cut() -> None:
    body = json.dumps({"error": {"code": "disk_not_found", "description": "x" * 5000}}).encode()
    error = error_from_response(404, {}, body)
    assert isinstance(error, NotFound)
    assert error.description == "x" * 300


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("object_in_trash", {"trash_object": {"id": "\x1b[31m" * 900}}),
        ("scope_not_granted", {"scopes": ["\x1b[31m" * 900] * 90}),
        ("unable_to_assign", {"errors": ["\x1b[31m" * 900] * 90}),
        ("permission_denied", {"details": "\x1b[31m" * 900}),
        ("invalid_argument", {"path": "\x1b[31m" * 900, "issue": "\x1b[31m" * 900}),
    ],
)
def test_details_are_shown_cleaned_and_cut(code: str, detail: object) -> None:
    error = error_for(status_of(code), code, detail)
    assert str(error).isprintable()
    assert 300 < len(str(error)) < 500


@pytest.mark.parametrize("name", ["X-Request-Id", "x-request-id", "X-REQUEST-ID"])
def test_headers_are_found_in_any_case(name: str) -> None:
    assert error_from_response(404, {"Date": "now", name: "req-7"}, b"").request_id == "req-7"


@given(st.integers(100, 999), st.binary(max_size=300))
def test_any_response_gives_a_bounded_printable_message(status: int, body: bytes) -> None:
    error = error_from_response(status, {}, body, operation="GET /y")
    assert str(error).isprintable()
    assert len(str(error)) < 1200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
DETAIL = st.dictionaries(
    st.sampled_from(["errors", "scopes", "details", "ip_address", "trash_object", "total_permitted", "path"]),
    JSON | st.just("\x1b" * 9000) | st.just(["x" * 9000] * 9) | st.just({"id": "\x1b[31m" * 900}),
)


@given(st.sampled_from(sorted(CODES)), st.sampled_from([400, 404, 422, 429, 500, 503]), JSON, DETAIL | JSON)
def test_no_detail_breaks_an_error_or_its_message(
    code: str, status: int, description: object, detail: object
) -> None:
    body = json.dumps({"error": {"code": code, "description": description, "detail": detail}}).encode()
    error = error_from_response(status, {}, body, operation="GET /y")
    assert isinstance(error, APIError)
    assert error.code == code
    assert str(error).isprintable()
    assert len(str(error)) < 1200


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_text_of_the_api_cannot_control_a_terminal(code: str, description: str) -> None:
    body = json.dumps({"error": {"code": code, "description": description}}).encode()
    error = error_from_response(422, {"X-Request-Id": "\x1b[31m"}, body)
    assert str(error).isprintable()
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    ("code", "detail", "advice"),
    [
        ("invalid_api_token", {}, "KATAPULT_API_KEY"),
        ("scope_not_granted", {"scopes": ["disks"]}, "required scope: disks; use a token with that scope"),
        ("object_in_trash", {"trash_object": {"id": "trsh_1"}}, "restore trsh_1 first"),
        ("unassigned_disk", {}, "assign the disk first"),
        ("route_not_found", {}, "check the base URL"),
        ("rate_limit_reached", {"total_permitted": 40}, "limit: 40 requests per minute; not executed"),
        ("service_unavailable", {}, "not executed: try again later"),
        ("unhandled_exception", {}, "it may have been executed"),
    ],
)
def test_a_message_says_what_to_do(code: str, detail: object, advice: str) -> None:
    assert advice in str(error_for(status_of(code), code, detail))


@pytest.mark.parametrize(
    ("kind", "execution"),
    [
        (ConnectError, Execution.NOT_EXECUTED),
        (ConnectTimeout, Execution.NOT_EXECUTED),
        (RequestTimeout, Execution.UNCLEAR),
        (ConnectionLost, Execution.UNCLEAR),
        (ProtocolError, Execution.UNCLEAR),
        (AssignmentConflict, Execution.REFUSED),
        (KatapultError, Execution.UNCLEAR),
    ],
)
def test_an_error_says_whether_the_request_may_have_been_executed(
    kind: type[KatapultError], execution: Execution
) -> None:
    error = kind("words")
    assert error.execution is execution
    assert not error.stops_run
    if isinstance(error, TransportError):
        assert error.sent is (execution is Execution.UNCLEAR)


def test_the_representation_shows_the_operation_and_the_request_id() -> None:
    assert repr(error_for(422, "unassigned_disk")) == (
        "UnassignedDisk('POST /x: unassigned_disk (422): Words of the API; assign the disk first (request ID req-1)')"
    )


def test_only_errors_of_token_organization_or_base_url_stop_a_run() -> None:
    stopping = {code for code in CODES if error_for(status_of(code), code).stops_run}
    assert stopping == {
        "missing_api_token",
        "invalid_api_token",
        "invalid_capabilities_token",
        "unauthorized_network_for_api_token",
        "scope_not_granted",
        "organization_suspended",
        "organization_not_activated",
        "route_not_found",
    }
    assert issubclass(CODES["invalid_api_token"], AuthenticationError)


@pytest.mark.parametrize(
    "error",
    [
        error_for(404, "disk_not_found"),
        error_for(406, "object_in_trash"),
        ConnectError("no host", operation="GET /x"),
        AssignmentConflict("moved", virtual_machine="vm_1"),
    ],
)
def test_errors_survive_pickle_and_copy(error: KatapultError) -> None:
    pickled = pickle.loads(pickle.dumps(error))
    for twin in (pickled, copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.__dict__ == error.__dict__


def test_not_found_is_not_an_authentication_error() -> None:
    assert isinstance(error_for(404, "task_not_found"), NotFound)
