"""An OpenTelemetryObserver and what it has exported, kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer
from opentelemetry.util.types import AttributeValue

from katapult_async.otel import OpenTelemetryObserver


class Telemetry:
    """Collects traces and metrics in memory. Close it at the end.

    Attributes:
        observer: The observer for a client.
        tracer: For the caller's own spans.
    """

    def __init__(self, attributes: Mapping[str, AttributeValue] | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self._traces = TracerProvider()
        self._traces.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._meters = MeterProvider([self._reader])
        self.tracer: Tracer = self._traces.get_tracer("the caller")
        self.observer = OpenTelemetryObserver(
            tracer_provider=self._traces, meter_provider=self._meters, attributes=attributes
        )

    def close(self) -> None:
        self._traces.shutdown()
        self._meters.shutdown()

    @property
    def requests(self) -> list[ReadableSpan]:
        """The observer's spans, in the order in which they ended."""
        return [span for span in self._exporter.get_finished_spans() if _scope(span) == "katapult_async"]

    def under(self, name: str) -> list[ReadableSpan]:
        """Those of them whose parent is the caller's span of this name."""
        (parent,) = [span for span in self._exporter.get_finished_spans() if span.name == name]
        assert parent.context is not None
        span_id = parent.context.span_id
        return [span for span in self.requests if span.parent is not None and span.parent.span_id == span_id]

    def metrics(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Of each metric, the attributes and the point of each series."""
        data = self._reader.get_metrics_data()
        resources = data.resource_metrics if data is not None else ()
        return {
            metric.name: [(dict(point.attributes or {}), point) for point in metric.data.data_points]
            for resource in resources
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def everything(self) -> str:
        """All that has left, as text."""
        data = self._reader.get_metrics_data()
        spans = "".join(span.to_json() for span in self._exporter.get_finished_spans())
        return spans + (data.to_json() if data is not None else "")


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def _scope(span: ReadableSpan) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope is not None else ""
