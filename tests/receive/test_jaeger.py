from __future__ import annotations

import gzip
import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalkmark.errors import ChalkmarkError
from chalkmark.receive import jaeger
from chalkmark.receive.rows import SpanRows
from chalkmark.tables.quality import Reason
from receive.json_like import HEX, JSON, TIME, UNTIMED, may_be, message
from shared import shared_data

NOW = 1_790_000_000_000_000_000
TRACE = "0000c34b2d4a6099"
SPAN = {
    "traceID": TRACE,
    "spanID": "713dd50add9b4bce",
    "operationName": "/geo.Geo/Nearby",
    "startTime": 1_789_999_999_000_000,
    "duration": 4_238,
    "processID": "p1",
}
PROCESSES = {"p1": {"serviceName": "geo", "tags": []}}


def decode(*spans, processes=PROCESSES):
    document = {"data": [{"traceID": TRACE, "spans": spans, "processes": processes}]}
    received = jaeger.decode(json.dumps(document).encode(), "file:jaeger", NOW)
    received.spans.validate(full=True)
    return received


def one(processes=PROCESSES, **fields):
    (row,) = decode({**SPAN, **fields}, processes=processes).spans.to_pylist()
    return row


def tag(key, value, kind=None):
    return {"key": key, "value": value} | ({"type": kind} if kind else {})


def reference(span, trace=TRACE, kind="CHILD_OF"):
    return {"refType": kind, "traceID": trace, "spanID": span}


def test_a_span():
    row = one(flags=1, references=[reference("2b0a85ca04863569")])
    assert row["trace_id"] == bytes(8) + bytes.fromhex(TRACE)
    assert row["span_id"] == bytes.fromhex("713dd50add9b4bce")
    assert row["parent_span_id"] == bytes.fromhex("2b0a85ca04863569")
    assert (row["start_ns"], row["end_ns"]) == (1_789_999_999_000_000_000, 1_789_999_999_004_238_000)
    assert (row["operation"], row["kind"], row["flags"], row["quality"]) == ("/geo.Geo/Nearby", 0, 1, [])
    assert row["annotations"] == []


@pytest.mark.parametrize(
    ("sent", "text", "letter"),
    [
        (tag("k", "v", "string"), "v", "s"),
        (tag("k", True, "bool"), "true", "b"),
        (tag("k", "false", "bool"), "false", "b"),
        (tag("k", 200, "int64"), "200", "i"),
        (tag("k", "9007199254740993", "int64"), "9007199254740993", "i"),
        (tag("k", 1, "float64"), "1.0", "d"),
        (tag("k", 0.25, "float64"), "0.25", "d"),
        (tag("k", "AP8=", "binary"), '"AP8="', "y"),
        (tag("k", 7), "7", "i"),
        (tag("k", [1], "unheard-of"), "[1]", "a"),
    ],
)
def test_tags_have_the_type_that_they_state(sent, text, letter):
    row = one(tags=[sent])
    assert (row["attributes"], row["attribute_types"]) == ([("k", text)], letter)


def test_what_exporters_wrote_as_tags_goes_back_to_its_field():
    row = one(
        tags=[
            tag("span.kind", "consumer"),
            tag("otel.scope.name", "lib"),
            tag("otel.library.version", "1.2"),
            tag("w3c.tracestate", "a=b"),
            tag("otel.status_code", "ERROR"),
            tag("otel.status_description", "no luck"),
            tag("sampler.type", "const"),
            tag("error", True, "bool"),
        ]
    )
    assert (row["kind"], row["status"], row["status_message"], row["trace_state"]) == (5, 2, "no luck", "a=b")
    assert orjson.loads(row["sender"])["scope"] == {"name": "lib", "version": "1.2"}
    assert row["attributes"] == [("sampler.type", "const"), ("error", "true")]


def test_an_unknown_kind_is_noted_and_kept_as_an_attribute():
    row = one(tags=[tag("span.kind", "proxy")])
    assert (row["kind"], row["quality"], row["attributes"]) == (0, [Reason.KIND_UNKNOWN], [("span.kind", "proxy")])


def test_the_process_is_the_resource():
    tags = [tag("hostname", "ocean0"), tag("ip", "10.0.0.7"), tag("jaeger.version", "Go-2.30.0"), tag("pid", 7, "int64")]
    row = one(processes={"p1": {"serviceName": "geo", "tags": tags}})
    assert orjson.loads(row["sender"])["resource"] == {
        "service.name": "geo",
        "host.name": "ocean0",
        "host.ip": "10.0.0.7",
        "jaeger.version": "Go-2.30.0",
        "pid": 7,
        "telemetry.sdk.name": "jaeger",
        "telemetry.sdk.language": "go",
        "telemetry.sdk.version": "2.30.0",
    }


def test_a_span_of_an_unknown_process_is_kept():
    row = one(processID="p9")
    assert row["quality"] == [Reason.SERVICE_MISSING]


def links(row):
    return [orjson.loads(a["value"]) for a in row["annotations"] if a["kind"] == "link"]


def test_a_follower_within_the_trace_is_a_link_and_a_child():
    row = one(references=[reference("aa", "c34b2d4a6099", "FOLLOWS_FROM")])
    assert row["parent_span_id"] == bytes(7) + b"\xaa"
    assert links(row) == [
        {
            "trace_id": "0" * 16 + TRACE,
            "span_id": "00000000000000aa",
            "attributes": {"opentracing.ref_type": "follows_from"},
        }
    ]


def test_the_first_child_of_is_the_parent_and_the_rest_are_links():
    row = one(references=[reference("aa", kind="FOLLOWS_FROM"), reference("bb"), reference("cc"), reference("dd", "ee")])
    assert row["parent_span_id"] == bytes(7) + b"\xbb"
    assert [link["span_id"][-2:] for link in links(row)] == ["aa", "cc", "dd"]


def test_a_reference_to_another_trace_is_a_link_only():
    row = one(references=[reference("aa", "ee")])
    assert row["parent_span_id"] is None
    assert len(links(row)) == 1


def test_logs_are_events_and_warnings_are_notes():
    row = one(
        logs=[
            {"timestamp": 1_789_999_999_000_007, "fields": [tag("event", "retry"), tag("n", 2, "int64")]},
            {"timestamp": 1_789_999_999_000_008, "fields": [tag("level", "warn"), tag("message", "slow")]},
            {"timestamp": 1_789_999_999_000_009, "fields": [tag("k", "v")]},
        ],
        warnings=["clock skew"],
    )
    assert [(a["kind"], a["key"], a["value"], a["at_ns"]) for a in row["annotations"]] == [
        ("event", "retry", '{"n":2}', 1_789_999_999_000_007_000),
        ("event", "slow", '{"level":"warn"}', 1_789_999_999_000_008_000),
        ("event", "log", '{"k":"v"}', 1_789_999_999_000_009_000),
        ("note", "warning", '"clock skew"', None),
    ]


@pytest.mark.parametrize(
    ("fields", "example"),
    [
        ({"startTime": "x"}, "startTime is 'x', not a number"),
        ({"duration": 2**60}, "duration is 1152921504606846976, not within 64 bits"),
        ({"flags": -1}, "flags is -1, not within 31 bits"),
        ({"tags": [tag("n", "x", "int64")]}, "n is 'x', not a number"),
        ({"tags": [tag("b", "?", "binary")]}, "b is '?', not base64"),
        ({"references": [1]}, "reference is 1, not an object"),
        ({"processID": 1}, "processID is 1, not a text"),
        ({"warnings": "w"}, "warnings is 'w', not a list"),
    ],
)
def test_a_broken_field_costs_its_span_and_is_named(fields, example):
    received = decode(SPAN, {**SPAN, **fields})
    assert received.spans.num_rows == 1
    assert [(r["reason"], r["example"]) for r in received.rejections.to_pylist()] == [(Reason.SPAN_UNDECODABLE, example)]


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: [t], lambda t: {"data": [t]}])
def test_one_trace_a_list_and_an_export(wrap):
    document = wrap({"traceID": TRACE, "spans": [SPAN], "processes": PROCESSES})
    assert jaeger.decode(json.dumps(document).encode(), "file:jaeger", NOW).spans.num_rows == 1


@pytest.mark.parametrize("body", [b"7", b"null", b"{}", b'{"data": null}', b"[", b""])
def test_what_holds_no_traces_is_refused_whole(body):
    with pytest.raises(ChalkmarkError):
        jaeger.decode(body, "file:jaeger", NOW)


def test_crisp_cases_keep_every_span_and_its_times():
    folder = shared_data("traces/crisp")
    paths = sorted(folder.rglob("*.json"))
    assert len(paths) == 33
    for path in paths:
        sent = [s for t in json.loads(path.read_bytes())["data"] for s in t["spans"]]
        received = jaeger.decode(path.read_bytes(), "file:jaeger", NOW)
        received.spans.validate(full=True)
        assert received.rejected == 0
        rows = received.spans.to_pylist()
        assert [(r["start_ns"], r["end_ns"]) for r in rows] == [
            (s["startTime"] * 1000, (s["startTime"] + s["duration"]) * 1000) for s in sent
        ]
        # Identifiers are single letters there: every parent must still be one of the spans.
        assert {r["parent_span_id"] for r in rows} - {None} <= {r["span_id"] for r in rows}
        assert all(Reason.TIME_IMPLAUSIBLE in r["quality"] for r in rows)


@pytest.mark.parametrize(
    ("name", "spans"),
    [
        ("hotel_reservation__hotel_load100", 11_000),
        ("hotel_reservation__hotel_load25", 11_000),
        ("media_microservices__media_load100", 27_000),
        ("nodejs_microservices__node_load25", 6_000),
    ],
)
def test_recorded_traces_lose_nothing(name, spans):
    rows = SpanRows("file:jaeger", NOW)
    with gzip.open(shared_data(f"traces/deathstarbench/{name}.jaeger.jsonl.gz")) as lines:
        for line in lines:
            jaeger.read(rows.load(line), rows)
    received = rows.finish()
    received.spans.validate(full=True)
    assert (received.spans.num_rows, received.rejected) == (spans, 0)
    assert received.spans["parent_span_id"].null_count == 1000  # one root a trace


TAG = message(key=st.text(max_size=4), value=JSON, type=st.sampled_from(["string", "bool", "int64", "float64", "binary"]))
HOSTILE = message(
    traceID=HEX,
    processes=st.dictionaries(
        st.just("p1"), message(serviceName=st.text(max_size=4), tags=st.lists(TAG, max_size=2)), max_size=1
    ),
    spans=st.lists(
        message(
            traceID=HEX,
            spanID=HEX,
            processID=st.just("p1"),
            operationName=st.text(max_size=4),
            startTime=TIME,
            duration=TIME,
            flags=st.integers(-1, 5),
            tags=st.lists(TAG, max_size=3),
            references=st.lists(message(refType=st.just("CHILD_OF"), traceID=HEX, spanID=HEX), max_size=2),
            logs=st.lists(message(timestamp=TIME, fields=st.lists(TAG, max_size=2)), max_size=2),
            warnings=st.lists(st.text(max_size=4), max_size=1),
        ),
        max_size=4,
    ),
)


@UNTIMED
@given(HOSTILE)
def test_every_span_of_a_hostile_trace_is_kept_or_counted(trace):
    received = jaeger.decode(json.dumps({"data": [trace]}).encode(), "file:jaeger", NOW)
    received.spans.validate(full=True)
    spans = trace.get("spans") if isinstance(trace, dict) else None
    processes = trace.get("processes") if isinstance(trace, dict) else None
    if isinstance(spans, list) and isinstance(processes, dict | None):
        assert received.spans.num_rows + received.rejected == len(spans)


@UNTIMED
@given(may_be(JSON))
def test_any_json_is_read_or_refused(document):
    with suppress(ChalkmarkError):
        jaeger.decode(json.dumps(document).encode(), "file:jaeger", NOW).spans.validate(full=True)
