"""Jaeger JSON, as its page and API export it: `{"data": [trace, ...]}`, a single trace, or a list of traces.

Times are in microseconds. What OpenTelemetry's exporters write as tags (`span.kind`, `otel.status_code`,
`otel.scope.name`, `w3c.tracestate`) goes back to where it came from; `error` and the sampler's tags stay attributes.
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from typing import Any

from chalkmark.errors import ChalkmarkError
from chalkmark.receive.rows import (
    INT64_MAX,
    INT64_MIN,
    KINDS,
    Annotation,
    Sender,
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
_RESOURCE_NAMES = {"hostname": "host.name", "ip": "host.ip"}
_SCOPE_TAGS = {
    "name": ("otel.scope.name", "otel.library.name"),
    "version": ("otel.scope.version", "otel.library.version"),
}


def decode(body: bytes, source: str, received_ns: int) -> Received:
    """One document. Raises ChalkmarkError where the body is no such document; see `read`."""
    rows = SpanRows(source, received_ns)
    read(rows.load(body), rows)
    return rows.finish()


def read(document: Any, rows: SpanRows) -> None:
    """Add the spans of a parsed document. Raises ChalkmarkError where it holds no traces."""
    traces = document
    if type(document) is dict:
        traces = document.get("data", [document] if "spans" in document else None)
    if type(traces) is not list:
        raise ChalkmarkError("not Jaeger JSON: neither data nor spans is there", 'Give {"data": [{"spans": [...], ...}]}.')
    rows.groups(traces, partial(_trace, rows), "trace")


def _trace(rows: SpanRows, trace: dict[str, Any]) -> None:
    processes = table(trace.get("processes"), "processes")
    senders = _Senders(rows, processes)
    rows.spans(listing(trace.get("spans"), "spans"), partial(_span, rows, senders, trace.get("traceID")))


class _Senders:
    """The senders of a trace, each made once: many spans share a process."""

    def __init__(self, rows: SpanRows, processes: dict[str, Any]) -> None:
        self._rows = rows
        self._processes = processes
        self._known: dict[tuple[str, ...], Sender] = {}

    def of(self, process_id: str, scope: dict[str, str]) -> Sender:
        key = (process_id, *scope, *scope.values())
        sender = self._known.get(key)
        if sender is None:
            resource = _resource(table(self._processes.get(process_id), "process"))
            sender = self._known[key] = self._rows.sender(resource, scope)
        return sender


def _span(rows: SpanRows, senders: _Senders, trace_id: object, span: dict[str, Any]) -> None:
    trace_id = span.get("traceID") or trace_id
    tags = _tags(span.get("tags"))
    process_id = text(span.get("processID"), "processID")
    status, message = status_of(tags)
    scope = {part: value for part, names in _SCOPE_TAGS.items() if (value := _taken(tags, *names))}
    parent, links = _references(rows, trace_id, span)
    start_ns = whole(span.get("startTime") or 0, "startTime", _US)
    end_ns = start_ns + whole(span.get("duration") or 0, "duration", _US)
    if not INT64_MIN <= end_ns <= INT64_MAX:
        raise undecodable("duration", span.get("duration"), "a time within 64 bits")
    flags = whole(span.get("flags") or 0, "flags")
    if not 0 <= flags < 1 << 31:
        raise undecodable("flags", flags, "within 31 bits")
    _taken(tags, "otel.status_code", "otel.status_description")
    rows.add(
        senders.of(process_id, scope),
        trace_id=trace_id,
        span_id=span.get("spanID"),
        parent_span_id=parent,
        operation=text(span.get("operationName"), "operationName"),
        kind=_kind(rows, tags),
        start_ns=start_ns,
        end_ns=end_ns,
        status=status,
        status_message=message,
        flags=flags,
        trace_state=_taken(tags, "w3c.tracestate"),
        attributes=tags,
        annotations=[*_events(rows, span.get("logs")), *links, *_warnings(span.get("warnings"))],
    )


def _resource(process: dict[str, Any]) -> dict[str, Value]:
    resource: dict[str, Value] = {"service.name": text(process.get("serviceName"), "process.serviceName")}
    for key, value in _tags(process.get("tags")).items():
        resource[_RESOURCE_NAMES.get(key, key)] = value
    client = resource.get("jaeger.version")
    if isinstance(client, str) and "telemetry.sdk.name" not in resource:
        language, _, version = client.partition("-")  # such as Go-2.30.0
        resource |= {"telemetry.sdk.name": "jaeger", "telemetry.sdk.language": language.lower(), "telemetry.sdk.version": version}
    return resource


def _tags(sent: object) -> dict[str, Value]:
    tags: dict[str, Value] = {}
    for item in listing(sent, "tags"):
        tag = table(item, "tag")
        key = text(tag.get("key"), "tag key")
        tags[key] = _typed(tag.get("value"), tag.get("type"), key)
    return tags


def _typed(value: Any, kind: object, key: str) -> Value:
    """A tag's value as the type it states; JSON's own type where it states none."""
    match kind:
        case "bool" if type(value) is str and value in ("true", "false"):
            return value == "true"
        case "int64" if type(value) is not bool:
            return whole(value, key)
        case "float64" if type(value) in (int, str):
            try:
                return float(value)
            except (ValueError, OverflowError):
                raise undecodable(key, value, "a number") from None
        case "binary" if type(value) is str:
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise undecodable(key, value, "base64") from None
    return value  # type: ignore[no-any-return]  # whatever JSON holds is a Value


def _taken(tags: dict[str, Value], *names: str) -> str:
    """The first of the named tags that is a text, or an empty one; all of them are removed."""
    found = ""
    for name in names:
        if name in tags:
            value = tags.pop(name)
            found = found or (value if isinstance(value, str) else "")
    return found


def _kind(rows: SpanRows, tags: dict[str, Value]) -> int:
    sent = tags.get("span.kind")
    if sent is None:
        return 0
    kind = KINDS.get(str(sent).upper())
    if kind is None:
        rows.mark(Reason.KIND_UNKNOWN)  # and the tag stays, so that it can be seen
        return 0
    del tags["span.kind"]
    return kind


def _references(rows: SpanRows, trace_id: object, span: dict[str, Any]) -> tuple[object, list[Annotation]]:
    """The parent's identifier, and links for the other references.

    The parent is the first CHILD_OF within the trace; a FOLLOWS_FROM is one too (besides its link) where it is the
    only reference within the trace.
    """
    references = [table(r, "reference") for r in listing(span.get("references"), "references")]
    within = [r for r in references if _same(r.get("traceID"), trace_id)]
    parent = next((r for r in within if r.get("refType") == "CHILD_OF"), within[0] if len(within) == 1 else None)
    links = [
        rows.link(r.get("traceID"), r.get("spanID"), "", {"opentracing.ref_type": str(r.get("refType", "")).lower()})
        for r in references
        if r is not parent or r.get("refType") != "CHILD_OF"
    ]
    return (span.get("parentSpanID") if parent is None else parent.get("spanID")), links


def _same(one: object, other: object) -> bool:
    return one == other or (
        isinstance(one, str) and isinstance(other, str) and one.lower().lstrip("0") == other.lower().lstrip("0")
    )


def _events(rows: SpanRows, logs: object) -> list[Annotation]:
    events = []
    for item in listing(logs, "logs"):
        log = table(item, "log")
        fields = _tags(log.get("fields"))
        named = next((n for n in ("event", "message") if isinstance(fields.get(n), str)), None)
        name = str(fields.pop(named)) if named else "log"
        events.append(rows.event(name, whole(log.get("timestamp") or 0, "log.timestamp", _US), fields))
    return events


def _warnings(sent: object) -> list[Annotation]:
    return [SpanRows.note("warning", text(w, "warning")) for w in listing(sent, "warnings")]
