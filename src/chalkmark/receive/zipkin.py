"""Zipkin v2 JSON: a list of spans, with times in microseconds.

What a Zipkin span may leave out is defined here: without `timestamp` the earliest annotation is the start (0 where
there is none, which is marked as TIME_IMPLAUSIBLE); without `duration` the last annotation is the end, at least the
start. `shared` spans keep their identifier; curation separates the two halves.

OpenTelemetry's exporters write the attributes of resource and scope among the tags, as Zipkin has no place for them
(https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/zipkin/). By their names they are told apart again.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from chalkmark.errors import ChalkmarkError
from chalkmark.receive.rows import (
    KINDS,
    Annotation,
    SpanRows,
    Value,
    listing,
    status_of,
    table,
    text,
    undecodable,
    whole,
)
from chalkmark.tables.landing import Received
from chalkmark.tables.quality import Reason

_US = 1000

_OF_RESOURCE = (
    "cloud.",
    "container.",
    "deployment.",
    "faas.instance",
    "faas.max_memory",
    "faas.name",
    "faas.version",
    "host.",
    "k8s.",
    "os.",
    "process.",
    "service.instance.",
    "service.name",
    "service.version",
    "telemetry.sdk.",
)
"""How names of resource attributes begin in OpenTelemetry's conventions; `service.peer.name`, `faas.trigger` are a span's."""
_SCOPE = {
    "otel.scope.name": "name",
    "otel.scope.version": "version",
    "otel.library.name": "name",
    "otel.library.version": "version",
}
"""The scope's tags; those of the library are their old names, sent beside them."""


def decode(body: bytes, source: str, received_ns: int) -> Received:
    """One list of spans. Raises ChalkmarkError where the body is no such document; see `read`."""
    rows = SpanRows(source, received_ns)
    read(rows.load(body), rows)
    return rows.finish()


def read(document: Any, rows: SpanRows) -> None:
    """Add the spans of a parsed list (or a single span). Raises ChalkmarkError where it is neither."""
    if type(document) not in (list, dict):
        raise ChalkmarkError("not Zipkin v2 JSON: the document is no list", "Send a list of spans.")
    rows.spans(document if type(document) is list else (document,), partial(_span, rows))


def _span(rows: SpanRows, span: dict[str, Any]) -> None:
    local = table(span.get("localEndpoint"), "localEndpoint")
    tags = dict(table(span.get("tags"), "tags"))
    scope = _scope(tags)
    sender = rows.sender(_resource(local, tags), scope)
    events = _events(rows, span.get("annotations"))
    times = [at for _, _, _, at in events if at is not None]
    timestamp, duration = span.get("timestamp"), span.get("duration")
    start_ns = min(times, default=0) if timestamp is None else whole(timestamp, "timestamp", _US)
    end_ns = max([start_ns, *times]) if duration is None else start_ns + whole(duration, "duration", _US)
    if abs(end_ns) >= 1 << 63:
        raise undecodable("duration", duration, "a time within 64 bits")
    kind = text(span.get("kind"), "kind").upper()
    if kind and kind not in KINDS:
        rows.mark(Reason.KIND_UNKNOWN)
    status, message = status_of(tags)
    rows.add(
        sender,
        trace_id=span.get("traceId"),
        span_id=span.get("id"),
        parent_span_id=span.get("parentId"),
        operation=text(span.get("name"), "name"),
        kind=KINDS.get(kind, 0),
        start_ns=start_ns,
        end_ns=end_ns,
        status=status,
        status_message=message,
        attributes=_attributes(span, tags, local),
        annotations=events,
    )


def _scope(tags: dict[str, Any]) -> dict[str, str]:
    """Takes the scope's fields out of the tags."""
    scope: dict[str, str] = {}
    for tag, field in _SCOPE.items():
        if isinstance(tags.get(tag), str):
            said = tags.pop(tag)
            scope[field] = scope.get(field) or said
    return {field: said for field, said in scope.items() if said}


def _resource(local: dict[str, Any], tags: dict[str, Any]) -> dict[str, Value]:
    """Takes the resource's attributes out of the tags; the endpoint has the last word on what both say."""
    told = [name for name in tags if name.startswith(_OF_RESOURCE)]
    fields = {"service.name": local.get("serviceName"), "host.ip": local.get("ipv4") or local.get("ipv6")}
    said: dict[str, Value] = {name: text(value, f"localEndpoint {name}") for name, value in fields.items() if value}
    return said | {name: tags.pop(name) for name in told if said.get(name, tags[name]) == tags[name]}


def _attributes(span: dict[str, Any], tags: dict[str, Any], local: dict[str, Any]) -> dict[str, Value]:
    remote = table(span.get("remoteEndpoint"), "remoteEndpoint")
    attributes: dict[str, Value] = tags
    for key, value in (
        ("peer.service", text(remote.get("serviceName"), "remoteEndpoint.serviceName")),
        ("network.peer.address", text(remote.get("ipv4") or remote.get("ipv6"), "remoteEndpoint.ipv4")),
        ("network.peer.port", whole(remote.get("port") or 0, "remoteEndpoint.port")),
        ("network.local.port", whole(local.get("port") or 0, "localEndpoint.port")),
        ("zipkin.shared", span.get("shared") is True),
        ("zipkin.debug", span.get("debug") is True),
    ):
        if value:
            attributes.setdefault(key, value)
    return attributes


def _events(rows: SpanRows, annotations: object) -> list[Annotation]:
    events = []
    for item in listing(annotations, "annotations"):
        annotation = table(item, "annotation")
        at_ns = whole(annotation.get("timestamp") or 0, "annotation.timestamp", _US)
        events.append(rows.event(text(annotation.get("value"), "annotation.value"), at_ns or None, {}))
    return events
