"""Spans as Zipkin v2 JSON over HTTP, for a service that has not moved to OTLP yet (https://zipkin.io/zipkin-api/)."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode
from opentelemetry.trace.span import format_span_id, format_trace_id

TIMEOUT_S = 10.0


class ZipkinExporter(SpanExporter):
    """Posts to `OTEL_EXPORTER_ZIPKIN_ENDPOINT`."""

    def __init__(self) -> None:
        self._url = os.environ["OTEL_EXPORTER_ZIPKIN_ENDPOINT"]
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends one request; a refusal loses these spans, as it does in other Zipkin exporters."""
        body = json.dumps([_as_zipkin(span) for span in spans]).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            self._open(request, timeout=TIMEOUT_S).close()
        except (urllib.error.URLError, TimeoutError):
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


def _as_zipkin(span: ReadableSpan) -> dict[str, Any]:
    """The mapping of https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/zipkin/: values are text, times are us."""
    assert span.context is not None
    assert span.start_time is not None
    assert span.end_time is not None
    resource = span.resource.attributes
    attributes = {**resource, **(span.attributes or {})}
    tags = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in attributes.items()}
    if span.instrumentation_scope is not None:
        tags["otel.scope.name"] = span.instrumentation_scope.name
        tags["otel.scope.version"] = span.instrumentation_scope.version or ""
    if span.status.status_code is not StatusCode.UNSET:
        tags["otel.status_code"] = span.status.status_code.name
    if span.status.status_code is StatusCode.ERROR:
        tags["error"] = span.status.description or "true"
    zipkin: dict[str, Any] = {
        "traceId": format_trace_id(span.context.trace_id),
        "id": format_span_id(span.context.span_id),
        "name": span.name,
        "timestamp": span.start_time // 1000,
        "duration": max(1, (span.end_time - span.start_time) // 1000),
        "localEndpoint": {"serviceName": resource["service.name"]},
        "tags": tags,
        "annotations": [{"timestamp": event.timestamp // 1000, "value": event.name} for event in span.events],
    }
    if span.parent is not None:
        zipkin["parentId"] = format_span_id(span.parent.span_id)
    if span.kind.name != "INTERNAL":
        zipkin["kind"] = span.kind.name
    if "peer.service" in tags:
        zipkin["remoteEndpoint"] = {"serviceName": tags["peer.service"]}
    return zipkin
