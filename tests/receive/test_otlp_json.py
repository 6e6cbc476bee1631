from __future__ import annotations

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from chalkmark.errors import ChalkmarkError
from chalkmark.receive import otlp, otlp_json
from chalkmark.tables.quality import Reason
from receive.json_like import JSON, SPAN_HEX, TIME, TRACE_HEX, UNTIMED, may_be, message
from shared import shared_data

NOW = 1_790_000_000_000_000_000
SPAN = {
    "traceId": "5B8EFFF798038103D269B633813FC60C",
    "spanId": "EEE19B7EC3C1B174",
    "name": "GET /",
    "startTimeUnixNano": "1789999999000000000",
    "endTimeUnixNano": "1789999999000000007",
}
SERVICE = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}


def decode(*spans, resource=SERVICE, scope=None):
    document = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
    received = otlp_json.decode(json.dumps(document).encode(), "otlp-http", NOW)
    received.spans.validate(full=True)
    return received


def one(**fields):
    (row,) = decode({**SPAN, **fields}).spans.to_pylist()
    return row


def attribute(value):
    return one(attributes=[{"key": "k", "value": value}])


def test_the_example_of_the_specification():
    received = otlp_json.decode(shared_data("traces/trace.json").read_bytes(), "otlp-http", NOW)
    (row,) = received.spans.to_pylist()
    assert row["trace_id"].hex() == "5b8efff798038103d269b633813fc60c"
    assert row["span_id"].hex() == "eee19b7ec3c1b174"
    assert row["parent_span_id"].hex() == "eee19b7ec3c1b173"
    assert (row["operation"], row["kind"]) == ("I'm a server span", 2)
    assert (row["start_ns"], row["end_ns"]) == (1544712660000000000, 1544712661000000000)
    assert row["attributes"] == [("my.span.attr", "some value")]
    assert row["sender"] == (
        '{"resource":{"service.name":"my.service"},'
        '"scope":{"name":"my.library","version":"1.0.0","attributes":{"my.scope.attribute":"some scope attribute"}}}'
    )
    assert row["quality"] == []


@pytest.mark.parametrize(
    ("value", "text", "letter"),
    [
        ({"stringValue": ""}, "", "s"),
        ({"intValue": "9223372036854775807"}, "9223372036854775807", "i"),
        ({"intValue": -5}, "-5", "i"),
        ({"boolValue": False}, "false", "b"),
        ({"doubleValue": 3}, "3.0", "d"),
        ({"doubleValue": "NaN"}, "NaN", "d"),
        ({"doubleValue": "-Infinity"}, "-Infinity", "d"),
        ({"bytesValue": "AP8="}, '"AP8="', "y"),
        ({"bytesValue": "-_8"}, '"+/8="', "y"),
        ({"arrayValue": {"values": [{"intValue": 1}, {}]}}, "[1,null]", "a"),
        ({"arrayValue": {}}, "[]", "a"),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}}, '{"a":true}', "k"),
        ({"string_value": "snake"}, "snake", "s"),
        ({}, "null", "n"),
        (None, "null", "n"),
        ({"newValue": 1}, "null", "n"),
    ],
)
def test_attribute_values(value, text, letter):
    row = attribute(value)
    assert (row["attributes"], row["attribute_types"]) == ([("k", text)], letter)


@pytest.mark.parametrize(
    ("kind", "number", "quality"),
    [
        (3, 3, []),
        ("3", 3, []),
        ("SPAN_KIND_CLIENT", 3, []),
        ("SPAN_KIND_UNSPECIFIED", 0, []),
        (None, 0, []),
        (6, 0, [Reason.KIND_UNKNOWN]),
        (-1, 0, [Reason.KIND_UNKNOWN]),
        ("SPAN_KIND_NEW", 0, [Reason.KIND_UNKNOWN]),
    ],
)
def test_kinds(kind, number, quality):
    row = one(kind=kind)
    assert (row["kind"], row["quality"]) == (number, quality)


@pytest.mark.parametrize(
    ("code", "number", "quality"), [(2, 2, []), ("STATUS_CODE_OK", 1, []), (None, 0, []), (3, 0, [Reason.STATUS_UNKNOWN])]
)
def test_statuses(code, number, quality):
    row = one(status={"code": code, "message": "m"})
    assert (row["status"], row["status_message"], row["quality"]) == (number, "m", quality)


def test_snake_case_is_understood():
    body = json.dumps(
        {
            "resource_spans": [
                {
                    "resource": SERVICE,
                    "scope_spans": [
                        {"spans": [{"trace_id": "a" * 32, "span_id": "b" * 16, "name": "n", "start_time_unix_nano": NOW}]}
                    ],
                }
            ]
        }
    ).encode()
    (row,) = otlp_json.decode(body, "otlp-http", NOW).spans.to_pylist()
    assert (row["trace_id"].hex(), row["start_ns"]) == ("a" * 32, NOW)


def test_unknown_fields_and_other_signals_are_ignored():
    assert one(future={"x": 1})["quality"] == []
    assert otlp_json.decode(b'{"resourceMetrics": []}', "otlp-http", NOW).spans.num_rows == 0


def test_flags_keep_their_32_bits():
    assert one(flags=0x101)["flags"] == 0x101
    assert one(flags=0xFFFF_FFFF)["flags"] == -1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"traceId": "abc"}, Reason.TRACE_ID_MALFORMED),
        ({"traceId": None}, Reason.TRACE_ID_MISSING),
        ({"spanId": "abcd"}, Reason.SPAN_ID_MALFORMED),
        ({"spanId": "0" * 16}, Reason.SPAN_ID_MISSING),
        ({"startTimeUnixNano": "18446744073709551615"}, Reason.SPAN_UNDECODABLE),
        ({"name": 5}, Reason.SPAN_UNDECODABLE),
        ({"flags": 2**32}, Reason.SPAN_UNDECODABLE),
        ({"kind": {}}, Reason.SPAN_UNDECODABLE),
        ({"attributes": [{"key": "k", "value": {"intValue": "x"}}]}, Reason.SPAN_UNDECODABLE),
        ({"attributes": [{"key": "k", "value": {"boolValue": 1}}]}, Reason.SPAN_UNDECODABLE),
        ({"attributes": [{"key": "k", "value": {"doubleValue": "x"}}]}, Reason.SPAN_UNDECODABLE),
        ({"attributes": [{"key": "k", "value": {"bytesValue": "?"}}]}, Reason.SPAN_UNDECODABLE),
        ({"attributes": {"k": "v"}}, Reason.SPAN_UNDECODABLE),
        ({"events": [1]}, Reason.SPAN_UNDECODABLE),
        ({"links": [1]}, Reason.SPAN_UNDECODABLE),
    ],
)
def test_a_broken_field_costs_its_span(fields, reason):
    received = decode(SPAN, {**SPAN, **fields}, SPAN)
    assert received.spans.num_rows == 2
    assert [(r["service"], r["reason"], r["spans"]) for r in received.rejections.to_pylist()] == [("cart", reason, 1)]


@pytest.mark.parametrize("body", [b"[]", b"7", b'{"resourceSpans": {}}', b"{", b""])
def test_what_is_no_request_is_refused_whole(body):
    with pytest.raises(ChalkmarkError):
        otlp_json.decode(body, "otlp-http", NOW)


@pytest.mark.parametrize(
    "body", [b'{"resourceSpans": [1]}', b'{"resourceSpans": [{"scopeSpans": 1}]}', b'{"resourceSpans": [{"resource": 1}]}']
)
def test_a_broken_group_is_rejected_alone(body):
    received = otlp_json.decode(body, "otlp-http", NOW)
    assert (received.spans.num_rows, received.rejected) == (0, 1)


# The twin: any request must give the same rows in both of OTLP's forms.

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.one_of(
        TEXT.map(lambda v: AnyValue(string_value=v)),
        st.booleans().map(lambda v: AnyValue(bool_value=v)),
        INT64.map(lambda v: AnyValue(int_value=v)),
        st.floats().map(lambda v: AnyValue(double_value=v)),
        st.binary(max_size=5).map(lambda v: AnyValue(bytes_value=v)),
        st.just(AnyValue()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: AnyValue(array_value=ArrayValue(values=v))),
        st.dictionaries(TEXT, inner, max_size=3).map(lambda v: AnyValue(kvlist_value=KeyValueList(values=key_values(v)))),
    ),
    max_leaves=6,
)


def key_values(values):
    return [KeyValue(key=k, value=v) for k, v in values.items()]


@st.composite
def deep_values(draw):
    value = draw(VALUES)
    for _ in range(draw(st.integers(0, 19))):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    return value


ATTRIBUTES = st.dictionaries(TEXT, st.one_of(VALUES, deep_values()), max_size=3).map(key_values)
NO_TRACE_IDS = [b"", bytes(16), bytes(3), bytes(17), b"123", b"12345678", b"12345678901234567"]
TRACE_IDS = st.one_of(st.binary(min_size=16, max_size=16), st.sampled_from(NO_TRACE_IDS))
SPAN_IDS = st.one_of(st.binary(min_size=8, max_size=8), st.sampled_from([b"", bytes(8), bytes(3), b"123", b"123456789"]))
TIMES = st.one_of(st.integers(0, 2**63 - 1), st.integers(NOW - 10**12, NOW))
EVENTS = st.builds(Span.Event, time_unix_nano=TIMES, name=TEXT, attributes=ATTRIBUTES)
LINKS = st.builds(Span.Link, trace_id=TRACE_IDS, span_id=SPAN_IDS, trace_state=TEXT, attributes=ATTRIBUTES)
SPANS = st.builds(
    Span,
    trace_id=TRACE_IDS,
    span_id=SPAN_IDS,
    parent_span_id=SPAN_IDS,
    trace_state=TEXT,
    flags=st.integers(0, 2**32 - 1),
    name=TEXT,
    kind=st.integers(0, 7),
    start_time_unix_nano=TIMES,
    end_time_unix_nano=TIMES,
    attributes=ATTRIBUTES,
    events=st.lists(EVENTS, max_size=2),
    links=st.lists(LINKS, max_size=2),
    status=st.builds(Status, code=st.integers(0, 3), message=TEXT),
)
SCOPES = st.builds(InstrumentationScope, name=TEXT, version=TEXT, attributes=ATTRIBUTES)
SERVICES = st.one_of(TEXT, st.just("cart")).map(lambda name: [KeyValue(key="service.name", value=AnyValue(string_value=name))])
REQUESTS = st.builds(
    ExportTraceServiceRequest,
    resource_spans=st.lists(
        st.builds(
            ResourceSpans,
            resource=st.builds(Resource, attributes=st.one_of(ATTRIBUTES, SERVICES)),
            scope_spans=st.lists(st.builds(ScopeSpans, scope=SCOPES, spans=st.lists(SPANS, max_size=3)), max_size=2),
        ),
        max_size=2,
    ),
)


def as_json(message):
    """A protobuf message as OTLP/JSON has it: identifiers in hexadecimal, other bytes in base64, 64 bits as text."""
    out = {}
    for field, value in message.ListFields():
        repeated = isinstance(value, type(message)) is False and hasattr(value, "append")
        items = [one_as_json(field, v) for v in value] if repeated else one_as_json(field, value)
        out[field.json_name] = items
    return out


def one_as_json(field, value):
    if field.type == field.TYPE_MESSAGE:
        return as_json(value)
    if field.type == field.TYPE_BYTES:
        return value.hex() if field.name.endswith("_id") else base64.b64encode(value).decode()
    if field.type in (field.TYPE_INT64, field.TYPE_FIXED64):
        return str(value)
    if field.type == field.TYPE_DOUBLE and value - value != 0:
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return value


@UNTIMED
@given(REQUESTS)
def test_both_forms_of_a_request_give_the_same_rows(request):
    binary = otlp.decode(request.SerializeToString(), "otlp-http", NOW)
    text = otlp_json.decode(json.dumps(as_json(request)).encode(), "otlp-http", NOW)
    text.spans.validate(full=True)
    assert text.spans.to_pylist() == binary.spans.to_pylist()

    def counts(received):
        return sorted((r["service"], r["sdk"], r["reason"], r["spans"]) for r in received.rejections.to_pylist())

    assert counts(text) == counts(binary)


VALUE = message(
    stringValue=st.text(max_size=4), intValue=JSON, doubleValue=JSON, arrayValue=message(values=st.lists(JSON, max_size=2))
)
PAIRS = st.lists(message(key=st.text(max_size=4), value=VALUE), max_size=3)
HOSTILE = message(
    traceId=TRACE_HEX,
    spanId=SPAN_HEX,
    parentSpanId=SPAN_HEX,
    name=st.text(max_size=4),
    kind=st.integers(-1, 7),
    startTimeUnixNano=TIME,
    endTimeUnixNano=TIME,
    attributes=PAIRS,
    events=st.lists(message(timeUnixNano=TIME, name=st.text(max_size=4), attributes=PAIRS), max_size=2),
    links=st.lists(message(traceId=TRACE_HEX, spanId=SPAN_HEX), max_size=2),
    status=message(code=st.integers(-1, 4), message=st.text(max_size=4)),
)


@UNTIMED
@given(st.lists(HOSTILE, max_size=4))
def test_every_hostile_span_is_kept_or_counted(spans):
    received = decode(*spans)
    assert received.spans.num_rows + received.rejected == len(spans)


@UNTIMED
@given(may_be(message(resourceSpans=st.lists(message(resource=message(attributes=PAIRS), scopeSpans=JSON), max_size=2))))
def test_any_json_is_read_or_refused(document):
    with suppress(ChalkmarkError):
        otlp_json.decode(json.dumps(document).encode(), "otlp-http", NOW).spans.validate(full=True)
