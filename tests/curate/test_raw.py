from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.generate import giant_trace, landing_batches
from chalkmark.curate import reasons
from chalkmark.curate.part import curate
from chalkmark.curate.raw import DAY_NS, KINDS, RAW, RAW_ANNOTATIONS, STATUSES, YEAR_2000_NS, from_landing, from_spans
from chalkmark.tables import TABLES
from chalkmark.tables.landing import SPAN_BATCH
from chalkmark.tables.quality import RULES, Reason
from spans import T0, batch, span

SPANS = TABLES["spans"].schema


def raw_of(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The RAW rows of these spans, their quality as the names of reasons."""
    raw, _ = from_landing(pa.Table.from_batches([batch(rows)]))
    raw.validate(full=True)
    assert raw.schema == RAW
    return readable(raw)


def readable(raw: pa.Table) -> list[dict[str, Any]]:
    quality = pa.chunked_array([reasons.lists(raw["quality"].to_numpy())])
    return raw.set_column(raw.column_names.index("quality"), "quality", quality).to_pylist()  # type: ignore[no-any-return]


def stored(raw: pa.Table, found: Reason = Reason.PARENT_MISSING) -> pa.Table:
    """Rows of `spans` that hold `raw`: plain texts, more reasons, and values of its own in the columns RAW does not have."""
    columns = []
    for field in SPANS:
        if field.name == "quality":
            columns.append(reasons.lists(raw["quality"].to_numpy() | reasons.bit(found)))
        elif field.name in RAW.names:
            columns.append(raw[field.name].cast(field.type))
        else:
            columns.append(pa.array([0] * len(raw)).cast(field.type))
    return pa.Table.from_arrays(columns, schema=SPANS)


def test_columns_pass_through() -> None:
    sent = span(5, 6, 7, at=(3, 9), kind="client", status=2, attributes={"k": "v"})
    sent |= {"status_message": "no", "flags": 257, "trace_state": "a=b", "received_ns": T0 + 17}
    (row,) = raw_of(sent)
    for name in ("trace_id", "span_id", "parent_span_id", "start_ns", "end_ns", "status_message", "flags", "trace_state"):
        assert row[name] == sent[name]
    assert (row["attributes"], row["attribute_types"], row["received_ns"]) == ([("k", "v")], "s", T0 + 17)
    assert (row["kind"], row["status"], row["source"], row["sender"]) == ("client", "error", "otlp-grpc", sent["sender"])
    assert row["quality"] == []


def test_derived_columns_come_from_sender_and_attributes() -> None:
    said = {
        "peer.service": "cart",
        "http.request.body.size": "10",
        "http.response.body.size": "20",
        "sampling.probability": "0.5",
    }
    (row,) = raw_of(span(1, 2, service="shop", host="h1", kind="client", attributes=said))
    assert (row["service"], row["host"], row["instance"], row["zone"]) == ("shop", "h1", None, None)
    assert (row["peer_service"], row["request_bytes"], row["response_bytes"], row["weight"]) == ("cart", 10, 20, 2.0)
    assert (row["scope_name"], row["scope_version"]) == ("", "")


def test_codes_of_kind_and_status_are_those_of_otlp() -> None:
    kinds, statuses = [5, 0, 2, 1, 4, 3], [2, 0, 1, 1, 0, 2]
    rows = [span(1, i + 1) | {"kind": k, "status": s} for i, (k, s) in enumerate(zip(kinds, statuses, strict=True))]
    raw, _ = from_landing(pa.Table.from_batches([batch(rows)]))
    for name, names, sent in (("kind", KINDS, kinds), ("status", STATUSES, statuses)):
        column = raw[name].chunk(0)
        assert column.dictionary.to_pylist() == list(names)
        assert column.indices.to_pylist() == sent
    again = from_spans(stored(raw))
    assert again["kind"].chunk(0).indices.to_pylist() == kinds
    assert again["status"].chunk(0).indices.to_pylist() == statuses


@pytest.mark.parametrize("number", [-128, -1, 6, 127])
def test_an_unknown_kind_is_unspecified(number: int) -> None:
    (row,) = raw_of(span(1, 2) | {"kind": number})
    assert (row["kind"], row["quality"]) == ("unspecified", ["kind_unknown"])


@pytest.mark.parametrize("number", [-1, 3, 127])
def test_an_unknown_status_is_unset(number: int) -> None:
    (row,) = raw_of(span(1, 2) | {"status": number})
    assert (row["status"], row["quality"]) == ("unset", ["status_unknown"])


def test_a_span_without_a_name_is_unknown() -> None:
    rows = raw_of(span(1, 2, operation=""), span(1, 3, operation="unknown"), span(1, 4, operation="get"))
    assert [(row["operation"], row["quality"]) for row in rows] == [
        ("unknown", ["operation_missing"]),
        ("unknown", []),
        ("get", []),
    ]


def test_a_span_without_a_service_is_unknown_service() -> None:
    rows = raw_of(span(1, 2, service=""), span(1, 3, service="shop"))
    assert [(row["service"], row["quality"]) for row in rows] == [("unknown_service", ["service_missing"]), ("shop", [])]


def test_a_reason_that_the_receiver_found_too_stands_once() -> None:
    (row,) = raw_of(span(1, 2, service="", quality=["value_too_deep", "service_missing"]))
    assert row["quality"] == ["service_missing", "value_too_deep"]


MIN, MAX = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (T0, T0, []),
        (T0, T0 - 1, ["end_before_start"]),
        (T0, T0 + DAY_NS, []),
        (T0, T0 + DAY_NS + 1, ["duration_absurd"]),
        (YEAR_2000_NS, YEAR_2000_NS, []),
        (YEAR_2000_NS - 1, YEAR_2000_NS, ["time_implausible"]),
        (T0 + DAY_NS, T0 + DAY_NS, []),
        (T0 + DAY_NS + 1, T0 + DAY_NS + 1, ["time_implausible"]),
        (0, 0, ["time_implausible"]),
        (0, T0, ["time_implausible", "duration_absurd"]),
        (MAX, MIN, ["time_implausible", "end_before_start"]),
        (MIN, MAX, ["time_implausible", "duration_absurd"]),
        (MIN, MIN, ["time_implausible"]),
        (MAX, MAX, ["time_implausible"]),
    ],
)
def test_times(start: int, end: int, found: list[str]) -> None:
    (row,) = raw_of(span(1, 2) | {"start_ns": start, "end_ns": end, "received_ns": T0})
    assert (row["start_ns"], row["end_ns"]) == (start, end)
    assert row["quality"] == sorted(found)


def test_sdk_is_the_protocol_where_the_sender_names_none() -> None:
    named = {"sender": '{"resource":{"telemetry.sdk.name":"otel"}}'}
    rows = [span(1, i + 1) | {"source": source} for i, source in enumerate(["zipkin-http", "otlp-grpc", "file:jaeger"])]
    rows.append(rows[0] | named)
    assert [row["sdk"] for row in raw_of(*rows)] == ["zipkin", "otlp", "jaeger", "otel"]


def test_annotations_name_their_span() -> None:
    rows = [span(1, 2, events=[("a", 5), ("b", 6)]), span(1, 3), span(4, 5, events=[("c", 7)])]
    rows[1]["annotations"] = [{"kind": "link", "key": "link", "value": "{}", "at_ns": None}]
    landed = pa.Table.from_batches([batch(rows)])
    _, annotations = from_landing(landed)
    annotations.validate(full=True)
    assert annotations.schema == RAW_ANNOTATIONS
    assert [(r["trace_id"][-1], r["span_id"][-1], r["kind"], r["key"], r["at_ns"]) for r in annotations.to_pylist()] == [
        (1, 2, "event", "a", T0 + 5),
        (1, 2, "event", "b", T0 + 6),
        (1, 3, "link", "link", None),
        (4, 5, "event", "c", T0 + 7),
    ]
    assert from_landing(landed.slice(1))[1].to_pylist() == annotations.to_pylist()[2:]


def test_nothing_gives_nothing() -> None:
    raw, annotations = from_landing(SPAN_BATCH.empty_table())
    assert (raw.schema, raw.num_rows, annotations.schema, annotations.num_rows) == (RAW, 0, RAW_ANNOTATIONS, 0)
    assert from_spans(SPANS.empty_table()).schema == RAW


def test_batches_with_dictionaries_of_their_own_give_what_one_batch_gives() -> None:
    rows = [span(1, i + 1, service=f"s{i % 3}", host=f"h{i % 2}", operation=f"o{i % 4}") for i in range(12)]
    whole, _ = from_landing(pa.Table.from_batches([batch(rows)]))
    pieces, _ = from_landing(pa.Table.from_batches([batch(rows[i : i + 2]) for i in range(0, 12, 2)]))
    assert readable(pieces) == readable(whole)
    for name in RAW.names:
        assert pieces[name].num_chunks == 1
    for name in ("service", "host", "operation", "sender"):
        texts = pieces[name].chunk(0).dictionary.to_pylist()
        assert len(texts) == len(set(texts))


def test_a_slice_of_a_batch_gives_its_rows() -> None:
    rows = [
        span(1, i + 1, service=f"s{i}", operation=f"o{i % 3}", kind="client", attributes={"peer.service": f"p{i}", "x": "y" * i})
        for i in range(9)
    ]
    landed = pa.Table.from_batches([batch(rows)])
    assert readable(from_landing(landed.slice(4, 3))[0]) == readable(from_landing(landed)[0])[4:7]


TEXT = st.text(max_size=6)
ROWS = st.lists(
    st.builds(
        lambda sid, parent, at, service, host, kind, status, operation, said, quality: span(
            1, sid, parent, at=at, service=service, host=host, kind=kind, status=status, operation=operation, attributes=said,
            quality=quality,
        ),
        st.integers(1, 2**64 - 1), st.one_of(st.none(), st.integers(1, 9)),
        st.tuples(st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18)),
        TEXT, st.one_of(st.none(), TEXT), st.sampled_from(KINDS), st.integers(0, 2), TEXT,
        st.dictionaries(st.sampled_from(["peer.service", "server.address", "http.request.body.size", "SampleRate", "x"]), TEXT),
        st.lists(st.sampled_from(["utf8_invalid", "id_not_hex", "value_too_deep"]), unique=True),
    ),
    max_size=8,
)  # fmt: skip


@settings(deadline=None)
@given(ROWS)
def test_what_was_stored_comes_back(rows: list[dict[str, Any]]) -> None:
    raw, _ = from_landing(pa.Table.from_batches([batch(rows)], schema=SPAN_BATCH))
    again = from_spans(stored(raw))
    again.validate(full=True)
    assert again.schema == RAW
    assert again.to_pylist() == raw.to_pylist()


@pytest.mark.parametrize("reason", list(Reason))
def test_reasons_that_need_other_spans_are_found_anew(reason: Reason) -> None:
    raw, _ = from_landing(pa.Table.from_batches([batch([span(1, 2)])]))
    kept = reasons.lists(from_spans(stored(raw, reason))["quality"].to_numpy()).to_pylist() == [[str(reason)]]
    of_traces = (
        Reason.PARENT_MISSING, Reason.PARENT_SELF, Reason.PARENT_CYCLE, Reason.ROOT_MISSING,
        Reason.SEVERAL_ROOTS, Reason.STARTS_BEFORE_PARENT, Reason.OUTLIVES_PARENT, Reason.CLOCK_CORRECTED, Reason.CLOCK_UNCERTAIN,
    )  # fmt: skip
    refused = [r for r in Reason if RULES[r].scope == "rejected"]
    assert kept == (reason not in of_traces and reason not in refused)


def test_a_curated_fleet_comes_back() -> None:
    raw, annotations = from_landing(pa.Table.from_batches(list(landing_batches(5_000, rows=500))))
    raw.validate(full=True)
    assert not raw["quality"].to_numpy().any()
    failed = np.flatnonzero(raw["status"].chunk(0).indices.to_numpy() == STATUSES.index("error"))
    assert annotations["span_id"].to_pylist() == raw["span_id"].take(failed).to_pylist()
    callers = np.isin(raw["kind"].chunk(0).indices, [KINDS.index("client"), KINDS.index("producer")])
    assert (raw["peer_service"].is_valid().to_numpy() == callers).all()

    def by_span(table: pa.Table) -> list[dict[str, Any]]:
        return sorted(table.to_pylist(), key=lambda row: row["span_id"])

    assert by_span(from_spans(curate(raw, annotations)["spans"])) == by_span(raw)


def test_one_large_trace() -> None:
    raw, _ = from_landing(pa.Table.from_batches([giant_trace(30_000, depth=1000, fan_out=5000)]))
    assert raw["trace_id"].unique().to_pylist() == [raw["trace_id"][0].as_py()]
    assert raw["parent_span_id"].null_count == 1
