import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raw_spans import EPOCH_NS, by_id, curated, number, span
from shared import shared_data

Span = dict[str, Any]


def crisp_spans(document: dict[str, Any]) -> list[Span]:
    (trace,) = document["data"]
    service = {key: process["serviceName"] for key, process in trace["processes"].items()}
    return [
        span(
            int.from_bytes(s["spanID"].encode(), "big"),
            next((int.from_bytes(r["spanID"].encode(), "big") for r in s["references"]), None),
            s["startTime"] * 1000,
            (s["startTime"] + s["duration"]) * 1000,
            service=service[s["processID"]],
            operation=s["operationName"],
        )
        for s in trace["spans"]
    ]


CRISP = [f"{i}.json" for i in range(1, 26)] + [f"err_pattern{i}/err{j}.json" for i in range(1, 5) for j in (1, 2)]


@pytest.mark.parametrize("name", CRISP)
def test_crisp(name: str) -> None:
    """Expected exclusive time on the critical path by operation, in us, as CRISP's own cases state it."""
    document = json.loads((shared_data("traces/crisp") / name).read_text())
    stated = document["testing"]
    stated = stated[0] if isinstance(stated, list) else stated.get("opTimeExclusive", stated)
    found: Counter[str] = Counter()
    for row in curated(*crisp_spans(document))["spans"]:
        found[f"[{row['service']}] {row['operation']}"] += row["critical_ns"]
    assert {k: v for k, v in found.items() if v} == {k: v * 1000 for k, v in stated.items() if v}


def critical(*spans: Span) -> dict[int, int]:
    return {i: row["critical_ns"] for i, row in by_id(*spans).items()}


def test_siblings_that_touch_chain() -> None:
    """A strict comparison drops B, which ends in the instant in which C begins."""
    assert critical(span(1, None, 100, 120), span(2, 1, 100, 110), span(3, 1, 110, 120)) == {1: 0, 2: 10, 3: 10}


def test_of_parallel_siblings_the_last_to_end_is_responsible() -> None:
    assert critical(span(1, None, 0, 100), span(2, 1, 10, 60), span(3, 1, 20, 90)) == {1: 30, 2: 0, 3: 70}


def test_equal_ends_go_to_the_earlier_start_then_the_smaller_identifier() -> None:
    assert critical(span(1, None, 0, 100), span(2, 1, 20, 90), span(3, 1, 10, 90)) == {1: 20, 2: 0, 3: 80}
    assert critical(span(1, None, 0, 100), span(3, 1, 10, 90), span(2, 1, 10, 90)) == {1: 20, 2: 80, 3: 0}


def test_many_short_parallel_calls_are_no_sequence() -> None:
    """Each overlaps the next by less than 1 % of the parent, but by nearly all of itself."""
    spans = [span(1, None, 0, 10_000)] + [span(2 + i, 1, 100 + i, 150 + i) for i in range(100)]
    assert critical(*spans)[1] >= 10_000 - 150


def test_a_tiny_overlap_is_a_sequence_and_nobody_loses_time() -> None:
    assert critical(span(1, None, 0, 1000), span(2, 1, 10, 210), span(3, 1, 209, 309)) == {1: 700, 2: 200, 3: 100}


def test_what_outlives_the_parent_is_cut() -> None:
    assert critical(span(1, None, 0, 100), span(2, 1, 50, 500), span(3, 2, 90, 400)) == {1: 50, 2: 40, 3: 10}


def test_a_consumer_is_off_the_path_of_its_producer() -> None:
    spans = (
        span(1, None, 0, 100, kind="server"),
        span(2, 1, 10, 20, kind="producer"),
        span(3, 2, 12, 80, kind="consumer", service="other"),
    )
    assert critical(*spans) == {1: 90, 2: 10, 3: 0}


def test_a_poll_within_one_service_is_waited_for() -> None:
    assert critical(span(1, None, 0, 100, kind="internal"), span(2, 1, 10, 60, kind="consumer")) == {1: 50, 2: 50}


def test_without_a_root_the_earliest_tree_stands_for_it() -> None:
    assert critical(span(2, 9, 0, 50), span(3, 2, 10, 20), span(4, 8, 60, 90)) == {2: 40, 3: 10, 4: 0}


def test_self_time_is_what_no_child_covers() -> None:
    rows = by_id(span(1, None, 0, 100), span(2, 1, -10, 30), span(3, 1, 20, 40), span(4, 1, 90, 190), span(5, 1, 95, 96))
    assert rows[1]["self_ns"] == 50


def test_a_wide_fan_out_is_sorted_like_a_narrow_one() -> None:
    """Beyond 24 children another sort is used: same rules."""
    spans = [span(1, None, 0, 1000)] + [span(2 + i, 1, 10 * i, 10 * i + 10) for i in range(100)]
    assert critical(*spans) == {1: 0} | {2 + i: 10 for i in range(100)}
    assert by_id(*spans)[1]["self_ns"] == 0


# --- A twin, written as the definition reads: recursive, and for self time instant by instant. ---


@st.composite
def trees(draw: st.DrawFn, most: int = 9) -> list[Span]:
    n = draw(st.integers(1, most))
    spans = []
    for i in range(n):
        start = draw(st.integers(-20, 220)) if i else draw(st.integers(-5, 5))
        length = draw(st.integers(-5, 150)) if i else draw(st.one_of(st.just(0), st.integers(100, 400)))
        parent = draw(st.integers(1, i)) if i else None
        kind = draw(st.sampled_from(["unspecified", "server", "client", "producer", "consumer"]))
        spans.append(span(i + 1, parent, start, start + length, kind=kind, service=draw(st.sampled_from("ab"))))
    return spans


def responsible(spans: list[Span]) -> dict[int, int]:
    """Critical time: at each instant, counted back from the end, either the child that was taken or the parent itself."""
    out: dict[int, int] = {s["span_id"]: 0 for s in spans}

    def walk(u: Span, low: int, high: int) -> None:
        waiting = []
        for c in spans:
            message = c["kind"] == "consumer" and (u["kind"] == "producer" or c["service"] != u["service"])
            if c["parent_span_id"] == u["span_id"] and not message:
                clipped = max(c["start_ns"], low), min(c["end_ns"], high)
                if clipped[0] < clipped[1]:
                    waiting.append((-c["end_ns"], c["start_ns"], c["span_id"], clipped, c))
        waiting.sort(key=lambda w: w[:3])
        now, began, lasted = high, high, high - low
        for *_, (start, end), c in waiting:
            overlap = end - began
            if overlap > 0 and (overlap * 100 > high - low or overlap * 10 > min(lasted, end - start)):
                continue
            began, lasted = start, end - start
            while now > end and now > low:  # nobody else is there: the parent
                out[u["span_id"]] += 1
                now -= 1
            taken = 0
            while taken < lasted and now > low:
                taken += 1
                now -= 1
            if taken:
                walk(c, end - taken, end)
        out[u["span_id"]] += now - low

    root = spans[0]
    if root["end_ns"] > root["start_ns"]:
        walk(root, root["start_ns"], root["end_ns"])
    return out


@given(trees())
@settings(max_examples=150, deadline=None)
def test_critical_time_is_its_definition(spans: list[Span]) -> None:
    assert critical(*spans) == responsible(spans)


@given(trees())
@settings(max_examples=80, deadline=None)
def test_self_time_is_its_definition(spans: list[Span]) -> None:
    for i, row in by_id(*spans).items():
        kids = [s for s in spans if s["parent_span_id"] == i]
        instants = range(row["start_ns"] - EPOCH_NS, row["end_ns"] - EPOCH_NS)
        alone = sum(not any(k["start_ns"] <= EPOCH_NS + t < k["end_ns"] for k in kids) for t in instants)
        assert row["self_ns"] == alone


@given(st.lists(trees(most=40), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_critical_times_sum_to_the_duration_of_the_root(traces: list[list[Span]]) -> None:
    tables = curated(*(s | {"trace_id": t} for t, spans in enumerate(traces, 1) for s in spans))
    duration = {number(t["trace_id"]): t["duration_ns"] for t in tables["traces"]}
    critical: Counter[int | None] = Counter()
    for row in tables["spans"]:
        assert 0 <= row["critical_ns"] <= row["duration_ns"]
        assert 0 <= row["self_ns"] <= row["duration_ns"]
        critical[number(row["trace_id"])] += row["critical_ns"]
    assert critical == duration
    assert sum(row["critical_ns"] for row in tables["call_paths"]) == sum(duration.values())
    assert sum(row["self_ns"] for row in tables["call_paths"]) == sum(row["self_ns"] for row in tables["spans"])
