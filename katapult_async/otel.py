"""OpenTelemetry: spans and metrics of what a client does. Needs the extra `otel`.

    from katapult_async.otel import OpenTelemetryObserver

    async with Client.from_env(observer=OpenTelemetryObserver()) as client: ...

No other module of the package imports this one, and it sends nothing by itself.

Spans follow the semantic conventions for HTTP clients. Each request has one span of the kind
CLIENT, named by method and template ("POST /disks/disk/assign"). Its times are those of the
request, without the wait for the rate limit. Its parent is the span that was current where the call
was made, or where the bulk run was entered. Every status but 2xx is an error, 429 included.
Its attributes:

    http.request.method, url.template (the path below the base URL), url.full (without query),
    server.address, server.port, http.response.status_code, error.type (the status, or the class of
    the failure), katapult.request_id, katapult.error_code

Metrics:

    name                                  kind, unit    attributes
    http.client.request.duration          histogram, s  as the span, without url.full and katapult.*
    katapult.client.rate_limit.waits      histogram, s  katapult.wait.reason
    katapult.client.rate_limit.remaining  gauge         server.address, server.port
    katapult.client.retries               counter       katapult.operation, katapult.error_code
    katapult.client.outcomes              counter       katapult.action, katapult.status
    katapult.client.budget.limit          gauge         katapult.budget.place
    katapult.client.budget.remaining      gauge         katapult.budget.place
    katapult.client.budget.used           gauge         katapult.budget.place
    katapult.client.budget.in_flight      gauge         katapult.budget.place
    katapult.client.budget.waiting        gauge         katapult.budget.place
    katapult.client.budget.processes      gauge         katapult.budget.place
    katapult.client.budget.reachable      gauge, 0 or 1 katapult.budget.place

A wait is recorded when it starts, with the seconds it adds to waits recorded before. A wait for a
response is not recorded, because its end is unknown. `remaining` is the value in the headers of the
last response. The operation of a retry is method and template, or in a bulk run the action. The
metrics of a shared budget are those of `BudgetEvent`. Each process reports the same totals of all
processes: take the latest value, not the sum.

Unknown to the observer, so not recorded: http.request.resend_count (a request does not know earlier
attempts) and spans of cancelled requests. A 2xx whose body does not have the documented form is not
an error of its span. Requests carry no trace header. Attributes never contain the token, a body or
a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

try:
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.trace import (
        SpanKind,
        Status,
        StatusCode,
        TracerProvider,
        get_tracer,
        set_span_in_context,
    )
    from opentelemetry.util.types import AttributeValue
except ImportError as exc:
    raise ImportError(
        "katapult_async.otel needs opentelemetry-api: pip install 'katapult-async[otel]'", name=exc.name
    ) from exc

from . import __version__
from .observer import BudgetEvent, Observer, OutcomeEvent, RequestEvent, RetryEvent, WaitEvent

__all__ = ["OpenTelemetryObserver"]

#: The version of the conventions that the names follow.
SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
#: Seconds, as the conventions recommend for requests.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
#: Seconds. A wait lasts from one turn in paced mode to a whole window, rarely longer.
WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0)
#: Seconds by which two reports of the end of the same wait may differ.
JITTER = 0.001

# The methods of RFC 9110, and PATCH. Other names would have unbounded cardinality.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})

_Attributes = dict[str, AttributeValue]

# Unit and description of each metric of a shared budget.
_BUDGET = {
    "limit": ("{request}", "Requests permitted per window, for all processes that share the budget."),
    "remaining": ("{request}", "Requests left in the window, as this process saw it last."),
    "used": ("{request}", "Requests of the window that the server may have counted."),
    "in_flight": ("{request}", "Requests in flight, of all processes."),
    "waiting": ("{request}", "Requests that wait for a permit, of all processes."),
    "processes": ("{process}", "Processes that share the budget, this one included."),
    "reachable": ("1", "Whether the budget could be reached: 1 or 0."),
}


class OpenTelemetryObserver(Observer):
    """Turns events into spans and metrics. The docstring of this module lists their names.

        Client(api_token, observer=OpenTelemetryObserver())

    Args:
        tracer_provider: The global one by default.
        meter_provider: The global one by default.
        attributes: Added to all spans and metrics. To tell several clients apart, give each client
            an observer of its own.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        self._own: _Attributes = dict(attributes or {})
        self._waits_recorded_until = 0.0
        version = __version__
        self._tracer = get_tracer("katapult_async", version, tracer_provider, SCHEMA_URL)
        meter = get_meter("katapult_async", version, meter_provider, SCHEMA_URL)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._waits = meter.create_histogram(
            "katapult.client.rate_limit.waits",
            "s",
            "Time for which requests wait for the rate limit, recorded when the wait starts.",
            explicit_bucket_boundaries_advisory=WAIT_BUCKETS,
        )
        self._remaining = meter.create_gauge(
            "katapult.client.rate_limit.remaining",
            "{request}",
            "Requests left in the window, as of the last response.",
        )
        self._retries = meter.create_counter(
            "katapult.client.retries", "{retry}", "Requests sent again, without 429s."
        )
        self._outcomes = meter.create_counter(
            "katapult.client.outcomes", "{item}", "Items of bulk runs with an outcome."
        )
        self._budget = {
            name: meter.create_gauge(f"katapult.client.budget.{name}", unit, description)
            for name, (unit, description) in _BUDGET.items()
        }

    def on_request(self, event: RequestEvent) -> None:
        """Record a span, its duration, and what is left of the window."""
        target = _target(event.operation, event.base_url)
        error = _error_type(event)
        measured: _Attributes = {**self._own, **target.attributes}
        if event.status is not None:
            measured["http.response.status_code"] = event.status
        if error is not None:
            measured["error.type"] = error
        traced: _Attributes = {**measured, **target.url}
        if event.request_id is not None:
            traced["katapult.request_id"] = event.request_id
        if event.code is not None:
            traced["katapult.error_code"] = event.code
        # The wall clock may have been set back meanwhile.
        ended_at = max(event.sent_at, event.ended_at)
        span = self._tracer.start_span(
            target.span_name, kind=SpanKind.CLIENT, attributes=traced, start_time=_nanoseconds(event.sent_at)
        )
        if error is not None:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(ended_at))
        # Recorded in the context of the span, so that an exemplar links to it.
        self._duration.record(ended_at - event.sent_at, measured, set_span_in_context(span))
        if event.remaining is not None:
            self._remaining.set(event.remaining, {**self._own, **target.server})

    def on_wait(self, event: WaitEvent) -> None:
        """Record what this wait adds to the waits recorded before."""
        if event.until is None:
            return
        added = event.until - max(event.since, self._waits_recorded_until)
        if added >= JITTER:
            self._waits_recorded_until = event.until
            self._waits.record(added, {**self._own, "katapult.wait.reason": event.reason})

    def on_retry(self, event: RetryEvent) -> None:
        """Count a retry."""
        attributes: _Attributes = {**self._own, "katapult.operation": _without_item(event.operation)}
        if event.code is not None:
            attributes["katapult.error_code"] = event.code
        self._retries.add(1, attributes)

    def on_outcome(self, event: OutcomeEvent) -> None:
        """Count an outcome by status."""
        attributes: _Attributes = {"katapult.action": event.action, "katapult.status": event.status}
        self._outcomes.add(1, {**self._own, **attributes})

    def on_budget(self, event: BudgetEvent) -> None:
        """Record the use of a shared rate limit."""
        attributes: _Attributes = {**self._own, "katapult.budget.place": event.place}
        values = {
            "limit": event.limit,
            "remaining": event.remaining,
            "used": event.used,
            "in_flight": event.in_flight,
            "waiting": event.waiting,
            "processes": len(event.others) + 1,
            "reachable": int(event.reachable),
        }
        for name, value in values.items():
            if value is not None:
                self._budget[name].set(value, attributes)


class _Target(NamedTuple):
    """What all requests of an operation have in common."""

    span_name: str
    #: For spans and metrics.
    attributes: _Attributes
    #: The attributes that name the server.
    server: _Attributes
    #: For spans only.
    url: _Attributes


@lru_cache(maxsize=256)
def _target(operation: str, base_url: str) -> _Target:
    method, template = _split(operation)
    known = method in _METHODS
    server: _Attributes = {}
    url: _Attributes = {}
    if base_url:
        parts = urlsplit(base_url)
        server["server.address"] = parts.hostname or ""
        server["server.port"] = parts.port or (80 if parts.scheme == "http" else 443)
        url["url.full"] = base_url + template
    if not known:
        url["http.request.method_original"] = method
    named: _Attributes = {"http.request.method": method if known else "_OTHER", "url.template": template}
    return _Target(f"{method if known else 'HTTP'} {template}", {**named, **server}, server, url)


def _split(operation: str) -> tuple[str, str]:
    """Return method and path. A caller's own operation may have a query in its path."""
    method, _, path = operation.partition(" ")
    return method, path.partition("?")[0].partition("#")[0]


def _without_item(operation: str) -> str:
    """Return the action without its item: each disk would become a time series."""
    method, path = _split(operation)
    return f"{method} {path}" if method.isupper() else method


def _error_type(event: RequestEvent) -> str | None:
    if event.status is not None and event.status >= 400:
        return str(event.status)
    return event.failure


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
