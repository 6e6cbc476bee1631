"""The oracle is protobuf itself: the generated classes read the request, plain Python makes the rows."""

from __future__ import annotations

import base64
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from chalkmark.receive import otlp, otlp_walk
from chalkmark.receive.otlp import decode, decode_together
from chalkmark.receive.otlp_value import MAX_DEPTH
from chalkmark.tables.landing import REJECTION_BATCH, SPAN_BATCH, Received
from chalkmark.tables.quality import Reason

NOW = 1_790_000_000_000_000_000
LETTERS = {
    "string_value": "s",
    "int_value": "i",
    "double_value": "d",
    "bool_value": "b",
    "array_value": "a",
    "kvlist_value": "k",
    "bytes_value": "y",
    None: "n",
}


def read(body: bytes) -> Received:
    """Decodes, and holds the result against what Arrow itself says about it."""
    received = decode(body, "otlp-grpc", NOW)
    for batch, schema in ((received.spans, SPAN_BATCH), (received.rejections, REJECTION_BATCH)):
        assert batch.schema == schema
        batch.validate(full=True)
    return received


def reasons(received: Received) -> dict[str, int]:
    """Refused spans by reason."""
    counts: Counter[str] = Counter()
    for row in received.rejections.to_pylist():
        counts[row["reason"]] += row["spans"]
    return dict(counts)


def one_span(**fields: Any) -> ExportTraceServiceRequest:
    """A request with one span that has nothing wrong but what `fields` say."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    service = resource_spans.resource.attributes.add(key="service.name")
    service.value.string_value = "checkout"
    usual = {
        "trace_id": b"t" * 16,
        "span_id": b"s" * 8,
        "name": "GET /",
        "start_time_unix_nano": NOW,
        "end_time_unix_nano": NOW + 5,
    }
    resource_spans.scope_spans.add().spans.add(**(usual | fields))
    return request


def row_of(request: ExportTraceServiceRequest) -> dict[str, Any]:
    received = read(request.SerializeToString())
    assert received.rejected == 0
    (row,) = received.spans.to_pylist()
    return row


# --- the oracle -------------------------------------------------------------------------------------------------------


def json_value(value: AnyValue, level: int, found: set[Reason]) -> Any:
    if level > MAX_DEPTH:
        found.add(Reason.VALUE_TOO_DEEP)
        return None
    match value.WhichOneof("value"):
        case "array_value":
            return [json_value(v, level + 1, found) for v in value.array_value.values]
        case "kvlist_value":
            return Pairs((kv.key, json_value(kv.value, level + 1, found)) for kv in value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value" if not math.isfinite(value.double_value):
            return "NaN" if math.isnan(value.double_value) else "Infinity" if value.double_value > 0 else "-Infinity"
        case None | "string_value_strindex":
            return None
        case member:
            return getattr(value, member)


class Pairs(list[tuple[str, Any]]):
    """A JSON object that may hold a key twice."""


def dumps(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{orjson.dumps(k).decode()}:{dumps(v)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    return orjson.dumps(value).decode()


def text_of(value: AnyValue, found: set[Reason]) -> str:
    plain = json_value(value, 1, found)
    return (
        plain
        if value.WhichOneof("value") in ("string_value",)
        or (value.WhichOneof("value") == "double_value" and isinstance(plain, str))
        else dumps(plain)
    )


def table(attributes: Iterable[KeyValue], found: set[Reason]) -> str:
    return dumps(Pairs((a.key, json_value(a.value, 1, found)) for a in attributes))


def link_text(link: Span.Link, found: set[Reason]) -> str:
    members = [f'"trace_id":"{link.trace_id.hex()}"'] if link.trace_id else []
    members += [f'"span_id":"{link.span_id.hex()}"'] if link.span_id else []
    members += [f'"trace_state":{dumps(link.trace_state)}'] if link.trace_state else []
    return "{" + ",".join([*members, f'"attributes":{table(link.attributes, found)}']) + "}"


def expected(request: ExportTraceServiceRequest) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows (`annotations` as tuples) and the refused spans by reason."""
    rows: list[dict[str, Any]] = []
    refused: dict[str, int] = {}
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope
            of_sender: set[Reason] = set()
            sender = f'{{"resource":{table(resource_spans.resource.attributes, of_sender)}'
            members = [f'"name":{dumps(scope.name)}'] if scope.name else []
            members += [f'"version":{dumps(scope.version)}'] if scope.version else []
            members += [f'"attributes":{table(scope.attributes, of_sender)}'] if scope.attributes else []
            sender += f',"scope":{{{",".join(members)}}}}}' if members else "}"
            names = [a.value.string_value for a in resource_spans.resource.attributes if a.key == "service.name"]
            if not names or not names[-1]:
                of_sender.add(Reason.SERVICE_MISSING)
            for span in scope_spans.spans:
                if not any(span.trace_id):
                    reason = Reason.TRACE_ID_MISSING
                elif len(span.trace_id) not in (8, 16):
                    reason = Reason.TRACE_ID_MALFORMED
                elif not any(span.span_id):
                    reason = Reason.SPAN_ID_MISSING
                elif len(span.span_id) != 8:
                    reason = Reason.SPAN_ID_MALFORMED
                else:
                    rows.append(expected_row(span, sender, of_sender))
                    continue
                refused[reason] = refused.get(reason, 0) + 1
    return rows, refused


def expected_row(span: Span, sender: str, of_sender: set[Reason]) -> dict[str, Any]:
    found = set(of_sender)
    attributes = [(a.key, text_of(a.value, found)) for a in span.attributes]
    annotations = [("event", e.name, table(e.attributes, found), clamped(e.time_unix_nano, found)) for e in span.events]
    annotations += [("link", "link", link_text(link, found), None) for link in span.links]
    start, end = (clamped(t, found) for t in (span.start_time_unix_nano, span.end_time_unix_nano))
    if not 946_684_800 * 10**9 <= start <= NOW + 86_400 * 10**9:
        found.add(Reason.TIME_IMPLAUSIBLE)
    if not span.name:
        found.add(Reason.OPERATION_MISSING)
    if not 0 <= span.kind <= 5:
        found.add(Reason.KIND_UNKNOWN)
    if not 0 <= span.status.code <= 2:
        found.add(Reason.STATUS_UNKNOWN)
    parent: bytes | None = span.parent_span_id if any(span.parent_span_id) else None
    if parent is not None and len(parent) != 8:
        found.add(Reason.PARENT_ID_MALFORMED)
        parent = fnv1a(parent)
    return {
        "trace_id": span.trace_id.rjust(16, b"\0"),
        "span_id": span.span_id,
        "parent_span_id": parent,
        "operation": span.name or "unknown",
        "kind": 0 if Reason.KIND_UNKNOWN in found else span.kind,
        "start_ns": start,
        "end_ns": end,
        "status": 0 if Reason.STATUS_UNKNOWN in found else span.status.code,
        "status_message": span.status.message or None,
        "flags": (span.flags ^ 1 << 31) - (1 << 31),
        "trace_state": span.trace_state or None,
        "attributes": attributes,
        "attribute_types": "".join(LETTERS.get(a.value.WhichOneof("value"), "n") for a in span.attributes),
        "annotations": annotations,
        "sender": sender,
        "source": "otlp-grpc",
        "quality": [r.value for r in Reason if r in found],
        "received_ns": NOW,
    }


def clamped(time: int, found: set[Reason]) -> int:
    if time < 2**63:
        return time
    found.add(Reason.TIME_IMPLAUSIBLE)
    return 2**63 - 1


def fnv1a(data: bytes) -> bytes:
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return digest.to_bytes(8, "big")


def got(received: Received) -> list[dict[str, Any]]:
    """The rows in the oracle's form."""
    rows = received.spans.to_pylist()
    for row in rows:
        row["annotations"] = [tuple(a.values()) for a in row["annotations"]]
    return rows


# --- random requests --------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
values = st.recursive(
    st.one_of(
        st.builds(AnyValue),
        st.builds(AnyValue, string_value=texts),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=7)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda vs: AnyValue(array_value={"values": vs})),
        st.lists(st.builds(KeyValue, key=texts, value=inner), max_size=3).map(lambda vs: AnyValue(kvlist_value={"values": vs})),
    ),
    max_leaves=6,
)
attributes = st.lists(st.builds(KeyValue, key=texts, value=values), max_size=4)
times = st.one_of(st.just(NOW), st.integers(0, 2**64 - 1))
trace_ids = st.one_of(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.binary(max_size=17))
span_ids = st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=9))
enums = st.one_of(st.integers(0, 5), st.integers(-(2**31), 2**31 - 1))
events = st.builds(Span.Event, time_unix_nano=times, name=texts, attributes=attributes)
links = st.builds(Span.Link, trace_id=trace_ids, span_id=span_ids, trace_state=texts, attributes=attributes)
spans = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=span_ids,
    parent_span_id=span_ids,
    trace_state=texts,
    name=texts,
    flags=st.integers(0, 2**32 - 1),
    start_time_unix_nano=times,
    end_time_unix_nano=times,
    attributes=attributes,
    events=st.lists(events, max_size=2),
    links=st.lists(links, max_size=2),
    dropped_attributes_count=st.integers(0, 2**32 - 1),
)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 3))):
        resource_spans = request.resource_spans.add(schema_url=draw(texts))
        resource_spans.resource.attributes.extend(draw(attributes))
        if draw(st.booleans()):
            resource_spans.resource.attributes.add(key="service.name", value=AnyValue(string_value=draw(texts)))
        for _ in range(draw(st.integers(0, 2))):
            scope_spans = resource_spans.scope_spans.add()
            if draw(st.booleans()):
                scope_spans.scope.name, scope_spans.scope.version = draw(texts), draw(texts)
                scope_spans.scope.attributes.extend(draw(attributes))
            for span in draw(st.lists(spans, max_size=3)):
                kind, code = draw(enums), draw(enums)
                encoded = span.SerializeToString() + b"\x30" + varint(kind) + b"\x7a" + status(code, draw(texts))
                scope_spans.spans.add().ParseFromString(encoded)
    return request


def varint(number: int) -> bytes:
    number %= 2**64
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def status(code: int, message: str) -> bytes:
    text = message.encode()
    body = b"\x12" + varint(len(text)) + text + b"\x18" + varint(code)
    return varint(len(body)) + body


many = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@many
@given(requests())
def test_rows_are_what_protobuf_says(request_: ExportTraceServiceRequest) -> None:
    received = read(request_.SerializeToString())
    rows, refused = expected(request_)
    assert got(received) == rows
    assert reasons(received) == refused


@many
@given(requests(), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=3))
def test_whatever_protobuf_accepts_gives_the_same_rows(
    request_: ExportTraceServiceRequest, changes: list[tuple[int, int]]
) -> None:
    body = bytearray(request_.SerializeToString())
    for place, byte in changes:
        if body:
            body[place % len(body)] = byte
    received = read(bytes(body))
    try:
        changed = ExportTraceServiceRequest.FromString(bytes(body))
    except DecodeError:
        return
    stricter = ("given twice", "wire type", "is cut off", "length runs", "field number", "more than 64 bits")
    if any(word in row["example"] for row in received.rejections.to_pylist() for word in stricter):
        return
    rows, refused = expected(changed)
    assert got(received) == rows
    assert reasons(received) == refused


@settings(many, max_examples=100)
@given(st.lists(st.tuples(requests(), st.integers(0), st.integers(-1, 255)), min_size=1, max_size=4))
def test_together_each_request_becomes_what_it_becomes_alone(sent: list[tuple[ExportTraceServiceRequest, int, int]]) -> None:
    bodies = []
    for request_, place, byte in sent:
        body = bytearray(request_.SerializeToString())
        if body and byte >= 0:
            body[place % len(body)] = byte
        bodies.append(bytes(body))
    whole, parts = decode_together(bodies, "otlp-grpc", NOW)
    for batch in (whole.spans, whole.rejections):
        batch.validate(full=True)
    alone = [decode(body, "otlp-grpc", NOW) for body in bodies]
    assert [got(part) for part in parts] == [got(one) for one in alone]
    assert [part.rejections.to_pylist() for part in parts] == [one.rejections.to_pylist() for one in alone]
    assert got(whole) == [row for one in alone for row in got(one)]
    assert whole.rejections.to_pylist() == [row for one in alone for row in one.rejections.to_pylist()]


# --- chosen cases -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trace_id", "span_id", "reason"),
    [
        (b"", b"s" * 8, Reason.TRACE_ID_MISSING),
        (bytes(16), b"s" * 8, Reason.TRACE_ID_MISSING),
        (b"t" * 15, b"s" * 8, Reason.TRACE_ID_MALFORMED),
        (b"t" * 16, b"", Reason.SPAN_ID_MISSING),
        (b"t" * 16, bytes(8), Reason.SPAN_ID_MISSING),
        (b"t" * 16, b"s" * 7, Reason.SPAN_ID_MALFORMED),
    ],
)
def test_span_without_an_identity_is_refused_under_its_sender(trace_id: bytes, span_id: bytes, reason: Reason) -> None:
    received = read(one_span(trace_id=trace_id, span_id=span_id).SerializeToString())
    assert received.spans.num_rows == 0
    (rejection,) = received.rejections.to_pylist()
    assert (rejection["service"], rejection["reason"], rejection["spans"]) == ("checkout", reason, 1)
    assert rejection["source"] == "otlp-grpc"


def test_short_trace_identifier_is_padded_on_the_left() -> None:
    assert row_of(one_span(trace_id=b"12345678"))["trace_id"] == bytes(8) + b"12345678"


def test_malformed_parent_is_kept_as_a_parent_that_is_not_there() -> None:
    row = row_of(one_span(parent_span_id=b"p" * 5))
    assert row["quality"] == [Reason.PARENT_ID_MALFORMED]
    assert len(row["parent_span_id"]) == 8
    assert any(row["parent_span_id"])


def test_unknown_numbers_become_the_unset_ones() -> None:
    request = one_span()
    body = request.resource_spans[0].scope_spans[0].spans[0]
    body.MergeFromString(b"\x30" + varint(6) + b"\x7a" + status(3, "broke"))
    row = row_of(request)
    assert (row["kind"], row["status"], row["status_message"]) == (0, 0, "broke")
    assert row["quality"] == [Reason.KIND_UNKNOWN, Reason.STATUS_UNKNOWN]


@pytest.mark.parametrize("start", [0, NOW + 86_400 * 10**9 + 1, 2**64 - 1])
def test_implausible_time_is_kept_as_far_as_it_fits(start: int) -> None:
    row = row_of(one_span(start_time_unix_nano=start))
    assert row["start_ns"] == min(start, 2**63 - 1)
    assert row["quality"] == [Reason.TIME_IMPLAUSIBLE]


def test_names_that_are_missing_are_said_to_be() -> None:
    request = one_span(name="")
    del request.resource_spans[0].resource.attributes[:]
    row = row_of(request)
    assert row["operation"] == "unknown"
    assert row["quality"] == [Reason.SERVICE_MISSING, Reason.OPERATION_MISSING]


def nested(levels: int) -> AnyValue:
    value = AnyValue(int_value=1)
    for i in range(levels - 1):
        inner = value
        value = (
            AnyValue(array_value={"values": [inner]})
            if i % 2
            else AnyValue(kvlist_value={"values": [{"key": "k", "value": inner}]})
        )
    return value


def test_nesting_is_kept_to_its_limit() -> None:
    row = row_of(one_span(attributes=[KeyValue(key="deep", value=nested(MAX_DEPTH))]))
    assert row["quality"] == []
    assert "1" in row["attributes"][0][1]


def test_nesting_beyond_the_limit_becomes_null() -> None:
    row = row_of(one_span(attributes=[KeyValue(key="deep", value=nested(MAX_DEPTH + 1))]))
    assert row["quality"] == [Reason.VALUE_TOO_DEEP]
    assert "null" in row["attributes"][0][1]
    assert orjson.loads(row["attributes"][0][1]) is not None


@pytest.mark.parametrize(
    "broken", [b"a\xffb", b"\xe2\x82", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x28\xa1", b"\xf0\x9f\x98"]
)
@pytest.mark.parametrize("place", ["name", "key", "value", "event", "nested", "state", "message"])
def test_text_that_is_not_utf8_is_mended(broken: bytes, place: str) -> None:
    mark = b"#" * len(broken)
    marker = mark.decode()
    request = {
        "name": lambda: one_span(name=marker),
        "key": lambda: one_span(attributes=[KeyValue(key=marker)]),
        "value": lambda: one_span(attributes=[KeyValue(key="k", value=AnyValue(string_value=marker))]),
        "event": lambda: one_span(events=[Span.Event(name=marker)]),
        "nested": lambda: one_span(events=[Span.Event(attributes=[KeyValue(key="k", value=AnyValue(string_value=marker))])]),
        "state": lambda: one_span(trace_state=marker),
        "message": lambda: one_span(status={"message": marker}),
    }[place]()
    received = read(request.SerializeToString().replace(mark, broken))
    (row,) = received.spans.to_pylist()
    assert row["quality"] == [Reason.UTF8_INVALID]
    assert broken.decode("utf-8", "replace") in repr(row).replace("\\ufffd", "\ufffd")


def test_sender_that_is_not_utf8_marks_its_spans() -> None:
    body = one_span().SerializeToString().replace(b"checkout", b"check\xffut")
    (row,) = read(body).spans.to_pylist()
    assert row["quality"] == [Reason.UTF8_INVALID]
    assert orjson.loads(row["sender"])["resource"]["service.name"] == "check\ufffdut"


def framed(tag: int, body: bytes) -> bytes:
    return varint(tag << 3 | 2) + varint(len(body)) + body


def spans_of(request: ExportTraceServiceRequest) -> bytes:
    return request.resource_spans[0].scope_spans[0].spans[0].SerializeToString()


def test_broken_span_is_refused_alone() -> None:
    good = spans_of(one_span())
    for broken in (good + b"\x2a\x7f", good + b"\x4b", good + b"\x00", good + b"\x30" + b"\xff" * 10, good + b"\x39abc"):
        body = framed(1, framed(2, framed(2, good) + framed(2, broken) + framed(2, good)))
        received = read(body)
        assert received.spans.num_rows == 2
        assert reasons(received) == {Reason.SPAN_UNDECODABLE: 1}


def test_value_given_twice_is_refused_and_not_guessed_at() -> None:
    value = framed(2, framed(5, b""))
    received = read(framed(1, framed(2, framed(2, spans_of(one_span()) + framed(9, value + value)))))
    assert reasons(received) == {Reason.SPAN_UNDECODABLE: 1}


def test_broken_frame_loses_only_what_follows_in_it() -> None:
    good = framed(2, spans_of(one_span()))
    broken_scope = framed(1, framed(2, good + b"\x12\x7f") + framed(2, good))
    broken_resource = framed(1, framed(2, good) + b"\x12\x7f")
    received = read(broken_scope + broken_resource + framed(1, framed(2, good)) + b"\x0a\x7f")
    assert received.spans.num_rows == 4
    assert reasons(received) == {Reason.REQUEST_UNDECODABLE: 3}


def test_parts_of_a_split_message_are_joined() -> None:
    request = one_span(status={"code": 2, "message": "no"})
    resource = request.resource_spans[0].resource.SerializeToString()
    more = KeyValue(key="host.name", value=AnyValue(string_value="h")).SerializeToString()
    scope = framed(2, framed(2, spans_of(request)))
    # The second part of the resource comes after the spans.
    received = read(framed(1, framed(1, resource) + scope + framed(1, framed(1, more))))
    (row,) = received.spans.to_pylist()
    assert orjson.loads(row["sender"])["resource"] == {"service.name": "checkout", "host.name": "h"}


def test_last_of_a_repeated_field_counts() -> None:
    body = spans_of(one_span()) + spans_of(one_span(name="later", trace_id=b"u" * 16))
    (row,) = read(framed(1, framed(2, framed(2, body)))).spans.to_pylist()
    assert (row["operation"], row["trace_id"]) == ("later", b"u" * 16)


def test_resources_without_end_are_stopped() -> None:
    received = read(framed(1, b"") * 100_001)
    assert reasons(received) == {Reason.REQUEST_UNDECODABLE: 1}


def test_larger_spans_than_expected_find_room() -> None:
    many_values = [KeyValue(key="k", value=AnyValue(array_value={"values": [AnyValue()] * 50}))] * 3_000
    row = row_of(one_span(attributes=many_values, events=[Span.Event(name="e")] * 5_000))
    assert len(row["attributes"]) == 3_000
    assert row["attributes"][-1] == ("k", "[" + ",".join(["null"] * 50) + "]")
    assert len(row["annotations"]) == 5_000


def test_nothing_is_something_too() -> None:
    received = read(b"")
    assert (received.spans.num_rows, received.rejected) == (0, 0)


def test_request_that_is_not_of_the_format_costs_its_neighbours_nothing() -> None:
    good, garbage = one_span(name="good").SerializeToString(), b"\x0a\x7fgarbage"
    refused = one_span(trace_id=b"").SerializeToString()
    whole, parts = decode_together([good, garbage, refused, good], "otlp-grpc", NOW)
    assert [part.spans.num_rows for part in parts] == [1, 0, 0, 1]
    assert [reasons(part) for part in parts] == [{}, {Reason.REQUEST_UNDECODABLE: 1}, {Reason.TRACE_ID_MISSING: 1}, {}]
    assert (whole.spans.num_rows, whole.rejected) == (2, 2)
    # Places are those in the sender's own request.
    assert parts[1].rejections.to_pylist() == read(garbage).rejections.to_pylist()
    assert parts[2].rejections.to_pylist() == read(refused).rejections.to_pylist()


def test_frames_are_counted_by_request() -> None:
    frames = framed(1, b"") * 60_000
    _, parts = decode_together([frames, frames], "otlp-grpc", NOW)
    assert [part.rejected for part in parts] == [0, 0]


def test_a_sender_of_many_requests_is_written_once() -> None:
    whole, _ = decode_together([one_span().SerializeToString()] * 5, "otlp-grpc", NOW)
    assert len(whole.spans["sender"].dictionary) == 1


def test_later_requests_leave_earlier_ones_as_they_are() -> None:
    first = read(full_request())
    rows = got(first)
    for name in ("other", "x" * 5_000):
        read(one_span(name=name, trace_id=b"u" * 16, links=[Span.Link(trace_state=name)]).SerializeToString())
    assert got(first) == rows


def test_requests_that_are_too_large_together_are_to_be_decoded_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    body = one_span().SerializeToString()
    monkeypatch.setattr(otlp_walk, "MAX_REQUEST_BYTES", len(body))
    with pytest.raises(ValueError, match="decoded together"):
        decode_together([body, body], "otlp-grpc", NOW)
    assert read(body).spans.num_rows == 1
    assert reasons(read(body + body)) == {Reason.REQUEST_UNDECODABLE: 1}


# --- hostile bytes ----------------------------------------------------------------------------------------------------


def full_request() -> bytes:
    """A request with every kind of field."""
    request = one_span(
        parent_span_id=b"p" * 8,
        trace_state="a=b",
        attributes=[KeyValue(key="n", value=nested(4)), KeyValue(key="d", value=AnyValue(double_value=0.1))],
        events=[Span.Event(name="e", time_unix_nano=NOW, attributes=[KeyValue(key="y", value=AnyValue(bytes_value=b"abc"))])],
        links=[Span.Link(trace_id=b"t" * 16, span_id=b"l" * 8, trace_state="c=d")],
        status={"code": 2, "message": "grüße"},
        flags=257,
    )
    request.resource_spans[0].scope_spans[0].scope.name = "scope"
    return request.SerializeToString()


def hostile() -> Iterable[bytes]:
    """Truncations at every offset, every bit flipped, and lengths of every size at every offset."""
    body = full_request()
    for i in range(len(body)):
        yield body[:i]
        for bit in range(8):
            yield body[:i] + bytes([body[i] ^ 1 << bit]) + body[i + 1 :]
        for bomb in (b"\xff" * 9 + b"\x01", b"\xff" * 4 + b"\x07", b"\xff\xff\xff\xff\x0f", b"\x80" * 11):
            yield body[:i] + bomb + body[i + 1 :]


def attack() -> int:
    """Decodes everything hostile; the rows that come out are whole. Returns how many requests that was."""
    bodies = list(hostile())
    for body in bodies:
        received = read(body)
        assert received.spans.num_rows <= 1
        assert received.rejected <= len(body)
    neighbour = one_span(name="neighbour").SerializeToString()
    for i in range(0, len(bodies), 50):
        _, parts = decode_together([part for body in bodies[i : i + 50] for part in (body, neighbour)], "otlp-grpc", NOW)
        assert {tuple(part.spans["operation"].to_pylist()) for part in parts[1::2]} == {("neighbour",)}
    return len(bodies)


def test_hostile_bytes_do_no_harm() -> None:
    assert attack() > 3_000


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_do_no_harm(body: bytes) -> None:
    read(body)


def test_no_read_and_no_write_is_out_of_bounds(tmp_path: Path) -> None:
    """The same attack with Numba's bounds checks compiled in: an index outside its array raises IndexError."""
    script = "import test_otlp; test_otlp.begin_without_room(); test_otlp.attack(); test_otlp.check_rooms()"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def begin_without_room() -> None:
    """Lets every walk begin with tables of one row, so that all room it uses is room it has made itself."""
    usual = otlp_walk.new_tables()
    otlp_walk.new_tables = lambda: (*(table[:1].copy() for table in usual[:-1]), usual[-1][:16].copy())
    otlp.KEPT_TABLE_BYTES = 0


def check_rooms() -> None:
    """Decodes what needs the most room for its size."""
    empty_entry, empty_link, control = b"\x0a\x00", framed(13, b""), b"\x01"
    entries = framed(9, framed(2, framed(6, empty_entry * 20_000)))
    for greedy in (
        framed(9, b"") * 20_000,
        framed(11, b"") * 20_000,
        empty_link * 20_000,
        entries,
        framed(9, framed(2, framed(5, framed(1, framed(1, control * 20_000))))),
        framed(13, framed(1, b"x") + framed(2, b"y") + framed(3, b"\x01")) * 5_000,
    ):
        received = read(framed(1, framed(2, framed(2, spans_of(one_span()) + greedy))))
        assert received.spans.num_rows == 1
        received = read(framed(1, framed(2, framed(2, spans_of(one_span(name="n")) + greedy) * 3)))
        assert received.spans.num_rows == 3
    # Spans of many sizes one after another, so that tables fill up at every distance from their end.
    for unit in (framed(9, b""), framed(11, b""), empty_link, framed(9, framed(2, framed(6, empty_entry * 9)))):
        few = b"".join(framed(2, spans_of(one_span(name="")) + unit * (i * 37 % 101)) for i in range(400))
        assert read(framed(1, framed(2, few))).spans.num_rows == 400
