"""OpenTelemetry: spans and metrics of what a client does. Needs the extra `otel`; nothing else here imports it.

    from katapult_async.otel import OpenTelemetryObserver

    async with Client.from_env(observer=OpenTelemetryObserver()) as client: ...

Spans, after the semantic conventions for HTTP clients: one of the kind CLIENT for each request on the wire, named by
method and template ("POST /disks/disk/assign"), with the times of the request: waiting for the rate limit is no part of
it. Its parent is the span that was current where the call was made, or where the bulk run was entered. Everything
but 2xx is an error, 429 included.

    http.request.method, url.template (the path below the base URL), url.full (without its query), server.address,
    server.port, http.response.status_code, error.type (the status, or the class of the failure),
    katapult.request_id, katapult.error_code

Metrics:

    name                                     kind, unit    attributes
    http.client.request.duration             histogram, s  those of the span, without url.full and katapult.*
    katapult.client.rate_limit.waits         histogram, s  katapult.wait.reason
    katapult.client.rate_limit.remaining     gauge         server.address, server.port
    katapult.client.retries                  counter       katapult.operation, katapult.error_code
    katapult.client.outcomes                 counter       katapult.action, katapult.status

`waits` are told when they begin, by the seconds that they add to what was told before; the wait for an answer under
way, whose end nobody knows, is not among them. `remaining` is what the headers of the last answer said. The operation of
a retry is method and template; in a bulk run it is the action.

Not here, because it is not known: http.request.resend_count (a request does not know the tries before it), and a span
for a request that was cancelled. A 2xx whose body is not what the API documents is no error of its span. No trace
header is sent. Never in an attribute: the token, a body, a query.
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
from .observer import Observer, OutcomeEvent, RequestEvent, RetryEvent, WaitEvent

__all__ = ["OpenTelemetryObserver"]

#: Of the conventions that the names follow.
SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
#: Seconds. As the conventions advise for requests.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
#: Seconds. A wait lasts from a turn in an even pace to a whole window, seldom longer.
WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0)
#: Seconds by which the end of one and the same wait may be told differently.
JITTER = 0.001

# Those of RFC 9110, and PATCH. Another one would be a name of unknown cardinality.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})

_Attributes = dict[str, AttributeValue]


class OpenTelemetryObserver(Observer):
    """Turns events into spans and metrics; see this module for their names.

        Client(api_token, observer=OpenTelemetryObserver())

    tracer_provider, meter_provider: the global ones unless given. attributes: of yours, put on everything, so that
    several clients can be told apart: give each client an observer of its own then.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        self._own: _Attributes = dict(attributes or {})
        self._waits_told_until = 0.0
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
            "Time for which requests are held back by the rate limit, told when it begins.",
            explicit_bucket_boundaries_advisory=WAIT_BUCKETS,
        )
        self._remaining = meter.create_gauge(
            "katapult.client.rate_limit.remaining",
            "{request}",
            "Requests left in the window, as the last answer said.",
        )
        self._retries = meter.create_counter(
            "katapult.client.retries", "{retry}", "Requests that are sent again, without 429s."
        )
        self._outcomes = meter.create_counter(
            "katapult.client.outcomes", "{item}", "Items of bulk runs that are through."
        )

    def on_request(self, event: RequestEvent) -> None:
        """A span, its duration, and what is left of the window."""
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
        # In the context of the span, so that an exemplar leads to it.
        self._duration.record(ended_at - event.sent_at, measured, set_span_in_context(span))
        if event.remaining is not None:
            self._remaining.set(event.remaining, {**self._own, **target.server})

    def on_wait(self, event: WaitEvent) -> None:
        """What this wait adds to those told before: it is told again whenever an answer has changed nothing."""
        if event.until is None:
            return
        added = event.until - max(event.since, self._waits_told_until)
        if added >= JITTER:
            self._waits_told_until = event.until
            self._waits.record(added, {**self._own, "katapult.wait.reason": event.reason})

    def on_retry(self, event: RetryEvent) -> None:
        """One more retry."""
        attributes: _Attributes = {**self._own, "katapult.operation": _without_item(event.operation)}
        if event.code is not None:
            attributes["katapult.error_code"] = event.code
        self._retries.add(1, attributes)

    def on_outcome(self, event: OutcomeEvent) -> None:
        """One more outcome of its kind."""
        attributes: _Attributes = {"katapult.action": event.action, "katapult.status": event.status}
        self._outcomes.add(1, {**self._own, **attributes})


class _Target(NamedTuple):
    """What all requests of an operation have in common."""

    span_name: str
    #: Of spans and metrics.
    attributes: _Attributes
    #: Those of them that name the server.
    server: _Attributes
    #: Of spans only.
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
    """Method and path. Callers may declare operations of their own, and may have put a query into the path."""
    method, _, path = operation.partition(" ")
    return method, path.partition("?")[0].partition("#")[0]


def _without_item(operation: str) -> str:
    """Only the action, where what is tried again is an item: disks would make a time series each."""
    method, path = _split(operation)
    return f"{method} {path}" if method.isupper() else method


def _error_type(event: RequestEvent) -> str | None:
    if event.status is not None and event.status >= 400:
        return str(event.status)
    return event.failure


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
