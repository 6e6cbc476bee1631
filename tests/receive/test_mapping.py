from __future__ import annotations

import pytest

from chalkmark.errors import ChalkmarkError
from chalkmark.receive.mapping import PRESETS, Mapping, guess, parse, preset


def test_a_mapping_is_read_and_written():
    text = "trace_id=T,span_id=S,start_us=Start,duration_ms=Took,attributes.http.method=Verb"
    mapping = parse(text)
    assert str(mapping) == text
    assert mapping.time("start") == ("Start", "us")
    assert mapping.time("duration") == ("Took", "ms")
    assert mapping.time("end") is None


def test_what_is_not_mapped_becomes_an_attribute():
    text = "trace_id=T,span_id=S,start_ns=A,end_ns=B,attributes.verb=V"
    names = ["T", "S", "A", "B", "V", "other"]
    assert parse(text).attributes(names) == {"verb": "V", "other": "other"}
    assert parse(text, extra=False).attributes(names) == {"verb": "V"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("trace=T", "there is no field 'trace'", "Did you mean 'trace_id'?"),
        ("start_hours=T", "there is no field 'start_hours'", "Did you mean 'start_"),
        ("attributes.=T", "there is no field 'attributes.'", ""),
        ("trace_id", "'trace_id' is not of the form target=column", "--map trace_id="),
        ("trace_id=A,trace_id=B", "names trace_id twice", ""),
        ("trace_id=A", "which column is span_id and which is start_ns", "--map trace_id="),
        ("trace_id=A,span_id=B,start_ns=C", "which column is end_ns or duration_ns", ""),
        ("", "which column is trace_id", ""),
    ],
)
def test_a_faulty_mapping_is_explained(text, message, hint):
    with pytest.raises(ChalkmarkError) as error:
        parse(text)
    assert message in str(error.value)
    assert hint in error.value.hint


def test_an_unknown_column_is_named_with_the_nearest():
    with pytest.raises(ChalkmarkError, match="there is no column 'traceid'") as error:
        parse("trace_id=traceid,span_id=S,start_ns=A,end_ns=B").check(["TraceID", "S", "A", "B"])
    assert error.value.hint == "Did you mean 'TraceID'?"


def test_presets_are_whole_mappings():
    for name, mapping in PRESETS.items():
        assert parse(str(mapping)).columns == mapping.columns, name
    with pytest.raises(ChalkmarkError, match="There is no preset 'shop'") as error:
        preset("shop")
    assert "onlineboutique" in error.value.hint


@pytest.mark.parametrize(
    ("names", "first", "expected"),
    [
        (
            ["TraceID", "SpanID", "ParentID", "PodName", "OperationName", "StartTimeUnixNano", "EndTimeUnixNano", "Duration"],
            {},
            "trace_id=TraceID,span_id=SpanID,parent_span_id=ParentID,pod=PodName,operation=OperationName,"
            "start_ns=StartTimeUnixNano,end_ns=EndTimeUnixNano",
        ),
        (
            ["trace_id", "span-id", "service.name", "name", "start_time_us", "duration_ms"],
            {},
            "trace_id=trace_id,span_id=span-id,service=service.name,operation=name,start_us=start_time_us,duration_ms=duration_ms",
        ),
        (
            ["traceId", "spanId", "timestamp", "durationNs"],
            {"timestamp": "1655760368633319"},
            "trace_id=traceId,span_id=spanId,duration_ns=durationNs,start_us=timestamp",
        ),
        (
            ["traceId", "spanId", "start", "end"],
            {"start": "2026-11-01T12:00:00Z", "end": "1790000000.5"},
            "trace_id=traceId,span_id=spanId,start_iso=start,end_s=end",
        ),
    ],
)
def test_recognisable_names_are_mapped(names, first, expected):
    assert str(guess(names, first)) == expected


@pytest.mark.parametrize("names", [["a", "b"], ["trace_id", "span_id", "start_ns", "duration"]])
def test_where_names_do_not_suffice_the_columns_are_listed(names):
    # A bare `duration` could be of any unit.
    with pytest.raises(ChalkmarkError, match=", ".join(names)) as error:
        guess(names, dict.fromkeys(names, "5"))
    assert "--map trace_id=" in error.value.hint


def test_time_of_an_empty_mapping():
    assert Mapping({}).time("start") is None
