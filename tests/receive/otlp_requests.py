"""Small OTLP requests for tests of the receivers."""

from __future__ import annotations

import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def request(*names: str, trace_id: bytes = b"t" * 16) -> ExportTraceServiceRequest:
    """Spans with these names, sent by `checkout`."""
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "checkout"
    scope_spans = resource_spans.scope_spans.add()
    now = time.time_ns()
    for name in names:
        scope_spans.spans.add(
            trace_id=trace_id, span_id=b"s" * 8, name=name, start_time_unix_nano=now, end_time_unix_nano=now + 1_000
        )
    return message
