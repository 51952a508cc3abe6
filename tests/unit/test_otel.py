"""Events become spans and metrics with the documented names. No secret is in them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from katapult_async import BudgetEvent, BudgetProcess, OutcomeEvent, RequestEvent, RetryEvent, WaitEvent
from katapult_async.otel import DURATION_BUCKETS, OpenTelemetryObserver
from tests.telemetry import Telemetry, attributes_of

BASE_URL = "https://api.example/core/v1"
SERVER = {"server.address": "api.example", "server.port": 443}
ASSIGN = {"http.request.method": "POST", "url.template": "/disks/disk/assign", **SERVER}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.close()


def request(operation: str = "POST /disks/disk/assign", **fields: Any) -> RequestEvent:
    defaults: dict[str, Any] = {"sent_at": 1000.0, "ended_at": 1000.25, "base_url": BASE_URL}
    return RequestEvent(operation=operation, **{**defaults, **fields})


def test_a_request_is_a_client_span_named_by_the_conventions(telemetry: Telemetry) -> None:
    telemetry.observer.on_request(request(status=200, request_id="req-1"))
    (span,) = telemetry.requests
    assert span.name == "POST /disks/disk/assign"
    assert span.kind is SpanKind.CLIENT
    assert (span.start_time, span.end_time) == (1_000_000_000_000, 1_000_250_000_000)
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None
    assert attributes_of(span) == {
        **ASSIGN,
        "url.full": "https://api.example/core/v1/disks/disk/assign",
        "http.response.status_code": 200,
        "katapult.request_id": "req-1",
    }
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "katapult_async"


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        (
            {"status": 429, "code": "rate_limit_reached"},
            {
                "error.type": "429",
                "http.response.status_code": 429,
                "katapult.error_code": "rate_limit_reached",
            },
        ),
        ({"status": 502}, {"error.type": "502", "http.response.status_code": 502}),
        (
            {"status": 302, "failure": "ProtocolError"},
            {"error.type": "ProtocolError", "http.response.status_code": 302},
        ),
        ({"failure": "ConnectionLost"}, {"error.type": "ConnectionLost"}),
    ],
)
def test_a_failed_request_is_an_error_with_its_type(
    telemetry: Telemetry, fields: dict[str, Any], attributes: dict[str, Any]
) -> None:
    telemetry.observer.on_request(request(**fields))
    (span,) = telemetry.requests
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert attributes_of(span).items() >= attributes.items()
    ((measured, _),) = telemetry.metrics()["http.client.request.duration"]
    assert measured == {**ASSIGN, **{k: v for k, v in attributes.items() if not k.startswith("katapult.")}}


def test_the_duration_uses_seconds_and_the_buckets_of_the_conventions(telemetry: Telemetry) -> None:
    telemetry.observer.on_request(request(status=200, request_id="req-1"))
    telemetry.observer.on_request(request(status=200, ended_at=999.0))  # the clock was set back
    ((attributes, point),) = telemetry.metrics()["http.client.request.duration"]
    assert attributes == {**ASSIGN, "http.response.status_code": 200}
    assert (point.count, point.sum, point.min) == (2, 0.25, 0.0)
    assert tuple(point.explicit_bounds) == DURATION_BUCKETS
    assert telemetry.requests[1].start_time == telemetry.requests[1].end_time


@pytest.mark.parametrize(
    ("base_url", "address", "port"),
    [
        ("http://127.0.0.1:8080/core/v1", "127.0.0.1", 8080),
        ("http://localhost", "localhost", 80),
        ("https://[::1]/x", "::1", 443),
    ],
)
def test_the_server_comes_from_the_base_url(
    telemetry: Telemetry, base_url: str, address: str, port: int
) -> None:
    telemetry.observer.on_request(request(base_url=base_url, status=200))
    attributes = attributes_of(telemetry.requests[0])
    assert (attributes["server.address"], attributes["server.port"]) == (address, port)


def test_an_event_without_a_base_url_names_no_server(telemetry: Telemetry) -> None:
    telemetry.observer.on_request(request(base_url="", status=200))
    assert not {"server.address", "server.port", "url.full"} & set(attributes_of(telemetry.requests[0]))


def test_a_custom_operation_leaks_no_query_and_no_unknown_method(telemetry: Telemetry) -> None:
    telemetry.observer.on_request(request("GET /things?token=s3cret#s3cret", status=200))
    telemetry.observer.on_request(request("BREW /things", status=200))
    telemetry.observer.on_retry(
        RetryEvent(operation="GET /things?token=s3cret", attempt=1, delay=1.0, reason="s3cret", code="x")
    )
    first, second = telemetry.requests
    assert (first.name, second.name) == ("GET /things", "HTTP /things")
    attributes = attributes_of(second)
    assert attributes["http.request.method"] == "_OTHER"
    assert attributes["http.request.method_original"] == "BREW"
    assert "s3cret" not in telemetry.everything()


def budget(**fields: Any) -> BudgetEvent:
    defaults: dict[str, Any] = {"limit": 1000, "remaining": 400, "used": 600, "in_flight": 30, "waiting": 7}
    defaults.update(place="/budgets", reachable=True, others=())
    return BudgetEvent(**{**defaults, **fields})


def test_a_shared_budget_is_measured(telemetry: Telemetry) -> None:
    telemetry.observer.on_budget(budget())
    telemetry.observer.on_budget(
        budget(used=601, remaining=None, reachable=False, others=(BudgetProcess(name="process 1 on host"),))
    )
    prefix = "katapult.client.budget."
    measured = {
        name.removeprefix(prefix): (point.value, attributes)
        for name, [(attributes, point)] in telemetry.metrics().items()
        if name.startswith(prefix)
    }
    place = {"katapult.budget.place": "/budgets"}
    expected = {"limit": 1000, "remaining": 400, "used": 601, "in_flight": 30, "waiting": 7}
    assert measured == {
        name: (value, place) for name, value in {**expected, "processes": 2, "reachable": 0}.items()
    }


def test_remaining_is_the_value_of_the_last_response(telemetry: Telemetry) -> None:
    telemetry.observer.on_request(request(status=200, permitted=10, remaining=9))
    telemetry.observer.on_request(request(status=200, permitted=10, remaining=8))
    telemetry.observer.on_request(request(failure="ConnectionLost"))
    ((attributes, point),) = telemetry.metrics()["katapult.client.rate_limit.remaining"]
    assert attributes == SERVER
    assert point.value == 8


def test_a_wait_that_is_reported_twice_is_recorded_once(telemetry: Telemetry) -> None:
    def wait(since: float, until: float | None, reason: str = "the next window") -> None:
        telemetry.observer.on_wait(WaitEvent(since=since, until=until, reason=reason))

    wait(100.0, 130.0)
    wait(101.0, 130.0004)  # a response has woken the request and changed nothing
    wait(102.0, 120.0)
    wait(103.0, None)  # the end is unknown
    wait(104.0, 140.0)  # longer than reported before
    wait(150.0, 151.0, "its turn")
    points = {
        a["katapult.wait.reason"]: p for a, p in telemetry.metrics()["katapult.client.rate_limit.waits"]
    }
    assert (points["the next window"].count, points["the next window"].sum) == (2, pytest.approx(40.0))
    assert (points["its turn"].count, points["its turn"].sum) == (1, 1.0)


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        ("GET /disks/disk", "GET /disks/disk"),
        ("assign disk_1 -> vm_1", "assign"),
        ("attach disk_1", "attach"),
    ],
)
def test_retries_are_counted_by_operation_and_code_and_not_by_disk(
    telemetry: Telemetry, operation: str, named: str
) -> None:
    for code in ("service_unavailable", "service_unavailable", None):
        event = RetryEvent(operation=operation, attempt=1, delay=1.0, reason="disk_1 …", code=code)
        telemetry.observer.on_retry(event)
    counted = {
        a.get("katapult.error_code"): (a, p) for a, p in telemetry.metrics()["katapult.client.retries"]
    }
    assert {code: point.value for code, (_, point) in counted.items()} == {"service_unavailable": 2, None: 1}
    assert all(attributes["katapult.operation"] == named for attributes, _ in counted.values())


def test_outcomes_are_counted_by_action_and_status(telemetry: Telemetry) -> None:
    for status in ("assigned", "assigned", "failed"):
        telemetry.observer.on_outcome(
            OutcomeEvent(
                action="assign",
                disk="disk_1",
                virtual_machine="vm_1",
                status=status,
                ok=status == "assigned",
                finished_at=1.0,
            )
        )
    points = telemetry.metrics()["katapult.client.outcomes"]
    assert sorted((a["katapult.action"], a["katapult.status"], p.value) for a, p in points) == [
        ("assign", "assigned", 2),
        ("assign", "failed", 1),
    ]
    assert all(set(attributes) == {"katapult.action", "katapult.status"} for attributes, _ in points)


def test_the_callers_attributes_are_on_all_spans_and_metrics() -> None:
    telemetry = Telemetry(attributes={"account": "acme"})
    observer = telemetry.observer
    observer.on_request(request(status=200, permitted=10, remaining=9))
    observer.on_wait(WaitEvent(since=1.0, until=2.0, reason="x"))
    observer.on_retry(RetryEvent(operation="GET /x", attempt=1, delay=1.0, reason="x"))
    observer.on_outcome(
        OutcomeEvent(
            action="assign", disk="d", virtual_machine=None, status="assigned", ok=True, finished_at=1.0
        )
    )
    assert attributes_of(telemetry.requests[0])["account"] == "acme"
    metrics = telemetry.metrics()
    assert set(metrics) == {
        "http.client.request.duration",
        "katapult.client.rate_limit.waits",
        "katapult.client.rate_limit.remaining",
        "katapult.client.retries",
        "katapult.client.outcomes",
    }
    assert all(attributes["account"] == "acme" for points in metrics.values() for attributes, _ in points)
    telemetry.close()


def test_the_global_providers_are_the_default() -> None:
    observer = OpenTelemetryObserver()
    observer.on_request(request(status=200, permitted=10, remaining=9))
    observer.on_wait(WaitEvent(since=1.0, until=2.0, reason="x"))


def test_every_documented_name_is_used() -> None:
    from katapult_async import otel

    words = set((otel.__doc__ or "").replace(",", " ").split())
    telemetry = Telemetry()
    telemetry.observer.on_request(request(status=503, code="c", request_id="r", permitted=10, remaining=9))
    telemetry.observer.on_wait(WaitEvent(since=1.0, until=2.0, reason="x"))
    telemetry.observer.on_retry(RetryEvent(operation="GET /x", attempt=1, delay=1.0, reason="x", code="c"))
    telemetry.observer.on_outcome(
        OutcomeEvent(
            action="assign", disk="d", virtual_machine=None, status="assigned", ok=True, finished_at=1.0
        )
    )
    metrics = telemetry.metrics()
    used = {*metrics, *attributes_of(telemetry.requests[0])}
    used |= {name for points in metrics.values() for attributes, _ in points for name in attributes}
    assert used <= words
    telemetry.close()


def test_without_opentelemetry_the_import_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "katapult_async.otel")
    with pytest.raises(ImportError, match=r"pip install 'katapult-async\[otel\]'"):
        importlib.import_module("katapult_async.otel")


def test_the_package_and_all_its_names_load_no_opentelemetry() -> None:
    code = "import sys, katapult_async as k; [getattr(k, name) for name in k.__all__]"
    code += "; assert not [name for name in sys.modules if name.split('.')[0] == 'opentelemetry']"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603
