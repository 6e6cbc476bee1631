"""What holds for every part: order, batches and repetition change nothing, and what is written fits the tables."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalkmark.curate import raw
from chalkmark.curate.part import curate
from chalkmark.curate.reasons import bit
from chalkmark.tables import TABLES
from chalkmark.tables.quality import Reason
from raw_spans import EPOCH_NS, NO_ANNOTATIONS, curated, number, span, table

HOUR_NS = 3_600_000_000_000
SHARED = {"attributes": [("zipkin.shared", "true")], "attribute_types": "b"}
HOSTS = ("a", "b", None)


@st.composite
def spans(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Few identifiers, so that there is everything: copies, shared halves, rings, missing parents, mixed trace ids."""
    out = []
    for i in range(draw(st.integers(1, 12))):
        trace = draw(st.integers(1, 3))
        start = draw(st.integers(0, 8))
        out.append(
            span(
                draw(st.integers(1, 5)),
                draw(st.one_of(st.none(), st.integers(1, 7))),
                start,
                start + draw(st.integers(-1, 6)),
                trace_id=draw(st.sampled_from([trace, trace, trace + (9 << 64)])),
                service=draw(st.sampled_from("abc")),
                operation=draw(st.sampled_from("xy")),
                kind=draw(st.sampled_from(raw.KINDS)),
                peer_service=draw(st.sampled_from(["a", "db", None])),
                host=draw(st.sampled_from(HOSTS)),
                status=draw(st.sampled_from(raw.STATUSES)),
                source=draw(st.sampled_from(["otlp-grpc", "zipkin-http"])),
                received_ns=EPOCH_NS + i,
                weight=draw(st.sampled_from([1.0, 0.1])),
                **draw(st.sampled_from([SHARED, {}, {}])),
            )
        )
    return out


class Skewed:
    """Clocks that are off by a constant of the host's."""

    def offsets(self, host: pa.DictionaryArray, start_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known = {"a": (0, False), "b": (-3, False), None: (0, True)}
        found = [known[name] for name in host.to_pylist()]
        return np.array([f[0] for f in found], np.int64), np.array([f[1] for f in found], np.bool_)


def same(left: dict[str, pa.Table], right: dict[str, pa.Table]) -> None:
    assert {n: t.to_pylist() for n, t in left.items()} == {n: t.to_pylist() for n, t in right.items()}


@given(spans(), st.randoms(use_true_random=False), st.sampled_from([None, Skewed()]))
@settings(max_examples=60, deadline=None)
def test_order_of_arrival_is_immaterial(rows: list[dict[str, Any]], random: Any, clock: Any) -> None:
    shuffled = rows[:]
    random.shuffle(shuffled)
    cut = random.randint(0, len(rows))
    batches = pa.concat_tables([table(shuffled[:cut]), table(shuffled[cut:])])
    same(curate(table(rows), NO_ANNOTATIONS, clock), curate(batches, NO_ANNOTATIONS, clock))


@given(spans(), st.integers(0, 12), st.sampled_from([None, Skewed()]))
@settings(max_examples=100, deadline=None)
def test_late_spans_give_what_all_at_once_gives(rows: list[dict[str, Any]], cut: int, clock: Any) -> None:
    early = curate(table(rows[:cut]), NO_ANNOTATIONS, clock)["spans"]
    both = pa.concat_tables([raw.from_spans(early), table(rows[cut:])])
    same(curate(both, NO_ANNOTATIONS, clock), curate(table(rows), NO_ANNOTATIONS, clock))


@given(spans(), st.sampled_from([None, Skewed()]))
@settings(max_examples=40, deadline=None)
def test_twice_is_once(rows: list[dict[str, Any]], clock: Any) -> None:
    once = curate(table(rows), NO_ANNOTATIONS, clock)
    same(once, curate(raw.from_spans(once["spans"]), NO_ANNOTATIONS, clock))


@given(spans(), st.sampled_from([None, Skewed()]))
@settings(max_examples=40, deadline=None)
def test_tables_are_as_documented(rows: list[dict[str, Any]], clock: Any) -> None:
    found = curate(table(rows), NO_ANNOTATIONS, clock)
    for name, written in found.items():
        written = written.cast(TABLES[name].schema)
        written.validate(full=True)
        for field in written.schema:
            assert field.nullable or written[field.name].null_count == 0
        keys = [tuple(row[k] for k in TABLES[name].key) for row in written.to_pylist()]
        assert len(set(keys)) == len(keys)
    traces = [t["trace_id"] for t in found["traces"].to_pylist()]
    lies = [s["trace_id"] for s in found["spans"].to_pylist()]
    assert list(dict.fromkeys(lies)) == traces
    assert lies == sorted(lies, key=traces.index)


def test_a_trace() -> None:
    (row,) = curated(
        span(1, None, 0, 100, service="web", operation="GET /", weight=4.0),
        span(2, 1, 10, 90, service="api", status="error"),
        span(3, 2, 20, 80, service="db"),
        span(4, 2, 20, 30, service="cache"),
    )["traces"]
    assert {k: row[k] for k in ("root_service", "root_operation", "start_ns", "duration_ns", "spans", "depth", "errors")} == {
        "root_service": "web",
        "root_operation": "GET /",
        "start_ns": EPOCH_NS,
        "duration_ns": 100,
        "spans": 4,
        "depth": 2,
        "errors": 1,
    }
    assert row["services"] == ["api", "cache", "db", "web"]
    assert row["critical_services"] == ["db", "api", "web"]
    assert (row["complete"], row["quality"], row["weight"]) == (True, [], 4.0)
    assert row["ts"].timestamp() == EPOCH_NS / 10**9


def test_the_weight_of_a_rootless_trace_is_the_greatest_of_its_spans() -> None:
    (row,) = curated(span(2, 9, weight=2.0), span(3, 9, 1, 1, weight=3.0))["traces"]
    assert row["weight"] == 3.0


def test_an_implausible_start_is_filed_by_arrival() -> None:
    found = curated(span(1, quality=bit(Reason.TIME_IMPLAUSIBLE), received_ns=EPOCH_NS + HOUR_NS) | {"start_ns": 5, "end_ns": 10})
    assert found["traces"][0]["ts"].timestamp() == (EPOCH_NS + HOUR_NS) / 10**9
    assert found["call_paths"][0]["ts"].timestamp() == (EPOCH_NS + HOUR_NS) // HOUR_NS * HOUR_NS / 10**9
    assert (found["traces"][0]["start_ns"], found["spans"][0]["start_ns"]) == (5, 5)


def test_clock_corrections_stand_beside_raw_times() -> None:
    rows = table([span(1, None, 0, 100, host="a"), span(2, 1, -2, 50, host="b"), span(3, 1, -190_000, 20, host=None)])
    found = {number(s["span_id"]): s for s in curate(rows, NO_ANNOTATIONS, Skewed())["spans"].to_pylist()}  # type: ignore[arg-type]
    assert {
        i: (s["start_ns"] - EPOCH_NS, s["adj_start_ns"] - EPOCH_NS, s["adj_end_ns"] - EPOCH_NS) for i, s in found.items()
    } == {
        1: (0, 0, 100),
        2: (-2, 1, 53),
        3: (-190_000, -190_000, 20),
    }
    assert {i: s["quality"] for i, s in found.items()} == {
        1: [],
        2: [Reason.CLOCK_CORRECTED],
        3: [Reason.CLOCK_UNCERTAIN, Reason.STARTS_BEFORE_PARENT],
    }


LATE = 1_000_000


@pytest.mark.parametrize(
    ("child", "reasons"),
    [
        (span(2, 1, -2_000, 10), []),
        (span(2, 1, -2_001, 10), [Reason.STARTS_BEFORE_PARENT]),
        (span(2, 1, -100_000, 10, host="another"), []),
        (span(2, 1, -100_001, 10, host="another"), [Reason.STARTS_BEFORE_PARENT]),
        (span(2, 1, LATE - 1, LATE + 2_000, kind="server"), []),
        (span(2, 1, LATE - 1, LATE + 2_001, kind="server"), [Reason.OUTLIVES_PARENT]),
        (span(2, 1, LATE - 9_000, LATE + 9_000, kind="server"), []),  # half of it may come after the answer
        (span(2, 1, LATE - 9_000, LATE + 9_001, kind="server"), [Reason.OUTLIVES_PARENT]),
        (span(2, 1, LATE, LATE + 9_000, kind="server"), []),  # begins when the parent is over: nobody waited
        (span(2, 1, LATE - 10, LATE + 9_000, kind="producer"), []),
        (span(2, 1, LATE - 10, LATE + 9_000, kind="consumer"), []),
        (span(2, 1, LATE - 10, LATE + 9_000, kind="internal"), []),  # goes on after the root: in the background
        (span(2, 1, LATE - 10, LATE + 9_000), []),
    ],
)
def test_children_outside_their_parent(child: dict[str, Any], reasons: list[Reason]) -> None:
    found = curated(span(1, None, 0, LATE), child)
    assert next(s["quality"] for s in found["spans"] if number(s["span_id"]) == 2) == reasons


def test_an_internal_child_that_outlives_its_parent_within_the_root() -> None:
    found = curated(span(1, None, 0, 2 * LATE), span(2, 1, 0, LATE), span(3, 2, LATE - 10, LATE + 9_000, kind="internal"))
    assert next(s["quality"] for s in found["spans"] if number(s["span_id"]) == 3) == [Reason.OUTLIVES_PARENT]
