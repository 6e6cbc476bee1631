"""OTLP/JSON: the JSON form of OpenTelemetry's trace export request.

As in the protocol's specification ("JSON Protobuf Encoding"): identifiers are hexadecimal, 64-bit numbers are texts or
numbers, enums are numbers. Enum names and snake_case fields, which other JSON writers for protobuf make, are
understood too. Gives the same rows as the protobuf form of the same request.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from chalkmark.errors import ChalkmarkError
from chalkmark.receive.rows import KINDS, Sender, SpanRows, Value, listing, table, text, undecodable, whole
from chalkmark.tables.landing import Received
from chalkmark.tables.quality import Reason

_STATUSES = {"UNSET": 0, "OK": 1, "ERROR": 2}


def decode(body: bytes, source: str, received_ns: int) -> Received:
    """One export request. Raises ChalkmarkError where the body is no such document; see `read`."""
    rows = new_rows(source, received_ns)
    read(rows.load(body), rows)
    return rows.finish()


def new_rows(source: str, received_ns: int) -> SpanRows:
    """A builder with this format's rules: identifiers have to be of full length."""
    return SpanRows(source, received_ns, pads_identifiers=False)


def read(document: Any, rows: SpanRows) -> None:
    """Add the spans of a parsed export request. Raises ChalkmarkError where it is none."""
    if type(document) is not dict:
        raise ChalkmarkError("not OTLP/JSON: the document is no object", 'Send {"resourceSpans": [...]}.')
    resource_spans = _get(document, "resourceSpans")
    if resource_spans is not None and type(resource_spans) is not list:
        raise ChalkmarkError("not OTLP/JSON: resourceSpans is no list", 'Send {"resourceSpans": [...]}.')
    rows.groups(resource_spans or (), partial(_resource_spans, rows), "resourceSpans")


def _resource_spans(rows: SpanRows, group: dict[str, Any]) -> None:
    resource = _attributes(_get(table(_get(group, "resource"), "resource"), "attributes"))
    groups = listing(_get(group, "scopeSpans"), "scopeSpans")
    rows.groups(groups, partial(_scope_spans, rows, resource), "scopeSpans", rows.sender(resource))


def _scope_spans(rows: SpanRows, resource: dict[str, Value], group: dict[str, Any]) -> None:
    sent = table(_get(group, "scope"), "scope")
    scope: dict[str, Any] = {name: text(_get(sent, name), f"scope.{name}") for name in ("name", "version")}
    scope["attributes"] = _attributes(_get(sent, "attributes"))
    sender = rows.sender(resource, {name: value for name, value in scope.items() if value})
    rows.spans(listing(_get(group, "spans"), "spans"), partial(_span, rows, sender), sender)


def _span(rows: SpanRows, sender: Sender, span: dict[str, Any]) -> None:
    status = table(_get(span, "status"), "status")
    annotations = [
        rows.event(
            text(_get(event, "name"), "event.name"),
            whole(_get(event, "timeUnixNano") or 0, "event.timeUnixNano"),
            _attributes(_get(event, "attributes")),
        )
        for event in _objects(_get(span, "events"), "event")
    ] + [
        rows.link(
            _get(link, "traceId"),
            _get(link, "spanId"),
            text(_get(link, "traceState"), "link.traceState"),
            _attributes(_get(link, "attributes")),
        )
        for link in _objects(_get(span, "links"), "link")
    ]
    rows.add(
        sender,
        trace_id=_get(span, "traceId"),
        span_id=_get(span, "spanId"),
        parent_span_id=_get(span, "parentSpanId"),
        operation=text(_get(span, "name"), "name"),
        kind=_enum(rows, _get(span, "kind"), "SPAN_KIND_", KINDS, Reason.KIND_UNKNOWN),
        start_ns=whole(_get(span, "startTimeUnixNano") or 0, "startTimeUnixNano"),
        end_ns=whole(_get(span, "endTimeUnixNano") or 0, "endTimeUnixNano"),
        status=_enum(rows, _get(status, "code"), "STATUS_CODE_", _STATUSES, Reason.STATUS_UNKNOWN),
        status_message=text(_get(status, "message"), "status.message"),
        flags=_flags(_get(span, "flags")),
        trace_state=text(_get(span, "traceState"), "traceState"),
        attributes=_attributes(_get(span, "attributes")),
        annotations=annotations,
    )


def _get(message: dict[str, Any], name: str) -> Any:
    value = message.get(name)
    return message.get(_snake(name)) if value is None else value


@cache
def _snake(name: str) -> str:
    return re.sub("([A-Z])", lambda m: "_" + m[1].lower(), name)


def _objects(value: object, field: str) -> list[dict[str, Any]]:
    return [table(item, field) for item in listing(value, field)]


def _flags(value: object) -> int:
    number = whole(value or 0, "flags")
    if not 0 <= number < 1 << 32:
        raise undecodable("flags", value, "within 32 bits")
    return number - (1 << 32) if number >= 1 << 31 else number  # the column is signed; the bits are kept


def _enum(rows: SpanRows, value: object, prefix: str, names: dict[str, int], unknown: Reason) -> int:
    if value is None or type(value) is int:
        number = value or 0
    elif type(value) is str and not value.isdigit():
        number = names.get(value.removeprefix(prefix), 0 if value == prefix + "UNSPECIFIED" else -1)
    else:
        number = whole(value, prefix.lower().rstrip("_"))
    if number and number not in names.values():
        rows.mark(unknown)
        return 0
    return number


def _attributes(sent: object) -> dict[str, Value]:
    attributes: dict[str, Value] = {}
    for pair in listing(sent, "attributes"):
        entry = table(pair, "attribute")
        key = text(entry.get("key"), "attribute key")
        attributes[key] = _value(entry.get("value"), key)
    return attributes


def _value(sent: object, key: str) -> Value:
    """An AnyValue; null where it holds none of the types that are known."""
    value = table(sent, key)
    # The short way for nearly all of them; a value is an object of one member.
    plain = value.get("stringValue")
    if type(plain) is str:
        return plain
    for name, convert in _TYPES.items():
        found = _get(value, name)
        if found is not None:
            return convert(found, key)
    return None


def _bool(value: object, key: str) -> bool:
    if type(value) is bool:
        return value
    if value in ("true", "false"):
        return value == "true"
    raise undecodable(key, value, "true or false")


def _double(value: object, key: str) -> float:
    if type(value) in (int, float, str):
        try:
            return float(value)  # type: ignore[arg-type]  # one of the three
        except (ValueError, OverflowError):
            pass
    raise undecodable(key, value, "a number")


def _bytes(value: object, key: str) -> bytes:
    encoded = text(value, key).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise undecodable(key, value, "base64") from None


def _array(value: object, key: str) -> list[Value]:
    return [_value(item, key) for item in listing(_get(table(value, key), "values"), key)]


def _kvlist(value: object, key: str) -> dict[str, Value]:
    return _attributes(_get(table(value, key), "values"))


_URL_SAFE = str.maketrans("-_", "+/")
_TYPES: dict[str, Callable[[object, str], Value]] = {
    "stringValue": text,
    "intValue": whole,
    "boolValue": _bool,
    "doubleValue": _double,
    "arrayValue": _array,
    "kvlistValue": _kvlist,
    "bytesValue": _bytes,
}
