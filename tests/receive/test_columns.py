from __future__ import annotations

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalkmark.receive import columns
from chalkmark.receive.mapping import parse
from chalkmark.receive.rows import Rejections, hashed_identifier
from chalkmark.tables.landing import SPAN_BATCH
from chalkmark.tables.quality import Reason
from receive.json_like import UNTIMED

NOW = 1_790_000_000_000_000_000
MAP = "trace_id=trace,span_id=span,parent_span_id=parent,service=service,operation=name,start_ns=start,end_ns=end"
ROW = {
    "trace": "0af7651916cd43dd8448eb211c80319c",
    "span": "b7ad6b7169203331",
    "parent": "00f067aa0ba902b7",
    "service": "cart",
    "name": "GET /",
    "start": "1789999999000000000",
    "end": "1789999999000000007",
}


def decode(rows, mapping=MAP):
    batch = pa.RecordBatch.from_pylist(rows) if isinstance(rows, list) else rows
    rejections = Rejections("file:csv", NOW)
    spans = columns.decode(batch, parse(mapping), rejections, "file:csv", NOW)
    spans.validate(full=True)
    assert spans.schema == SPAN_BATCH
    refused = rejections.finish().to_pylist()
    assert spans.num_rows + sum(r["spans"] for r in refused) == batch.num_rows
    return spans.to_pylist(), refused


def one(mapping=MAP, **fields):
    (row,), _ = decode([{**ROW, **fields}], mapping)
    return row


def test_a_row_becomes_a_span():
    assert one(extra="x", empty="") == {
        "trace_id": bytes.fromhex(ROW["trace"]),
        "span_id": bytes.fromhex(ROW["span"]),
        "parent_span_id": bytes.fromhex(ROW["parent"]),
        "operation": "GET /",
        "kind": 0,
        "start_ns": 1789999999000000000,
        "end_ns": 1789999999000000007,
        "status": 0,
        "status_message": None,
        "flags": 0,
        "trace_state": None,
        "attributes": [("extra", "x")],
        "attribute_types": "s",
        "annotations": [],
        "sender": '{"resource":{"service.name":"cart"}}',
        "source": "file:csv",
        "quality": [],
        "received_ns": NOW,
    }


@pytest.mark.parametrize("parent", ["root", "ROOT", "", "0", "0000000000000000", None, "null"])
def test_root_values_mean_that_there_is_no_parent(parent):
    row = one(parent=parent)
    assert (row["parent_span_id"], row["quality"]) == (None, [])


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("start_ns", "1789999999000000005", 1789999999000000005),
        ("start_us", "1789999999000005", 1789999999000005000),
        ("start_ms", "1789999999000.5", 1789999999000500000),
        ("start_s", "1789999999.000000005", 1789999999000000005),
        ("start_s", 1789999999, 1789999999000000000),
        ("start_s", 1789999999.5, 1789999999500000000),
        ("start_iso", "2026-09-21T14:13:19.000000005Z", 1789999999000000005),
        ("start_iso", "2026-09-21T16:13:19+02:00", 1789999999000000000),
        ("start_iso", "2026-09-21 14:13:19", 1789999999000000000),
        ("start_us", pa.scalar(1789999999000000005, pa.timestamp("ns", "UTC")).as_py, 1789999999000000005),
    ],
)
def test_units_of_time(column, value, expected):
    if callable(value):
        array = pa.array([expected], pa.timestamp("ns", "UTC"))
        batch = pa.RecordBatch.from_pylist([ROW]).drop_columns(["start"]).append_column("start", array)
    else:
        batch = [{**ROW, "start": value}]
    (row,), _ = decode(batch, MAP.replace("start_ns", column))
    assert row["start_ns"] == expected


def test_a_duration_stands_for_the_end():
    row = one(MAP.replace("end_ns=end", "duration_us=end"), end="20.5")
    assert row["end_ns"] - row["start_ns"] == 20_500


@pytest.mark.parametrize(
    ("fields", "reason", "example"),
    [
        ({"start": "soon"}, Reason.SPAN_UNDECODABLE, "start is 'soon', not a number"),
        ({"start": ""}, Reason.SPAN_UNDECODABLE, "start is '', not a number"),
        ({"end": str(2**63)}, Reason.SPAN_UNDECODABLE, "end is '9223372036854775808', not within 64 bits"),
        ({"trace": ""}, Reason.TRACE_ID_MISSING, "trace_id is missing"),
        ({"trace": "a" * 33}, Reason.TRACE_ID_MALFORMED, ""),
        ({"span": "000"}, Reason.SPAN_ID_MISSING, "span_id is all zeros"),
        ({"span": "a" * 17}, Reason.SPAN_ID_MALFORMED, ""),
    ],
)
def test_a_broken_value_costs_its_row_alone(fields, reason, example):
    rows = [ROW] * 5 + [{**ROW, **fields}] + [ROW] * 7
    spans, refused = decode(rows)
    assert len(spans) == 12
    assert all(s["span_id"] == bytes.fromhex(ROW["span"]) for s in spans)
    assert [(r["service"], r["reason"], r["spans"]) for r in refused] == [("cart", reason, 1)]
    assert example in refused[0]["example"]


def test_a_duration_that_overflows_costs_its_row():
    mapping = MAP.replace("end_ns=end", "duration_ns=end")
    spans, refused = decode([{**ROW, "end": "5"}, {**ROW, "end": str(2**63 - 1)}], mapping)
    assert (len(spans), refused[0]["reason"]) == (1, Reason.SPAN_UNDECODABLE)


def test_an_identifier_that_is_not_hexadecimal_is_hashed():
    spans, _ = decode([ROW, {**ROW, "trace": "order-17", "span": "call-1"}, {**ROW, "parent": "call-1"}])
    assert spans[1]["trace_id"] == hashed_identifier("order-17", 16)
    assert spans[2]["parent_span_id"] == spans[1]["span_id"] == hashed_identifier("call-1", 8)
    assert [s["quality"] for s in spans] == [[], [Reason.ID_NOT_HEX], [Reason.ID_NOT_HEX]]
    assert [(a["key"], orjson.loads(a["value"])) for a in spans[1]["annotations"]] == [
        ("trace_id", "order-17"),
        ("span_id", "call-1"),
    ]


def test_a_malformed_parent_is_one_that_nobody_has():
    row = one(parent="a" * 17)
    assert row["quality"] == [Reason.PARENT_ID_MALFORMED]
    assert row["parent_span_id"] is not None


def test_short_identifiers_are_padded():
    row = one(trace="ABC", span="1")
    assert (row["trace_id"].hex(), row["span_id"].hex()) == ("abc".rjust(32, "0"), "1".rjust(16, "0"))


def test_identifiers_may_be_bytes():
    table = {k: pa.array([v]) for k, v in ROW.items()}
    table["trace"] = pa.array([bytes.fromhex(ROW["trace"])], pa.binary(16))
    table["span"] = pa.array([bytes.fromhex(ROW["span"])])
    (row,), _ = decode(pa.record_batch(table))
    assert (row["trace_id"].hex(), row["span_id"].hex()) == (ROW["trace"], ROW["span"])


@pytest.mark.parametrize(
    ("pod", "service"),
    [
        ("frontend-579b9bff58-t2dbm", "frontend"),
        ("redis-cart-0", "redis-cart"),
        ("emailservice-55fdc5b988-f6xth", "emailservice"),
        ("plain", "plain"),
        ("my-service", "my-service"),
    ],
)
def test_a_pod_names_its_service(pod, service):
    row = one(MAP.replace("service=", "pod="), service=pod)
    assert orjson.loads(row["sender"]) == {"resource": {"service.name": service, "service.instance.id": pod}}


def test_each_row_has_its_own_sender():
    mapping = MAP + ",host=h,zone=z,instance=i"
    rows = [{**ROW, "service": s, "h": h, "z": z, "i": ""} for s in "ab" for h in ("x", "") for z in ("u", "v")]
    spans, _ = decode(rows * 2, mapping)
    for row, span in zip(rows * 2, spans, strict=True):
        resource = orjson.loads(span["sender"])["resource"]
        assert resource == {
            k: v
            for k, v in (("service.name", row["service"]), ("host.name", row["h"]), ("cloud.availability_zone", row["z"]))
            if v
        }


@pytest.mark.parametrize(("kind", "number"), [("server", 2), ("SPAN_KIND_CLIENT", 3), ("5", 5), ("", 0), ("Internal", 1)])
def test_kinds(kind, number):
    row = one(MAP + ",kind=kind", kind=kind)
    assert (row["kind"], row["quality"]) == (number, [])


@pytest.mark.parametrize(("status", "number"), [("Error", 2), ("STATUS_CODE_OK", 1), ("2", 2), ("unset", 0)])
def test_statuses(status, number):
    row = one(MAP + ",status=status,status_message=why", status=status, why="w")
    assert (row["status"], row["status_message"], row["quality"]) == (number, "w", [])


def test_what_is_implausible_or_missing_is_noted():
    row = one(MAP + ",kind=kind,status=status", kind="x", status="200", name="", service="", start="5", end="6")
    assert row["operation"] == "unknown"
    assert row["quality"] == [
        Reason.SERVICE_MISSING,
        Reason.OPERATION_MISSING,
        Reason.KIND_UNKNOWN,
        Reason.STATUS_UNKNOWN,
        Reason.TIME_IMPLAUSIBLE,
    ]


def test_attributes_have_the_types_of_their_columns():
    row = one(i=7, d=0.25, b=True, s="x", n=None, y=b"\xff", a=[1, 2], k={"x": 1}, whole=1.0, nan=float("nan"))
    assert row["attributes"] == [
        ("i", "7"),
        ("d", "0.25"),
        ("b", "true"),
        ("s", "x"),
        ("y", "ff"),
        ("a", "[1,2]"),
        ("k", '{"x":1}'),
        ("whole", "1.0"),
        ("nan", "NaN"),
    ]
    assert row["attribute_types"] == "idbssakdd"


def test_broken_utf8_costs_a_character():
    names = pa.array([b"ok", b"a\xffb", None], pa.binary()).view(pa.string())
    batch = pa.RecordBatch.from_pylist([ROW] * 3).drop_columns(["name"]).append_column("name", names)
    spans, _ = decode(batch)
    assert [s["operation"] for s in spans] == ["ok", "a\ufffdb", "unknown"]
    assert [s["quality"] for s in spans] == [[], [Reason.UTF8_INVALID], [Reason.OPERATION_MISSING]]


def test_no_rows_are_no_spans():
    spans, refused = decode(pa.RecordBatch.from_pylist([ROW]).slice(0, 0))
    assert (spans, refused) == ([], [])


FIELDS = st.one_of(st.sampled_from([*ROW.values(), "", "root", "0", "-1", "1e3", "1e999", "nan"]), st.text(max_size=20))
MAPPINGS = st.sampled_from(
    [
        MAP,
        MAP.replace("end_ns", "duration_s"),
        MAP.replace("start_ns", "start_iso"),
        MAP.replace("service=", "pod=") + ",kind=name",
    ]
)


@UNTIMED
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, FIELDS)), min_size=1, max_size=6), MAPPINGS)
def test_every_row_of_hostile_text_is_kept_or_counted(rows, mapping):
    decode(rows, mapping)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, FIELDS)), min_size=1, max_size=6), MAPPINGS)
def test_rows_do_not_depend_on_their_neighbours(rows, mapping):
    together, _ = decode(rows, mapping)
    assert together == [span for row in rows for span in decode([row], mapping)[0]]
