from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalkmark.errors import ChalkmarkError
from chalkmark.histogram import LATENCY
from chalkmark.models.dependencies import Dependencies, dependencies
from paths import ACCEPTANCE, call_paths


def neighbours(found: Dependencies, relation: str) -> dict[str, dict[str, object]]:
    rows = found.neighbours.to_pylist()
    return {f"{r['service']}:{r['operation']}" if r["service"] else "": r for r in rows if r["relation"] == relation}


def test_callers_and_callees_with_amplification() -> None:
    found = dependencies(call_paths(ACCEPTANCE), "E")
    assert (found.calls, found.entries, found.paths, found.requests_at_least, found.requests_at_most) == (10, 10, 1, 10, 10)
    assert {n: r["share"] for n, r in neighbours(found, "caller").items()} == {"B:b": 1.0}
    assert {n: r["amplification"] for n, r in neighbours(found, "callee").items()} == {"C:c": 20.0}
    assert {n: r["amplification"] for n, r in neighbours(found, "indirect callee").items()} == {"D:call4": 4.0}
    assert {n: r["hops"] for n, r in neighbours(found, "indirect caller").items()} == {"A:a": 2}


def test_a_service_is_the_sum_of_its_operations() -> None:
    found = dependencies(call_paths(ACCEPTANCE), "D")
    assert (found.calls, found.paths, found.requests_at_least, found.requests_at_most) == (110, 3, 10, 10)
    assert [(r["operation"], r["calls"]) for r in found.operations.to_pylist()] == [("call3", 50), ("call4", 40), ("call5", 20)]
    assert {n: r["calls"] for n, r in neighbours(found, "caller").items()} == {"B:b": 70, "C:c": 40}
    assert [r["path"] for r in found.call_paths.to_pylist()] == [
        "A:a > B:b > D:call3",
        "A:a > B:b > E:e > C:c > D:call4",
        "A:a > B:b > D:call5",
    ]


def test_an_operation_has_its_own_callers() -> None:
    found = dependencies(call_paths(ACCEPTANCE), "D:call4")
    assert set(neighbours(found, "caller")) == {"C:c"}
    indirect = neighbours(found, "indirect caller")
    assert {n: (r["hops"], r["amplification"]) for n, r in indirect.items()} == {
        "E:e": (2, 4.0),
        "B:b": (3, 4.0),
        "A:a": (4, 4.0),
    }


def test_recursion_amplifies_per_outermost_call() -> None:
    # Each of 10 calls of E calls E once more, and each of the 20 calls D once.
    paths = {
        ("A:a",): 10,
        ("A:a", "E:e"): 10,
        ("A:a", "E:e", "E:e"): 10,
        ("A:a", "E:e", "D:d"): 10,
        ("A:a", "E:e", "E:e", "D:d"): 10,
    }
    found = dependencies(call_paths(paths), "E")
    assert (found.calls, found.entries, found.calls_beneath) == (20, 10, 30)
    callees = neighbours(found, "callee")
    assert {n: (r["calls"], r["amplification"]) for n, r in callees.items()} == {"D:d": (20, 2.0), "E:e": (10, 1.0)}
    assert {n: r["calls"] for n, r in neighbours(found, "caller").items()} == {"A:a": 10, "E:e": 10}
    assert {n: (r["calls"], r["amplification"]) for n, r in neighbours(found, "indirect caller").items()} == {"A:a": (10, 1.0)}


def test_calls_without_a_caller_are_told_apart() -> None:
    whole, partial = call_paths({("E:e",): 3}), call_paths({("E:e",): 4}, partial=True)
    orphan = call_paths({("A:a", "E:e"): 5})  # its caller's row is missing
    found = dependencies(pa.concat_tables([whole, partial, orphan]), "E")
    assert neighbours(found, "entry")[""]["calls"] == 3
    assert neighbours(found, "unknown caller")[""]["calls"] == 9
    assert neighbours(found, "caller") == {}
    assert {(r["partial"], r["calls"]) for r in found.roots.to_pylist()} == {(False, 3), (True, 9)}


def test_requests_that_reach_the_focus_are_bounded() -> None:
    # 10 requests; B in 6, C in 5, and D beneath both: 6 to 10 of the requests reach D.
    paths = {("A:a",): 10, ("A:a", "B:b"): 6, ("A:a", "C:c"): 5, ("A:a", "B:b", "D:d"): 6, ("A:a", "C:c", "D:d"): 50}
    traces = dict(paths) | {("A:a", "C:c", "D:d"): 5}
    found = dependencies(call_paths(paths, traces), "D")
    assert (found.requests_at_least, found.requests_at_most) == (6, 10)
    [root] = found.roots.to_pylist()
    assert (root["touched_at_least"], root["touched_at_most"], root["amplification"]) == (0.6, 1.0, 5.6)


def test_requests_along_a_single_path_are_known_exactly() -> None:
    found = dependencies(call_paths({("A:a",): 10, ("A:a", "B:b"): 10, ("A:a", "B:b", "D:d"): 3, ("A:a", "C:c"): 10}), "D")
    assert (found.requests_at_least, found.requests_at_most) == (3, 3)


def test_root_keeps_what_its_requests_do() -> None:
    rows = pa.concat_tables([call_paths(ACCEPTANCE), call_paths({("Z:z",): 2, ("Z:z", "E:e"): 6})])
    assert dependencies(rows, "E").calls == 16
    assert dependencies(rows, "E", "Z:z").calls == 6
    with pytest.raises(ChalkmarkError, match="no root endpoint 'B'"):
        dependencies(rows, "E", "B")


def test_an_absent_focus_is_named() -> None:
    with pytest.raises(ChalkmarkError, match="no service or operation 'X:y'"):
        dependencies(call_paths(ACCEPTANCE), "X:y")


def test_names_may_hold_colons() -> None:
    rows = call_paths({("A:a",): 1})
    rows = rows.set_column(rows.schema.get_field_index("service"), "service", pa.array(["http://a:80"]))
    rows = rows.set_column(rows.schema.get_field_index("operation"), "operation", pa.array(["GET a:b"]))
    assert dependencies(rows, "http://a:80").calls == 1
    assert dependencies(rows, "http://a:80:GET a:b").calls == 1


def test_limit_keeps_the_largest_of_each_relation() -> None:
    paths = {("A:a",): 1, **{("A:a", f"B:{i}"): i for i in range(1, 8)}}
    found = dependencies(call_paths(paths), "A", limit=3)
    assert [r["operation"] for r in found.neighbours.to_pylist() if r["relation"] == "callee"] == ["7", "6", "5"]
    assert found.calls_beneath == 28
    assert len(found.call_paths) == 1 + 3


def test_equal_calls_rank_by_name_in_any_order_of_rows() -> None:
    rows = call_paths({("A:a",): 1, **{("A:a", f"B:{i}"): 2 for i in range(9)}})
    shuffled = rows.take(pa.array(np.random.default_rng(5).permutation(len(rows))))
    assert dependencies(shuffled, "A", limit=4) == dependencies(rows, "A", limit=4)


def test_latency_is_of_the_merged_histograms() -> None:
    paths = {("A:a",): 2, ("A:a", "B:b"): 100, ("A:a", "C:c"): 1, ("A:a", "C:c", "B:b"): 1}
    rows = call_paths(paths, latency={("A:a", "B:b"): 1_000, ("A:a", "C:c", "B:b"): 9_000_000})
    found = dependencies(rows, "B")
    slow, fast = (int(LATENCY.bounds(LATENCY.index(v))[1]) for v in (9_000_000, 1_000))
    assert (found.p50_ns, found.p99_ns) == (fast, fast)
    callers = neighbours(found, "caller")
    assert (callers["A:a"]["p99_ns"], callers["C:c"]["p99_ns"]) == (fast, slow)
    assert neighbours(found, "indirect caller")["A:a"]["p50_ns"] == slow


@dataclass
class Call:
    """One call of one request: the brute-force twin counts these one by one."""

    endpoint: str
    above: list[Call] = field(default_factory=list)


ENDPOINTS = ["A:x", "A:y", "B:x", "C:x", "D:x"]
_TREES = st.recursive(
    st.tuples(st.sampled_from(ENDPOINTS), st.just([])),
    lambda t: st.tuples(st.sampled_from(ENDPOINTS), st.lists(t, max_size=4)),
    max_leaves=25,
)


def walk(tree: tuple[str, list], above: list[Call], calls: list[Call]) -> None:
    call = Call(tree[0], above)
    calls.append(call)
    for child in tree[1]:
        walk(child, [*above, call], calls)


@settings(max_examples=150, deadline=None)
@given(
    requests=st.lists(st.tuples(_TREES, st.booleans()), min_size=1, max_size=6),
    focus=st.sampled_from(["A", "B", "A:x", "D:x"]),
)
def test_brute_force_over_single_calls_agrees(requests: list[tuple[tuple[str, list], bool]], focus: str) -> None:
    def meant(call: Call) -> bool:
        return call.endpoint == focus or call.endpoint.split(":")[0] == focus

    count: dict[bool, Counter[tuple[str, ...]]] = {False: Counter(), True: Counter()}
    traces: dict[bool, Counter[tuple[str, ...]]] = {False: Counter(), True: Counter()}
    expected: dict[tuple[str, str], int] = defaultdict(int)
    entries = reaching = beneath = 0
    everything: list[tuple[bool, list[Call]]] = []
    for tree, partial in requests:
        calls: list[Call] = []
        walk(tree, [], calls)
        everything.append((partial, calls))
        paths = Counter((*(a.endpoint for a in c.above), c.endpoint) for c in calls)
        count[partial] += paths
        traces[partial] += Counter(set(paths))
        reaching += any(map(meant, calls))
        for call in calls:
            if meant(call):
                entries += not any(map(meant, call.above))
                if not call.above:
                    expected["unknown caller" if partial else "entry", ""] += 1
                else:
                    expected["caller", call.above[-1].endpoint] += 1
                outermost = {a.endpoint: a for a in reversed(call.above[:-1])}
                for endpoint in outermost:
                    expected["indirect caller", endpoint] += 1
            if any(map(meant, call.above)):
                beneath += 1
                expected["callee" if meant(call.above[-1]) else "indirect callee", call.endpoint] += 1
    rows = pa.concat_tables([call_paths(count[p], traces[p], partial=p) for p in count])
    if not any(meant(c) for _, calls in everything for c in calls):
        with pytest.raises(ChalkmarkError):
            dependencies(rows, focus)
        return
    found = dependencies(rows, focus)
    got = {
        (r["relation"], f"{r['service']}:{r['operation']}" if r["service"] else ""): r["calls"]
        for r in found.neighbours.to_pylist()
    }
    assert got == dict(expected)
    assert (found.entries, found.calls_beneath) == (entries, beneath)
    assert found.requests_at_least <= reaching <= found.requests_at_most
    # An endpoint's amplification: by the calls of it on paths that lead to the focus.
    led_from: dict[str, set[tuple[bool, tuple[str, ...]]]] = defaultdict(set)
    for partial, calls in everything:
        for call in filter(meant, calls):
            names = [a.endpoint for a in call.above]
            for i, name in enumerate(names[:-1]):
                if name not in names[:i]:
                    led_from[name].add((partial, tuple(names[: i + 1])))
    for row in found.neighbours.to_pylist():
        if row["relation"] == "indirect caller":
            name = f"{row['service']}:{row['operation']}"
            assert row["amplification"] == row["calls"] / sum(count[p][path] for p, path in led_from[name])
        if "callee" in row["relation"]:
            assert row["amplification"] == row["calls"] / entries
    # Conservation: who calls adds up to the calls, what is called to the calls beneath.
    total = Counter[bool]()
    for row in found.neighbours.to_pylist():
        if row["relation"] != "indirect caller":
            total["callee" in row["relation"]] += row["calls"]
    assert (total[False], total[True]) == (found.calls, found.calls_beneath)
    assert sum(found.roots["calls"].to_pylist()) == found.calls
    # Rows of several hours or files add up.
    twice = dependencies(pa.concat_tables([rows, rows]), focus)
    assert (twice.calls, twice.neighbours["amplification"]) == (2 * found.calls, found.neighbours["amplification"])
