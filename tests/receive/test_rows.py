from __future__ import annotations

import math

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalkmark.errors import ChalkmarkError
from chalkmark.receive.rows import (
    INT64_MAX,
    INT64_MIN,
    MAX_DEPTH,
    SPAN_ID,
    TRACE_ID,
    Rejections,
    SpanError,
    SpanRows,
    hashed_identifier,
    parse_json,
    read_identifier,
    sdk_of,
    status_of,
    whole,
)
from chalkmark.tables.landing import REJECTION_BATCH, SPAN_BATCH
from chalkmark.tables.quality import Reason

NOW = 1_790_000_000_000_000_000
SPAN = {
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "span_id": "b7ad6b7169203331",
    "parent_span_id": None,
    "operation": "GET /",
    "kind": 2,
    "start_ns": NOW - 1000,
    "end_ns": NOW,
    "attributes": {},
}


def one(resource=None, **fields):
    """The one row that a span with `fields` becomes."""
    rows = SpanRows("test", NOW)
    sender = rows.sender({"service.name": "cart"} if resource is None else resource)
    rows.spans([{}], lambda _: rows.add(sender, **{**SPAN, **fields}))
    received = rows.finish()
    received.spans.validate(full=True)
    assert received.spans.schema == SPAN_BATCH
    assert received.rejections.schema == REJECTION_BATCH
    (row,) = received.spans.to_pylist() or [received.rejections.to_pylist()[0]]
    return row


def test_a_span_becomes_the_row_it_was():
    row = one(status=2, status_message="no", flags=1, trace_state="a=b", parent_span_id="00f067aa0ba902b7")
    assert row == {
        "trace_id": bytes.fromhex("0af7651916cd43dd8448eb211c80319c"),
        "span_id": bytes.fromhex("b7ad6b7169203331"),
        "parent_span_id": bytes.fromhex("00f067aa0ba902b7"),
        "operation": "GET /",
        "kind": 2,
        "start_ns": NOW - 1000,
        "end_ns": NOW,
        "status": 2,
        "status_message": "no",
        "flags": 1,
        "trace_state": "a=b",
        "attributes": [],
        "attribute_types": "",
        "annotations": [],
        "sender": '{"resource":{"service.name":"cart"}}',
        "source": "test",
        "quality": [],
        "received_ns": NOW,
    }


@pytest.mark.parametrize(
    ("value", "text", "letter"),
    [
        ("42", "42", "s"),
        (42, "42", "i"),
        (True, "true", "b"),
        (0.25, "0.25", "d"),
        (1.0, "1.0", "d"),
        (math.nan, "NaN", "d"),
        (-math.inf, "-Infinity", "d"),
        (b"\x00\xff", '"AP8="', "y"),
        (None, "null", "n"),
        ([1, "a", math.inf], '[1,"a","Infinity"]', "a"),
        ({"k": [b"\x00"]}, '{"k":["AA=="]}', "k"),
    ],
)
def test_an_attribute_keeps_its_type(value, text, letter):
    row = one(attributes={"first": "x", "key": value})
    assert row["attributes"] == [("first", "x"), ("key", text)]
    assert row["attribute_types"] == "s" + letter


def nested(levels):
    value = "deep"
    for _ in range(levels - 1):
        value = [value]
    return value


def test_a_value_of_16_levels_is_kept_and_of_17_cut():
    assert one(attributes={"k": nested(MAX_DEPTH)})["quality"] == []
    row = one(attributes={"k": nested(MAX_DEPTH + 1)})
    assert row["quality"] == [Reason.VALUE_TOO_DEEP]
    assert row["attributes"] == [("k", "[" * 16 + "null" + "]" * 16)]


def test_what_is_wrong_with_the_sender_is_noted_on_its_spans_only():
    rows = SpanRows("test", NOW)
    good, bad = rows.sender({"service.name": "cart"}), rows.sender({"service.name": "", "deep": nested(20)})
    for sender in (good, bad, good):
        rows.spans([{}], lambda _, sender=sender: rows.add(sender, **SPAN))
    spans = rows.finish().spans
    assert spans["quality"].to_pylist() == [[], [Reason.SERVICE_MISSING, Reason.VALUE_TOO_DEEP], []]
    assert len(spans["sender"].dictionary) == 2


def test_equal_senders_are_one():
    rows = SpanRows("test", NOW)
    assert rows.sender({"a": "b"}, {"name": "lib"}) is rows.sender({"a": "b"}, {"name": "lib"})
    assert rows.sender({"a": "b"}) is not rows.sender({"a": 1})


@pytest.mark.parametrize(
    ("start", "implausible"),
    [
        (NOW, False),
        (NOW + 86_400_000_000_000, False),
        (NOW + 86_400_000_000_001, True),
        (946_684_799_999_999_999, True),
        (0, True),
    ],
)
def test_implausible_times_are_noted(start, implausible):
    row = one(start_ns=start)
    assert row["start_ns"] == start
    assert row["quality"] == [Reason.TIME_IMPLAUSIBLE] * implausible


def test_a_span_without_a_name_is_kept():
    row = one(operation="")
    assert (row["operation"], row["quality"]) == ("unknown", [Reason.OPERATION_MISSING])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": None}, Reason.TRACE_ID_MISSING),
        ({"trace_id": ""}, Reason.TRACE_ID_MISSING),
        ({"trace_id": "0" * 32}, Reason.TRACE_ID_MISSING),
        ({"trace_id": "a" * 33}, Reason.TRACE_ID_MALFORMED),
        ({"trace_id": 17}, Reason.TRACE_ID_MALFORMED),
        ({"span_id": None}, Reason.SPAN_ID_MISSING),
        ({"span_id": "000"}, Reason.SPAN_ID_MISSING),
        ({"span_id": "a" * 17}, Reason.SPAN_ID_MALFORMED),
        ({"span_id": ["a"]}, Reason.SPAN_ID_MALFORMED),
    ],
)
def test_a_span_that_cannot_be_identified_is_refused(fields, reason):
    row = one(**fields)
    assert (row["reason"], row["spans"]) == (reason, 1)


def test_short_and_upper_case_identifiers_are_padded():
    row = one(trace_id="A", span_id="FF")
    assert (row["trace_id"], row["span_id"]) == (bytes(15) + b"\x0a", bytes(7) + b"\xff")


def test_without_padding_identifiers_have_their_full_length():
    assert read_identifier("b7ad6b7169203331", TRACE_ID, pads=False) == (bytes(8) + bytes.fromhex("b7ad6b7169203331"), True)
    with pytest.raises(SpanError, match="trace_id is 'abc', not 16 bytes"):
        read_identifier("abc", TRACE_ID, pads=False)
    with pytest.raises(SpanError, match="not 8 bytes"):
        read_identifier("b7ad6b71692033", SPAN_ID, pads=False)


def test_an_identifier_that_is_not_hexadecimal_is_hashed_and_kept_as_a_note():
    row = one(trace_id="order-17", span_id="b7 ad6b716920333")
    assert row["trace_id"] == hashed_identifier("order-17", 16)
    assert row["span_id"] == hashed_identifier("b7 ad6b716920333", 8)
    assert row["quality"] == [Reason.ID_NOT_HEX]
    assert [(a["kind"], a["key"], orjson.loads(a["value"])) for a in row["annotations"]] == [
        ("note", "trace_id", "order-17"),
        ("note", "span_id", "b7 ad6b716920333"),
    ]


def test_a_parent_that_is_not_hexadecimal_is_found_under_its_hash():
    assert one(parent_span_id="call-1")["parent_span_id"] == one(span_id="call-1")["span_id"]


@pytest.mark.parametrize("parent", [None, "", "0000000000000000"])
def test_an_empty_parent_is_none(parent):
    row = one(parent_span_id=parent)
    assert (row["parent_span_id"], row["quality"]) == (None, [])


@pytest.mark.parametrize("parent", ["a" * 17, 5, {}])
def test_a_malformed_parent_is_one_that_nobody_has(parent):
    row = one(parent_span_id=parent)
    assert row["quality"] == [Reason.PARENT_ID_MALFORMED]
    assert row["parent_span_id"] not in (None, row["span_id"])


def test_what_is_no_object_is_rejected_alone():
    rows = SpanRows("file:zipkin", NOW)
    sender = rows.sender({"service.name": "cart", "telemetry.sdk.name": "otel", "telemetry.sdk.language": "go"})
    rows.spans([{}, 7, {}, "x", None], lambda _: rows.add(sender, **SPAN), sender)
    received = rows.finish()
    assert received.spans.num_rows == 2
    (rejection,) = received.rejections.to_pylist()
    assert (rejection["service"], rejection["sdk"], rejection["source"]) == ("cart", "otel/go", "file:zipkin")
    assert (rejection["reason"], rejection["spans"]) == (Reason.SPAN_UNDECODABLE, 3)
    assert rejection["example"] == "span is 7, not an object"


def test_rejections_are_counted_by_sender_and_reason_with_the_first_example():
    rejections = Rejections("zipkin-http", NOW)
    rejections.add("a", "", Reason.SPAN_UNDECODABLE, "one", 2)
    rejections.add("a", "", Reason.SPAN_UNDECODABLE, "two")
    rejections.add("", "", Reason.SPAN_UNDECODABLE, "three")
    got = [(r["service"], r["sdk"], r["spans"], r["example"]) for r in rejections.finish().to_pylist()]
    assert got == [("a", "zipkin", 3, "one"), ("unknown_service", "zipkin", 1, "three")]


def test_an_error_shows_only_the_beginning_of_a_value():
    with pytest.raises(SpanError) as error:
        whole("x" * 1_000_000, "duration")
    assert len(str(error.value)) < 120
    assert str(error.value).startswith("duration is 'xxx")


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [
        (5, 1000, 5000),
        ("1655760368633319", 1000, 1655760368633319000),
        (1.5, 1000, 1500),
        ("1661140435.622501485", 1_000_000_000, 1661140435622501485),
        ("1e3", 1, 1000),
        (-1, 1, -1),
        (INT64_MAX, 1, INT64_MAX),
        (INT64_MIN, 1, INT64_MIN),
    ],
)
def test_whole_reads_numbers_and_their_texts(value, scale, expected):
    assert whole(value, "f", scale) == expected


@pytest.mark.parametrize(
    "value",
    [True, None, "", "abc", "NaN", "inf", "1e999999999", math.inf, math.nan, 2**63, str(2**63), "9" * 5000, [], {}, 1e300],
)
def test_whole_refuses_everything_else(value):
    with pytest.raises(SpanError, match=r"^f is "):
        whole(value, "f")


@settings(deadline=None)
@given(st.integers(INT64_MIN, INT64_MAX))
def test_whole_gives_back_every_integer(number):
    assert whole(number, "f") == whole(str(number), "f") == number


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, (0, "")),
        ({"error": True}, (2, "")),
        ({"error": "true"}, (2, "")),
        ({"error": ""}, (2, "")),
        ({"error": "timeout"}, (2, "timeout")),
        ({"error": 503}, (2, "")),
        ({"error": False}, (0, "")),
        ({"error": "false"}, (0, "")),
        ({"otel.status_code": "OK", "error": "x"}, (1, "")),
        ({"otel.status_code": "ERROR", "otel.status_description": "why", "error": "x"}, (2, "why")),
    ],
)
def test_status_of_tags(tags, expected):
    assert status_of(tags) == expected


def test_the_sdk_is_named_as_far_as_it_is_known():
    resource = {"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "python", "telemetry.sdk.version": "1.38.0"}
    assert sdk_of(resource) == "opentelemetry/python/1.38.0"
    assert sdk_of({"telemetry.sdk.version": 3}) == ""


def decode_name(body):
    rows = SpanRows("test", NOW)
    sender = rows.sender({"service.name": "cart"})
    rows.spans(rows.load(body), lambda item: rows.add(sender, **{**SPAN, "operation": item["name"]}))
    return rows.finish().spans.to_pylist()


def test_a_broken_byte_costs_a_character_and_not_the_document():
    # The first two bytes of a three-byte sequence are one U+FFFD, as decoders of UTF-8 count.
    first, second = decode_name(b'[{"name": "a\xe2\x82b"}, {"name": "whole \xe2\x82\xac"}]')
    assert (first["operation"], first["quality"]) == ("a\ufffdb", [Reason.UTF8_INVALID])
    assert (second["operation"], second["quality"]) == ("whole €", [])


def test_a_lone_surrogate_is_replaced():
    (row,) = decode_name(rb'[{"name": "a\ud800b"}]')
    assert (row["operation"], row["quality"]) == ("a\ufffdb", [Reason.UTF8_INVALID])


def test_a_byte_order_mark_is_passed_over():
    assert parse_json(b'\xef\xbb\xbf{"a": 1}').root == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b"\x00\x01", b"[" * 100_000, b"nul", b'{"a": 1} x', b"1" * 5000 + b"x"])
def test_what_is_no_json_is_said_to_be_none(body):
    with pytest.raises(ChalkmarkError, match="not JSON"):
        parse_json(body)


def test_an_integer_beyond_64_bits_costs_its_span():
    row = one(attributes={"n": 2**64})
    assert (row["reason"], row["example"]) == (Reason.SPAN_UNDECODABLE, "attribute is 18446744073709551616, not within 64 bits")
