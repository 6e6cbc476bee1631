"""Calls, and what is counted of them in `edges`, `call_paths`, `shapes` and `shape_paths`."""

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalkmark.histogram import LATENCY
from raw_spans import EPOCH_NS, curated, number, span

Span = dict[str, Any]
Tables = dict[str, list[dict[str, Any]]]


def edges(tables: Tables) -> dict[tuple[str, str], int]:
    """Calls by (caller, callee), each `service.operation`."""
    return {
        (f"{e['caller_service']}.{e['caller_operation']}", f"{e['callee_service']}.{e['callee_operation']}"): e["calls"]
        for e in tables["edges"]
    }


def paths(tables: Tables) -> dict[str, dict[str, Any]]:
    """Rows of call_paths by their path in words, found by following parent_path_id; `?` begins a partial one."""
    rows = {r["path_id"]: r for r in tables["call_paths"]}

    def words(row: dict[str, Any]) -> str:
        name = f"{row['service']}.{row['operation']}"
        if row["parent_path_id"] is None:
            return f"?{name}" if row["partial"] else name
        return f"{words(rows[row['parent_path_id']])} {name}"

    return {words(r): r for r in rows.values()}


def calls(tables: Tables) -> dict[str, int]:
    return {path: row["calls"] for path, row in paths(tables).items()}


def hop(span_id: int, parent: int, caller: str, callee: str, operation: str, **more: Any) -> list[Span]:
    """A client span and the server span that answers it; the server's identifier is span_id + 1."""
    return [
        span(span_id, parent, 10, 90, service=caller, operation=f"call {operation}", kind="client"),
        span(span_id + 1, span_id, 20, 80, service=callee, operation=operation, kind="server", **more),
    ]


ROOT = span(1, None, 0, 100, service="A", operation="root", kind="server")


def test_a_hop_counts_once_by_its_server() -> None:
    found = curated(ROOT, *hop(2, 1, "A", "B", "b"))
    assert edges(found) == {("A.root", "B.b"): 1}
    (edge,) = found["edges"]
    assert (edge["total_ns"], edge["client_ns"], edge["server_ns"], edge["network_ns"]) == (60, 80, 60, 20)
    assert edge["critical_ns"] == 60
    assert calls(found) == {"A.root": 1, "A.root B.b": 1}
    assert paths(found)["A.root"]["critical_ns"] == 40  # the client's own time is the caller's


def test_a_hop_without_a_server_counts_by_its_client() -> None:
    client = span(2, 1, 10, 70, service="A", operation="SELECT", kind="client", peer_service="db", status="error")
    found = curated(ROOT, client, span(3, 2, 20, 30, service="A", operation="connect", kind="client", peer_service="db"))
    assert edges(found) == {("A.root", "db.SELECT"): 1}  # what lies below an unanswered client is detail of that call
    (edge,) = found["edges"]
    assert (edge["total_ns"], edge["client_ns"], edge["server_ns"], edge["network_ns"]) == (60, 60, None, None)
    assert (edge["errors"], edge["critical_ns"]) == (1, 60)


def test_a_client_without_answer_or_peer_stays_with_its_caller() -> None:
    found = curated(ROOT, span(2, 1, 10, 70, service="A", kind="client"))
    assert found["edges"] == []
    assert paths(found)["A.root"]["critical_ns"] == 100
    assert len({s["path_id"] for s in found["spans"]}) == 1


def test_an_answer_below_a_span_in_between_is_the_answer() -> None:
    found = curated(
        ROOT,
        span(2, 1, 10, 90, service="A", operation="GET", kind="client", peer_service="B"),
        span(3, 2, 15, 85, service="A", operation="attempt", kind="internal"),
        span(4, 3, 20, 80, service="B", operation="b", kind="server"),
    )
    assert edges(found) == {("A.root", "B.b"): 1}
    assert found["edges"][0]["client_ns"] is None  # no client span stands for this call alone


def test_without_kinds_a_change_of_service_is_a_call() -> None:
    found = curated(*(s | {"kind": "unspecified"} for s in [ROOT, *hop(2, 1, "A", "B", "b")]), span(4, 3, service="B"))
    assert edges(found) == {("A.root", "B.b"): 1}
    assert (found["edges"][0]["client_ns"], found["edges"][0]["server_ns"]) == (None, 60)


def test_a_service_that_calls_itself() -> None:
    found = curated(ROOT, *hop(2, 1, "A", "A", "again"), *hop(4, 3, "A", "A", "again"))
    assert edges(found) == {("A.root", "A.again"): 1, ("A.again", "A.again"): 1}
    assert calls(found) == {"A.root": 1, "A.root A.again": 1, "A.root A.again A.again": 1}


def test_a_retry_is_a_second_call() -> None:
    found = curated(ROOT, *hop(2, 1, "A", "B", "b", status="error"), *hop(4, 1, "A", "B", "b"))
    (edge,) = found["edges"]
    assert (edge["calls"], edge["errors"]) == (2, 1)
    assert [s["multiplicity"] for s in found["shape_paths"]] in ([1, 2], [2, 1])


def test_a_message_has_no_network_time() -> None:
    found = curated(
        ROOT,
        span(2, 1, 10, 12, service="A", operation="send", kind="producer"),
        span(3, 2, 500, 700, service="B", operation="process", kind="consumer"),
    )
    (edge,) = found["edges"]
    assert (edge["calls"], edge["client_ns"], edge["server_ns"], edge["network_ns"]) == (1, 2, 200, None)


def test_several_answers_to_one_client_share_no_duration() -> None:
    found = curated(ROOT, *hop(2, 1, "A", "B", "b"), span(4, 2, 30, 50, service="B", operation="b", kind="server"))
    (edge,) = found["edges"]
    assert (edge["calls"], edge["client_ns"], edge["server_ns"], edge["network_ns"]) == (2, None, 80, None)


def test_bytes_are_those_of_the_callee_or_else_of_the_caller() -> None:
    client, server = hop(2, 1, "A", "B", "b")
    both = curated(ROOT, client | {"request_bytes": 1, "response_bytes": 2}, server | {"request_bytes": 10})
    assert both["edges"][0]["bytes"] == 10
    only = curated(ROOT, client | {"request_bytes": 1, "response_bytes": 2}, server)
    assert only["edges"][0]["bytes"] == 3
    assert curated(ROOT, client, server)["edges"][0]["bytes"] is None


def test_paths_below_a_missing_parent_are_partial() -> None:
    found = curated(ROOT, span(3, 99, 5, 50, service="B", operation="b", kind="server"), *hop(4, 3, "B", "C", "c"))
    assert calls(found) == {"A.root": 1, "?B.b": 1, "?B.b C.c": 1}
    whole = curated(span(3, None, 5, 50, service="B", operation="b", kind="server"))
    assert whole["call_paths"][0]["path_id"] != paths(found)["?B.b"]["path_id"]


def test_path_ids_are_the_same_in_every_version() -> None:
    """Stored data is joined by these: a change would tear old from new."""
    rows = paths(curated(ROOT, *hop(2, 1, "A", "B", "b")))
    assert {p: r["path_id"] for p, r in rows.items()} == {"A.root": -6687804704683283474, "A.root B.b": 3015879785735601793}


def test_hours_are_apart_and_latency_is_counted() -> None:
    hour = 3_600_000_000_000
    found = curated(
        *(span(1, None, t * hour, t * hour + 100 * (t + 1), trace_id=t + 1) for t in (0, 1)), span(1, None, 5, 1005, trace_id=9)
    )
    assert [(r["ts"].hour, r["calls"], r["traces"], r["total_ns"]) for r in found["call_paths"]] == [
        (22, 2, 2, 1100),
        (23, 1, 1, 200),
    ]
    row = found["call_paths"][0]
    assert row["latency_buckets"] == LATENCY.index([100, 1000]).tolist()
    assert row["latency_counts"] == [1, 1]


def test_weights() -> None:
    found = curated(
        *(s | {"weight": 10.0} for s in [ROOT, *hop(2, 1, "A", "B", "b"), *hop(4, 1, "A", "B", "b")]), ROOT | {"trace_id": 2}
    )
    rows = paths(found)
    assert (rows["A.root"]["weighted_calls"], rows["A.root"]["weighted_traces"]) == (11.0, 11.0)
    assert (rows["A.root B.b"]["weighted_calls"], rows["A.root B.b"]["weighted_traces"]) == (20.0, 10.0)
    assert found["edges"][0]["weight"] == 10.0


def test_shapes_keep_multiplicity_and_forget_order() -> None:
    def trace(t: int, *hops: tuple[str, str]) -> list[Span]:
        spans = [ROOT, *(s for i, (callee, op) in enumerate(hops) for s in hop(2 + 2 * i, 1, "A", callee, op))]
        return [s | {"trace_id": t} for s in spans]

    one, two = ("B", "b"), ("C", "c")
    found = curated(*trace(1, one, two), *trace(2, two, one), *trace(3, one, one), *trace(4, one))
    shape = {number(t["trace_id"]): t["shape_id"] for t in found["traces"]}
    assert shape[1] == shape[2]
    assert len(set(shape.values())) == 3 == len(found["shapes"])
    rows = {s["shape_id"]: s for s in found["shapes"]}
    assert [(rows[shape[t]]["nodes"], rows[shape[t]]["calls"], rows[shape[t]]["depth"]) for t in (1, 3, 4)] == [
        (3, 3, 1),
        (2, 3, 1),
        (2, 2, 1),
    ]


def acceptance() -> list[Span]:
    """Root A 10 calls; A calls B 10; B calls D.call3 50, D.call5 20, E 10; E calls C 200; C calls D.call4 40."""
    spans: list[Span] = []
    for t in range(1, 11):
        free = iter(range(2, 10_000, 2))
        trace = [ROOT | {"operation": "a"}]

        def call(parent: int, caller: str, callee: str, operation: str, trace: list[Span] = trace, free: Any = free) -> int:
            span_id = next(free)
            trace += hop(span_id, parent, caller, callee, operation)
            return span_id + 1

        b = call(1, "A", "B", "b")
        for _ in range(5):
            call(b, "B", "D", "call3")
        for _ in range(2):
            call(b, "B", "D", "call5")
        e = call(b, "B", "E", "e")
        for i in range(20):
            c = call(e, "E", "C", "c")
            if i < 4:
                call(c, "C", "D", "call4")
        spans += [s | {"trace_id": t} for s in trace]
    return spans


def test_the_acceptance_example() -> None:
    rows = paths(curated(*acceptance()))
    assert {p: r["calls"] for p, r in rows.items()} == {
        "A.a": 10,
        "A.a B.b": 10,
        "A.a B.b D.call3": 50,
        "A.a B.b D.call5": 20,
        "A.a B.b E.e": 10,
        "A.a B.b E.e C.c": 200,
        "A.a B.b E.e C.c D.call4": 40,
    }
    # Focus E: all calls come from B; C is called 20 times a call, D 4 times.
    callers = Counter(p.split()[-2] for p in rows if p.endswith("E.e"))
    assert callers == {"B.b": 1}
    assert rows["A.a B.b E.e C.c"]["calls"] / rows["A.a B.b E.e"]["calls"] == 20
    assert rows["A.a B.b E.e C.c D.call4"]["calls"] / rows["A.a B.b E.e"]["calls"] == 4
    # Focus D: 110 calls over three paths in ten root traces; call4 comes from C alone.
    focus = {p: r for p, r in rows.items() if r["service"] == "D"}
    assert (sum(r["calls"] for r in focus.values()), len(focus)) == (110, 3)
    assert {r["traces"] for r in focus.values()} == {10}
    assert {p.split()[-2] for p in focus if p.endswith("call4")} == {"C.c"}


# --- A twin, written as the definition reads. ---


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Trees with recursion, retries, messages, several roots, orphans, data without kinds, over two traces."""
    out = []
    for trace in range(1, draw(st.integers(1, 2)) + 1):
        for i in range(draw(st.integers(1, 12))):
            parent = draw(st.one_of(st.none(), st.just(99), st.integers(1, i), st.integers(1, i))) if i else None
            start = draw(st.integers(0, 50))
            out.append(
                span(
                    i + 1,
                    parent,
                    start,
                    start + draw(st.integers(0, 50)),
                    trace_id=trace,
                    service=draw(st.sampled_from("AB")),
                    operation=draw(st.sampled_from("xy")),
                    kind=draw(st.sampled_from(["unspecified", "internal", "server", "client", "client", "producer", "consumer"])),
                    peer_service=draw(st.sampled_from(["B", "db", None])),
                    status=draw(st.sampled_from(["ok", "error"])),
                    request_bytes=draw(st.sampled_from([None, 7])),
                )
            )
    return out


def counted(spans: list[Span], rows: dict[tuple[int, int], dict[str, Any]]) -> tuple[Any, Any]:
    """Edges and call paths by recursion over dictionaries; self and critical time are taken from the spans' rows."""
    by_id = {(s["trace_id"], s["span_id"]): s for s in spans}
    kids = defaultdict(list)
    for s in spans:
        kids[s["trace_id"], s["parent_span_id"]].append(s)

    def key(s: Span) -> tuple[int, int]:
        return s["trace_id"], s["span_id"]

    def arrives(child: Span, parent: Span) -> bool:
        return child["kind"] in ("server", "consumer") or child["service"] != parent["service"]

    def answered(s: Span) -> bool:
        return any(arrives(c, s) or answered(c) for c in kids[key(s)])

    length = {k: s["end_ns"] - s["start_ns"] for k, s in by_id.items()}
    by_edge: Any = defaultdict(Counter)
    by_path: Any = defaultdict(Counter)

    def walk(s: Span, path: tuple[str, ...], to_peer: bool) -> None:
        p = by_id.get((s["trace_id"], s["parent_span_id"]))
        client = None
        if p is None:
            path = ("partial" if s["parent_span_id"] else "whole", f"{s['service']}.{s['operation']}")
            begins, to_peer = True, False
        elif arrives(s, p):
            begins, to_peer = True, False
            if p["kind"] in ("client", "producer") and sum(arrives(c, p) for c in kids[key(p)]) == 1:
                client = p
            path = (*path, f"{s['service']}.{s['operation']}")
        elif s["kind"] in ("client", "producer") and s["peer_service"] and not answered(s) and not to_peer:
            begins, to_peer, client = True, True, s
            path = (*path, f"{s['peer_service']}.{s['operation']}")
        else:
            begins = False
        counts = Counter(critical_ns=rows[key(s)]["critical_ns"], self_ns=rows[key(s)]["self_ns"])
        if begins:
            counts += Counter(calls=1, errors=s["status"] == "error", total_ns=length[key(s)])
            counts["bytes"] = s["request_bytes"] or (client or s)["request_bytes"] or 0
            counts["client_ns"] = length[key(client)] if client else 0
            counts["server_ns"] = 0 if client is s else length[key(s)]
            if client and client is not s and client["kind"] == "client" and s["kind"] != "consumer":
                counts["network_ns"] = length[key(client)] - length[key(s)]
        by_path[path].update(counts)
        if len(path) > 2:
            by_edge[(s["trace_id"], *path[-2:])].update(counts)
        for c in kids[key(s)]:
            walk(c, path, to_peer)

    for s in spans:
        if (s["trace_id"], s["parent_span_id"]) not in by_id:
            walk(s, (), False)
    return by_edge, by_path


SUMS = ("calls", "errors", "total_ns", "critical_ns", "client_ns", "server_ns", "network_ns", "bytes")


@given(traces())
@settings(max_examples=150, deadline=None)
def test_calls_are_counted_by_their_definition(spans: list[Span]) -> None:
    found = curated(*spans)
    rows = {(number(s["trace_id"]), number(s["span_id"])): s for s in found["spans"]}
    by_edge, by_path = counted(spans, rows)  # type: ignore[arg-type]
    assert {
        (
            number(e["trace_id"]),
            f"{e['caller_service']}.{e['caller_operation']}",
            f"{e['callee_service']}.{e['callee_operation']}",
        ): {k: e[k] or 0 for k in SUMS}
        for e in found["edges"]
    } == {edge: {k: counts[k] for k in SUMS} for edge, counts in by_edge.items()}
    named = {("partial " + p[1:] if p[0] == "?" else "whole " + p): r for p, r in paths(found).items()}
    assert {p: {k: r[k] for k in (*SUMS, "self_ns")} for p, r in named.items()} == {
        " ".join(path): {k: counts[k] for k in (*SUMS, "self_ns")} for path, counts in by_path.items()
    }

    # Conservation: what is called has a caller, or begins a tree; a shape's paths are its calls; spans lead to their path.
    callees = Counter(f"{e['callee_service']}.{e['callee_operation']}" for e in found["edges"] for _ in range(e["calls"]))
    below = Counter(dict.fromkeys(callees, 0))
    for path, row in paths(found).items():
        if row["depth"]:
            below[path.split()[-1]] += row["calls"]
    assert callees == below
    shape = Counter(t["shape_id"] for t in found["traces"])
    by_shape = Counter({s["path_id"]: 0 for s in found["shape_paths"]})
    for s in found["shape_paths"]:
        by_shape[s["path_id"]] += shape[s["shape_id"]] * s["multiplicity"]
    assert by_shape == {r["path_id"]: r["calls"] for r in found["call_paths"]}
    assert {s["path_id"] for s in found["spans"]} == set(by_shape)
    assert {s["shape_id"]: s["calls"] for s in found["shapes"]} == {
        i: sum(s["multiplicity"] for s in found["shape_paths"] if s["shape_id"] == i) for i in shape
    }


@pytest.mark.parametrize("table", ["edges", "call_paths"])
def test_times_are_when_the_trace_began(table: str) -> None:
    (row, *_) = curated(ROOT, *hop(2, 1, "A", "B", "b"))[table]
    began = EPOCH_NS // 10**9
    assert row["ts"].timestamp() == (began if table == "edges" else began // 3600 * 3600)
