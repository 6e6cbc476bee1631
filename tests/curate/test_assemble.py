"""Grouping, copies, shared identifiers, parents, rings and roots."""

from typing import Any

import numpy as np
import pytest

from chalkmark.curate.assemble import assemble
from chalkmark.curate.part import curate
from chalkmark.curate.tree import SHARED_MARK
from chalkmark.tables.quality import Reason
from raw_spans import EPOCH_NS, NO_ANNOTATIONS, by_id, curated, number, span, table

SERVER_HALF = int(SHARED_MARK)


def quality(*spans: dict[str, Any]) -> dict[int, list[str]]:
    return {i: row["quality"] for i, row in by_id(*spans).items()}


def test_traces_are_told_apart_by_all_16_bytes() -> None:
    high, low = 1 << 64, 1
    found = curated(*(span(1, trace_id=t) for t in (high + low, 2 * high + low, high + 2)))
    assert sorted(number(t["trace_id"]) for t in found["traces"]) == [high + 1, high + 2, 2 * high + 1]


def test_a_64_bit_id_joins_the_only_128_bit_one() -> None:
    wide = (7 << 64) + 5
    found = curated(span(1, trace_id=wide), span(2, 1, trace_id=5), span(3, trace_id=6))
    assert [(number(s["trace_id"]), number(s["span_id"]), s["quality"]) for s in found["spans"]] == [
        (6, 3, []),
        (wide, 1, [Reason.TRACE_ID_MIXED]),
        (wide, 2, [Reason.TRACE_ID_MIXED]),
    ]
    assert [t["quality"] for t in found["traces"]] == [[], [Reason.TRACE_ID_MIXED]]
    assert all(t["complete"] for t in found["traces"])


def test_a_64_bit_id_joins_none_of_two() -> None:
    found = curated(span(1, trace_id=(7 << 64) + 5), span(2, trace_id=(8 << 64) + 5), span(3, trace_id=5))
    assert len(found["traces"]) == 3
    assert all(t["quality"] == [] for t in found["traces"])


def test_identical_copies_are_one_span_with_the_first_arrival() -> None:
    rows = by_id(span(1, received_ns=EPOCH_NS + 9), span(1, received_ns=EPOCH_NS + 4), span(1, received_ns=EPOCH_NS + 7))
    assert rows[1]["quality"] == [Reason.DUPLICATE]
    assert rows[1]["received_ns"] == EPOCH_NS + 4


def test_of_different_copies_the_last_to_end_is_kept() -> None:
    rows = by_id(
        span(1, None, 0, 10, operation="early"), span(1, None, 0, 20, operation="late"), span(1, None, 0, 10, operation="early")
    )
    assert rows[1]["quality"] == [Reason.DUPLICATE_CONFLICT]
    assert rows[1]["operation"] == "late"


def test_equal_ends_are_decided_by_content_and_not_by_order() -> None:
    a, b = span(1, None, 0, 10, operation="a"), span(1, None, 0, 10, operation="b")
    assert by_id(a, b) == by_id(b, a)


def test_one_id_in_two_traces_is_no_copy() -> None:
    assert [s["quality"] for s in curated(span(1, trace_id=1), span(1, trace_id=2))["spans"]] == [[], []]


def shared(**more: Any) -> list[dict[str, Any]]:
    return [
        span(1, None, 0, 100, kind="server", service="web"),
        span(2, 1, 10, 90, kind="client", service="web", **more),
        span(2, 1, 20, 80, kind="server", service="api"),
    ]


def test_halves_of_a_call_that_share_an_id_are_two_spans() -> None:
    rows = by_id(*shared())
    half = 2 ^ SERVER_HALF
    assert {i: (r["kind"], number(r["parent_span_id"]), r["quality"]) for i, r in rows.items()} == {
        1: ("server", None, []),
        2: ("client", 1, []),
        half: ("server", 2, [Reason.SHARED_ID]),
    }


def test_the_half_that_says_it_is_shared_needs_no_kind() -> None:
    said = {"attributes": [("zipkin.shared", "true")], "attribute_types": "b"}
    rows = by_id(span(2, service="web"), span(2, service="api", **said))
    assert rows[2 ^ SERVER_HALF]["service"] == "api"


@pytest.mark.parametrize(("service", "half"), [("api", 2 ^ SERVER_HALF), ("web", 2), ("db", 2 ^ SERVER_HALF)])
def test_children_follow_the_half_of_their_service(service: str, half: int) -> None:
    rows = by_id(*shared(), span(3, 2, 30, 40, service=service))
    assert number(rows[3]["parent_span_id"]) == half


def test_copies_of_halves_are_found_within_each_half() -> None:
    spans = shared()
    rows = by_id(*spans, spans[2], spans[1] | {"end_ns": EPOCH_NS + 95})
    assert rows[2]["quality"] == [Reason.DUPLICATE_CONFLICT]
    assert rows[2 ^ SERVER_HALF]["quality"] == [Reason.DUPLICATE, Reason.SHARED_ID]


def test_a_parent_that_never_arrived() -> None:
    found = curated(span(1, None, 0, 10), span(2, 9, 2, 5), span(3, 2, 3, 4))
    rows = {number(s["span_id"]): s for s in found["spans"]}
    assert rows[2]["quality"] == [Reason.PARENT_MISSING]
    assert (rows[2]["is_root"], rows[2]["depth"], rows[3]["depth"]) == (False, 0, 1)
    assert not found["traces"][0]["complete"]
    assert found["traces"][0]["quality"] == [Reason.PARENT_MISSING]


def test_a_malformed_parent_is_one_that_never_arrived() -> None:
    from chalkmark.curate.reasons import bit

    rows = by_id(span(1, quality=bit(Reason.PARENT_ID_MALFORMED)))
    assert rows[1]["quality"] == [Reason.PARENT_ID_MALFORMED, Reason.PARENT_MISSING]
    assert not rows[1]["is_root"]


def test_a_span_that_names_itself() -> None:
    assert quality(span(1), span(2, 2)) == {1: [], 2: [Reason.PARENT_SELF]}


def test_a_ring_is_cut_at_its_earliest_span() -> None:
    ring = [span(2, 4, 30, 40), span(3, 2, 10, 40), span(4, 3, 20, 40), span(5, 4, 5, 6)]
    rows = by_id(*ring)
    assert {i: r["quality"] for i, r in rows.items()} == {2: [], 3: [Reason.PARENT_CYCLE], 4: [], 5: []}
    assert {i: r["depth"] for i, r in rows.items()} == {3: 0, 4: 1, 2: 2, 5: 2}
    assert number(rows[3]["parent_span_id"]) == 2  # kept as it was sent


def test_rings_of_every_length_with_tails() -> None:
    for n in range(2, 60):
        ring = [span(i + 1, (i + 1) % n + 1, (i * 37) % n, 100) for i in range(n)]
        tail = [span(n + 1 + i, n + i if i else 1, i, 100) for i in range(5)]
        rows = by_id(*ring, *tail)
        assert [r["quality"] for r in rows.values()].count([Reason.PARENT_CYCLE]) == 1
        depth = {i: r["depth"] for i, r in rows.items()}
        assert sorted(depth[i + 1] for i in range(n)) == list(range(n))
        assert [depth[n + 1 + i] - depth[1] for i in range(5)] == [1, 2, 3, 4, 5]


def test_no_root() -> None:
    (trace,) = curated(span(2, 9, 5, 10, operation="late"), span(3, 8, 1, 4, operation="early"))["traces"]
    assert trace["quality"] == [Reason.PARENT_MISSING, Reason.ROOT_MISSING]
    assert (trace["root_operation"], trace["duration_ns"], trace["complete"]) == ("early", 3, False)


def test_several_roots() -> None:
    (trace,) = curated(span(2, None, 5, 10), span(1, None, 1, 4, operation="early"), span(3, 9, 0, 1))["traces"]
    assert Reason.SEVERAL_ROOTS in trace["quality"]
    assert (trace["root_operation"], trace["complete"]) == ("early", False)


def test_roots_that_start_together_are_told_apart_by_identifier() -> None:
    (trace,) = curated(span(2, operation="b"), span(1, operation="a"))["traces"]
    assert trace["root_operation"] == "a"


def test_nothing_is_no_fault() -> None:
    found = curate(table([]), NO_ANNOTATIONS)
    assert {name: rows.num_rows for name, rows in found.items()} == dict.fromkeys(found, 0)


def test_times_at_the_limits_of_int64_do_no_harm() -> None:
    far = 2**63 - 1
    rows = by_id(*(span(i) | {"start_ns": s, "end_ns": e} for i, (s, e) in enumerate([(-far, far), (far, -far), (0, far)], 1)))
    assert {i: (r["start_ns"], r["end_ns"]) for i, r in rows.items()} == {1: (-far, far), 2: (far, -far), 3: (0, far)}
    assert all(r["duration_ns"] >= 0 and 0 <= r["critical_ns"] <= r["duration_ns"] for r in rows.values())


def test_a_deep_and_wide_trace_is_assembled() -> None:
    """A chain of 3,000 whose last span has 20,000 children; recursion or a quadratic step would end this test."""
    n = 23_000
    parents = [None, *range(1, 3000), *[3000] * 20_000]
    ids = np.random.default_rng(3).permutation(n)
    spans = [span(i + 1, p, i, 2 * n - i) for i, p in enumerate(parents)]
    a = assemble(table([spans[i] for i in ids]))
    assert a.depth.max() == 3000
    assert (a.depth == 3000).sum() == 20_000
    assert len(a.offsets) == 2
