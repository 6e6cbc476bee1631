from typing import Any

import pyarrow as pa

from chalkmark.curate.part import curate
from chalkmark.curate.raw import RAW_ANNOTATIONS
from raw_spans import EPOCH_NS, number, span, table

WIDE = (7 << 64) + 5


def said(trace: int, span_id: int, key: str, at: int | None = None, kind: str = "event", value: str = "{}") -> dict[str, Any]:
    ids = {"trace_id": trace.to_bytes(16, "big"), "span_id": span_id.to_bytes(8, "big")}
    return ids | {"kind": kind, "key": key, "value": value, "at_ns": at}


def annotations(spans: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return curate(table(spans), pa.Table.from_pylist(rows, RAW_ANNOTATIONS))["annotations"].to_pylist()


def test_annotations_are_distinct_sorted_and_filed_with_their_trace() -> None:
    rows = [
        said(2, 1, "b", 5),
        said(1, 2, "z", 9),
        said(1, 2, "a", 9),
        said(1, 2, "a", 9),
        said(1, 2, "link", None, "link"),
        said(1, 2, "c", 3),
    ]
    spans = [span(2, None, 100, 200), span(1, None, 0, 50, trace_id=2)]
    found = annotations(spans, rows)
    assert [(number(r["trace_id"]), number(r["span_id"]), r["key"], r["at_ns"]) for r in found] == [
        (2, 1, "b", 5),
        (1, 2, "c", 3),
        (1, 2, "a", 9),
        (1, 2, "z", 9),
        (1, 2, "link", None),
    ]
    assert {r["ts"].timestamp() for r in found} == {EPOCH_NS / 10**9}
    assert annotations(spans[::-1], rows[::-1]) == found


def test_annotations_follow_their_trace_to_the_128_bit_identifier() -> None:
    found = annotations(
        [span(1, trace_id=WIDE), span(2, 1, trace_id=5)], [said(5, 2, "x"), said(WIDE, 1, "y"), said(WIDE, 2, "x")]
    )
    assert [(number(r["trace_id"]), number(r["span_id"]), r["key"]) for r in found] == [(WIDE, 1, "y"), (WIDE, 2, "x")]


def test_annotations_of_a_shared_identifier_stay_with_the_client_half() -> None:
    found = annotations([span(2, kind="client"), span(2, kind="server")], [said(1, 2, "cs"), said(1, 2, "sr")])
    assert [number(r["span_id"]) for r in found] == [2, 2]


def test_annotations_of_other_traces_are_left_out() -> None:
    assert annotations([span(1)], [said(9, 1, "x")]) == []
