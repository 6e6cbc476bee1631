import gzip
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.clock_fleet import (
    CLIENT,
    EPOCH,
    MINUTE,
    MS,
    SECOND,
    SERVER,
    US,
    Fleet,
    Spans,
    judge,
    offset_by,
    pairwise,
    simulate,
    skewed_fleet,
    steps,
)
from chalkmark.curate import clock
from chalkmark.curate.clock_evidence import KEPT
from chalkmark.curate.clock_graph import agreed
from chalkmark.tables import TABLES
from shared import shared_data

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
TRACES, SECONDS = 4_000, 480


def evidence_of(fleet: Fleet, spans: Spans, rows: slice = slice(None)) -> pa.Table:
    start = rows.start or 0
    parent = np.where(spans.parent[rows] < 0, -1, spans.parent[rows] - start)
    return clock.evidence(parent, spans.kind[rows], spans.host[rows], fleet.hosts, spans.start[rows], spans.end[rows])


def correct(fleet: Fleet, spans: Spans) -> tuple[clock.ClockModel, np.ndarray, np.ndarray]:
    model = clock.solve(evidence_of(fleet, spans))
    return model, *model.offsets((spans.host, fleet.hosts), spans.start)


def true_offsets(fleet: Fleet, estimates: pa.Table) -> np.ndarray:
    """Host's clock - reference's clock in the middle of the estimates' minutes."""
    at = estimates["minute"].cast(pa.int64()).to_numpy() * 1000 + MINUTE // 2
    index = {name: i for i, name in enumerate(fleet.hosts)}
    host, reference = (np.array([index[name] for name in estimates[c].to_pylist()]) for c in ("host", "reference"))
    return fleet.clock_error(host, at) - fleet.clock_error(reference, at)


def hops(*bounds: tuple[str, str, int, int], every_ns: int = SECOND) -> pa.Table:
    """Evidence of one synchronous call a tuple (caller, callee, low, high), one after another."""
    hosts = sorted({name for caller, callee, _, _ in bounds for name in (caller, callee)})
    parent, host, start, end, kind = [], [], [], [], []
    for i, (caller, callee, low, high) in enumerate(bounds):
        at = EPOCH + i * every_ns + 1  # not a whole us, so the clock does not look coarse
        parent += [-1, 2 * i]
        host += [hosts.index(caller), hosts.index(callee)]
        kind += [CLIENT, SERVER]
        start += [at, at + high - 1]
        end += [at + 100 * SECOND, at + 100 * SECOND + low + 1]
    return clock.evidence(
        np.array(parent), np.array(kind, np.int8), np.array(host, np.int32), hosts, np.array(start), np.array(end)
    )


# --- evidence


def test_a_call_bounds_the_difference_of_the_clocks_by_its_ends() -> None:
    a, b = 0, 1
    start = EPOCH + np.array([1_001, 1_001 + 7_003, 1_001 + 7_004, 1_001 + 9_000])
    end = EPOCH + np.array([101_002, 90_003, 90_001, 500_000])
    rows = clock.evidence(
        np.array([-1, 0, 1, 0]),
        np.array([CLIENT, SERVER, 1, 5], np.int8),
        np.array([a, b, b, b], np.int32),
        ["a", "b"],
        start,
        end,
    )
    assert rows.schema == TABLES["clock_evidence"].schema
    assert rows.drop(["at_ns", "ts"]).to_pylist() == [
        # The consumer is not waited for: only its start says anything. It bounds with the 1 us resolution of its times.
        {
            "caller_host": "a",
            "callee_host": "b",
            "synchronous": False,
            "hops": 1,
            "outlasting": 0,
            "low_ns": [],
            "high_ns": [9_001],
        },
        {
            "caller_host": "a",
            "callee_host": "b",
            "synchronous": True,
            "hops": 1,
            "outlasting": 0,
            "low_ns": [90_003 - 101_002 - 1],
            "high_ns": [7_004],
        },
    ]
    assert {t.timestamp() for t in rows["ts"].to_pylist()} == {EPOCH // SECOND}


@pytest.mark.parametrize(("unit", "margin"), [(1, 1), (US, US), (MS, MS)], ids=["ns clock", "us clock", "ms clock"])
def test_a_coarse_clock_loosens_its_bounds_by_its_unit(unit: int, margin: int) -> None:
    start, end = EPOCH + np.array([0, 3]) * unit, EPOCH + np.array([1_009, 1_007]) * unit
    if unit == 1:
        start, end = start + 1, end + 1
    rows = clock.evidence(
        np.array([-1, 0]), np.array([CLIENT, SERVER], np.int8), np.array([0, 1], np.int32), ["a", "b"], start, end
    )
    assert rows["low_ns"].to_pylist() == [[-2 * unit - margin]]
    assert rows["high_ns"].to_pylist() == [[3 * unit + margin]]


@pytest.mark.parametrize(
    ("host", "start", "end"),
    [
        ([0, 0], [0, 1], [9, 8]),
        ([0, -1], [0, 1], [9, 8]),
        ([-1, 1], [0, 1], [9, 8]),
        ([0, 1], [0, 1], [9, 0]),
        ([0, 1], [9, 1], [0, 2]),
        ([0, 1], [-EPOCH, 1], [9, 8]),
    ],
    ids=[
        "one host",
        "unknown callee",
        "unknown caller",
        "callee ends before it starts",
        "caller ends before it starts",
        "caller in 1970",
    ],
)
def test_what_says_nothing_leaves_no_evidence(host: list[int], start: list[int], end: list[int]) -> None:
    times = EPOCH + np.array(start), EPOCH + np.array(end)
    assert (
        clock.evidence(
            np.array([-1, 0]), np.array([CLIENT, SERVER], np.int8), np.array(host, np.int32), ["a", "b"], *times
        ).num_rows
        == 0
    )


@pytest.mark.parametrize(("lasts", "counted"), [(8, 0), (30, 1), (30_000, 0)], ids=["within", "late", "background"])
def test_servers_that_outlast_their_client_are_counted(lasts: int, counted: int) -> None:
    start, end = EPOCH + np.array([0, 1]) * MS, EPOCH + np.array([10, 1 + lasts]) * MS
    rows = clock.evidence(
        np.array([-1, 0]), np.array([CLIENT, SERVER], np.int8), np.array([0, 1], np.int32), ["a", "b"], start, end
    )
    assert rows.select(["synchronous", "outlasting", "low_ns", "high_ns"]).to_pylist() == [
        {"synchronous": True, "outlasting": counted, "low_ns": [(lasts - 10) * MS], "high_ns": [2 * MS]}
    ]


def test_the_narrowest_calls_are_kept_and_as_many_by_lot() -> None:
    widths = np.random.default_rng(2).permutation(500) + 100
    calls = [("a", "b", -int(width) * US, int(width) * US) for width in widths]
    rows = hops(*calls, every_ns=MS)
    (kept,) = ([high // US for high in row] for row in rows["high_ns"].to_pylist())
    assert kept[:KEPT] == list(range(100, 100 + KEPT))
    assert len(set(kept)) == len(kept) in range(KEPT + 1, 2 * KEPT + 1)
    assert np.mean(kept[KEPT:]) > 200


def test_evidence_does_not_depend_on_batches_or_their_order() -> None:
    fleet = skewed_fleet()
    spans = simulate(fleet, 600, 200, corrupt=0.05)
    whole = evidence_of(fleet, spans)
    assert max(whole["hops"].to_pylist()) > KEPT
    trace = len(spans.start) // 600
    parts = [evidence_of(fleet, spans, slice(i * 75 * trace, (i + 1) * 75 * trace)) for i in range(8)]
    assert clock.merge(parts).equals(whole)
    assert clock.merge([clock.merge(parts[5:]), *parts[:5][::-1]]).equals(whole)
    shuffled = whole.take(np.random.default_rng(3).permutation(whole.num_rows))
    assert clock.solve(shuffled).table().equals(clock.solve(whole).table())


def test_evidence_is_filed_under_the_time_it_is_given() -> None:
    filed = np.full(2, EPOCH - 90 * SECOND)
    rows = clock.evidence(
        np.array([-1, 0]), np.array([CLIENT, SERVER], np.int8), np.array([0, 1], np.int32), ["a", "b"],
        EPOCH + np.array([0, 1]), EPOCH + np.array([9, 8]), filed,
    )  # fmt: skip
    assert rows["ts"].to_pylist()[0].timestamp() == EPOCH // SECOND - 120
    assert rows["at_ns"].to_pylist() == [[EPOCH]]


# --- the model, against clocks that are known


@pytest.mark.parametrize("corrupt", [0.0, 0.01])
def test_a_skewed_fleet_is_corrected_better_than_span_by_span(corrupt: float) -> None:
    fleet = skewed_fleet()
    spans = simulate(fleet, TRACES, SECONDS, corrupt)
    _, offset, uncertain = correct(fleet, spans)
    raw = judge(fleet, spans, np.zeros_like(offset))
    ours = judge(fleet, spans, -offset)
    theirs = judge(fleet, spans, pairwise(spans.parent, spans.host, spans.start, spans.end))
    for percentile, times in (("p50", 4), ("p99", 3)):
        assert ours["error_us_wrong_clocks"][percentile] * times < theirs["error_us_wrong_clocks"][percentile]
    assert ours["violations"] < raw["violations"] / 100
    assert ours["moved_needlessly"] == 0 < theirs["moved_needlessly"]
    assert uncertain.mean() < 0.01


@pytest.mark.parametrize("asymmetry", [1.0, 3.0])
def test_the_true_offset_lies_in_the_interval(asymmetry: float) -> None:
    fleet = Fleet(clocks=skewed_fleet().clocks, asymmetry=asymmetry)
    estimates = correct(fleet, simulate(fleet, TRACES, SECONDS, corrupt=0.01))[0].table()
    true = true_offsets(fleet, estimates)
    assert len(estimates) > 100
    assert (estimates["low_ns"].to_numpy() <= true).all()
    assert (true <= estimates["high_ns"].to_numpy()).all()
    assert (np.abs(true) > MS).any()


def test_an_asymmetric_network_shifts_the_estimate_by_half_the_asymmetry() -> None:
    # 0.9 ms there, 0.1 ms back: no clock can tell this from 0.4 ms of skew, and the interval says so.
    offset = 50 * MS
    rows = hops(*[("a", "b", offset - 100 * US, offset + 900 * US)] * 20, *[("a", "c", -MS, MS)] * 20)
    found = {row["host"]: row for row in clock.solve(rows).table().to_pylist()}
    assert found["b"]["offset_ns"] == pytest.approx(offset + 400 * US, abs=20 * US)
    assert found["b"]["low_ns"] <= offset <= found["b"]["high_ns"]
    assert found["a"]["offset_ns"] == found["c"]["offset_ns"] == 0


@pytest.mark.parametrize("fleet", [Fleet(), Fleet(asymmetry=4.0)], ids=["near", "asymmetric"])
def test_nothing_is_moved_in_a_fleet_without_skew(fleet: Fleet) -> None:
    _, offset, uncertain = correct(fleet, simulate(fleet, TRACES, SECONDS, corrupt=0.01))
    assert not offset.any()
    assert not uncertain.any()


@pytest.mark.parametrize("late", [0.02, 0.07, 0.4])
def test_servers_that_end_late_move_nobody(late: float) -> None:
    fleet = Fleet(late=late)
    spans = simulate(fleet, TRACES, SECONDS, corrupt=0.01)
    _, offset, _ = correct(fleet, spans)
    assert judge(fleet, spans, np.zeros_like(offset))["violations"] > 500
    assert not offset.any()


def test_wrong_clocks_are_found_among_servers_that_end_late() -> None:
    fleet = replace(skewed_fleet(), late=0.07)
    spans = simulate(fleet, TRACES, SECONDS)
    _, offset, _ = correct(fleet, spans)
    ours = judge(fleet, spans, -offset)
    assert ours["moved_needlessly"] == 0
    assert ours["error_us_wrong_clocks"]["p99"] < 1_000


@pytest.mark.parametrize(("ahead", "moved"), [(900 * US, False), (1_100 * US, True)])
def test_less_than_a_millisecond_is_left_alone(ahead: int, moved: bool) -> None:
    rows = hops(*[("a", "b", ahead - 200 * US, ahead + 200 * US), ("a", "c", -200 * US, 200 * US)] * 20)
    offset, _ = clock.solve(rows).offsets((np.zeros(1, np.int32), ["b"]), np.array([EPOCH + SECOND]))
    assert bool(offset.any()) == moved


@pytest.mark.parametrize("both_ways", [False, True])
def test_a_majority_of_late_ends_is_outvoted_by_those_that_show_it(both_ways: bool) -> None:
    # 100 us each way; of ten servers four end on time, three end late unseen, three outlast their client.
    lates = [0, 0, 0, 0, 150, 160, 190, 500, 5_000, 15_000]
    calls = [("a", "b", (late - 100) * US, 100 * US) for late in lates]
    back = [("b", "a", (late - 100) * US, 100 * US) for late in lates] if both_ways else []
    model = clock.solve(hops(*(calls + back) * 3), brief=False)
    for row in model.table().to_pylist():
        assert row["low_ns"] <= 0 <= row["high_ns"]


def test_sparse_calls_that_jitter_look_like_no_drift() -> None:
    # Two or three calls a minute and pair, with jitter of the size that five samples could mistake for a drift.
    rng = np.random.default_rng(5)
    hosts, calls, names = 300, 200_000, [f"h{i}" for i in range(300)]
    at = EPOCH + rng.integers(0, 1800 * SECOND, calls)
    caller = rng.integers(0, hosts, calls)
    callee = (caller + 1 + rng.integers(0, 10, calls) * 37) % hosts
    there, back = 100 * US + rng.exponential(200 * US, (2, calls)).astype(np.int64)
    host = np.stack([caller, callee], axis=1).ravel().astype(np.int32)
    start = np.stack([at, at + there], axis=1).ravel()
    end = np.stack([at + 5 * MS, at + 5 * MS - back], axis=1).ravel()
    row = np.arange(2 * calls)
    rows = clock.evidence(
        np.where(row % 2, row - 1, -1), np.tile([CLIENT, SERVER], calls).astype(np.int8), host, names, start, end
    )
    assert not clock.solve(rows).table()["offset_ns"].to_numpy().any()


def test_a_clock_that_is_set_is_followed_to_the_second() -> None:
    fleet = Fleet(clocks={"cart-1-b": steps(-2 * SECOND, after=4 * MINUTE + 17 * SECOND)})
    spans = simulate(fleet, TRACES, SECONDS)
    _, offset, uncertain = correct(fleet, spans)
    true = fleet.clock_error(spans.host, spans.true_start)
    mine = spans.host == fleet.hosts.index("cart-1-b")
    # Its own times of two seconds exist twice, before and after; those nobody can tell apart.
    twice = mine & (np.abs(spans.start - EPOCH - 4 * MINUTE - 16 * SECOND) < 2 * SECOND)
    assert np.abs(offset - true)[~twice].max() < MS
    assert 0 < uncertain.sum() <= twice.sum() < mine.sum() / 50


def test_the_largest_group_that_agrees_is_right() -> None:
    ahead = 30 * MS
    zone = {name: offset_by(ahead) for name in Fleet().hosts if name.endswith("-b") and not name.startswith("store")}
    fleet = Fleet(clocks=zone)
    _, offset, _ = correct(fleet, simulate(fleet, TRACES, SECONDS))
    assert np.unique(offset[offset != 0]).min() > ahead - MS
    moved = {fleet.hosts[h] for h in np.unique(simulate(fleet, TRACES, SECONDS).host[offset != 0])}
    assert moved == set(zone)


def test_two_hosts_that_agree_are_not_torn_apart() -> None:
    # b and c share a node that is 1.2 ms behind; what is known of c from a, through b, would allow zero.
    rows = hops(*[("a", "b", -2200 * US, -300 * US), ("b", "c", -500 * US, 600 * US), ("a", "d", -400 * US, 400 * US)] * 10)
    found = {row["host"]: row for row in clock.solve(rows).table().to_pylist()}
    assert found["c"]["low_ns"] < 0 < found["c"]["high_ns"]
    assert found["c"]["offset_ns"] == found["b"]["offset_ns"] == pytest.approx(-1250 * US, abs=50 * US)
    assert found["a"]["offset_ns"] == found["d"]["offset_ns"] == 0


# --- where evidence is thin


def test_thin_evidence_moves_nothing_and_says_so() -> None:
    model = clock.solve(hops(("a", "b", SECOND, SECOND + MS), ("a", "b", SECOND, SECOND + MS)))
    offset, uncertain = model.offsets((np.zeros(1, np.int32), ["b"]), np.array([EPOCH + SECOND]))
    assert (offset[0], uncertain[0]) == (0, True)


def test_neighbours_that_contradict_each_other_leave_a_host_alone() -> None:
    rows = hops(*[("a", "b", -MS, MS), ("a", "x", SECOND, SECOND + MS), ("b", "x", -SECOND, -SECOND + MS)] * 10)
    row = next(r for r in clock.solve(rows).table().to_pylist() if r["host"] == "x")
    assert (row["offset_ns"], row["uncertain"]) == (0, True)


def test_messages_both_ways_bracket_a_clock() -> None:
    n = 20
    at = EPOCH + np.arange(n).repeat(2) * SECOND
    there = np.tile([0, 1], n) == 1
    towards_b = np.arange(n).repeat(2) % 2 == 0
    host = np.where(there == towards_b, 1, 0).astype(np.int32)  # b is a minute ahead; a message takes 5 ms
    start = at + np.where(there, 5 * MS, 0) + np.where(host == 1, 60 * SECOND, 0)
    parent = np.where(there, np.arange(2 * n) - 1, -1)
    kind = np.where(there, KINDS["consumer"], KINDS["producer"]).astype(np.int8)
    rows = clock.evidence(parent, kind, host, ["a", "b"], start, start + MS)
    assert not any(rows["synchronous"].to_pylist())
    found = [row for row in clock.solve(rows).table().to_pylist() if row["offset_ns"]]
    assert {row["host"] for row in found} == {"b"}
    assert all(abs(row["offset_ns"] - 60 * SECOND) < 10 * MS for row in found)


def test_beyond_the_horizon_nothing_is_known() -> None:
    model = clock.solve(hops(*[("a", "b", SECOND, SECOND + MS), ("a", "c", -MS, MS)] * 10))
    at = EPOCH + SECOND + np.array([0, clock.HORIZON_NS // 2, 2 * clock.HORIZON_NS])
    offset, uncertain = model.offsets((np.zeros(3, np.int32), ["b"]), at)
    assert uncertain.tolist() == [False, False, True]
    assert offset[2] == 0
    assert abs(offset[1] - SECOND) < MS


def test_hosts_are_named_either_way_and_may_be_unknown() -> None:
    model = clock.solve(hops(*[("a", "b", SECOND, SECOND + MS), ("a", "c", -MS, MS)] * 10))
    names = pa.array(["b", None, "elsewhere", "a"]).dictionary_encode()
    at = np.full(4, EPOCH + SECOND)
    offset, uncertain = model.offsets(names, at)
    again = model.offsets((np.array([0, -1, 1, 2], np.int32), ["b", "elsewhere", "a"]), at)
    assert uncertain.tolist() == again[1].tolist() == [False, True, True, False]
    assert offset.tolist() == again[0].tolist()
    assert offset[1:].tolist() == [0, 0, 0]


def test_no_evidence_is_a_model_that_knows_nothing() -> None:
    model = clock.solve(clock.merge([]))
    assert model.table().num_rows == 0
    offset, uncertain = model.offsets((np.array([0, -1], np.int32), ["a"]), np.array([EPOCH, EPOCH]))
    assert offset.tolist() == [0, 0]
    assert uncertain.all()


CALL = st.tuples(
    st.sampled_from("abcd"),
    st.sampled_from("abcd"),
    st.integers(-20, 2).map(lambda ms: ms * MS),
    st.integers(-2, 20).map(lambda ms: ms * MS),
).filter(lambda call: call[0] != call[1])


@settings(max_examples=150, deadline=None)
@given(st.lists(CALL, min_size=1, max_size=60), st.sampled_from([SECOND // 10, SECOND, 7 * SECOND, 100 * SECOND]))
def test_the_short_way_and_the_whole_way_come_to_the_same(calls: list[tuple[str, str, int, int]], every_ns: int) -> None:
    rows = hops(*calls, every_ns=every_ns)
    host = np.repeat(np.arange(5, dtype=np.int32), 40)  # the last one is in no call
    at = EPOCH + np.tile(np.linspace(-400 * SECOND, (len(calls) + 4) * every_ns + 400 * SECOND, 40).astype(np.int64), 5)
    short, whole = (clock.solve(rows, brief=brief).offsets((host, list("abcde")), at) for brief in (True, False))
    assert short[0].tolist() == whole[0].tolist()
    assert short[1].tolist() == whole[1].tolist()


def test_where_nothing_speaks_against_a_clock_the_way_is_short() -> None:
    rows = hops(*[("a", "b", -MS, MS), ("b", "c", -MS, MS)] * 10)
    assert clock.solve(rows).table().num_rows == 0
    assert clock.solve(rows, brief=False).table().num_rows > 0


# --- parts with an oracle of their own


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 15)), min_size=1, max_size=12))
def test_agreement_is_the_point_in_most_intervals(intervals: list[tuple[int, int]]) -> None:
    low = np.array([at for at, _ in intervals])
    high = np.array([at + width for at, width in intervals])
    points = np.arange(-20, 36)
    cover = ((low[:, None] <= points) & (points <= high[:, None])).sum(axis=0)
    first, last, most = agreed(low, high, 0, 0)
    assert most == cover.max()
    inside = (first <= points) & (points <= last)
    assert (cover[inside] == most).all()
    best = points[cover == most]
    assert min(abs(points[inside])) == min(abs(best))


@pytest.mark.parametrize(
    ("child", "same_host", "starts"),
    [((0, 50), False, 35), ((0, 150), False, 10), ((20, 50), False, 20), ((0, 50), True, 0)],
    ids=["centred", "longer than its parent", "fits", "same host"],
)
def test_the_peers_rule_is_theirs(child: tuple[int, int], same_host: bool, starts: int) -> None:
    host = np.array([0, 0 if same_host else 1], np.int32)
    shift = pairwise(np.array([-1, 0]), host, np.array([10, child[0]]), np.array([110, child[1]]))
    assert child[0] + shift[1] == starts


# --- real traces


@pytest.mark.parametrize("load", [25, 100])
def test_two_real_nodes_a_millisecond_apart(load: int) -> None:
    """Pods on nodes 10.0.1 and 10.0.2: more than a thousand servers outside their clients, by up to 0.86 ms."""
    path = shared_data(f"traces/deathstarbench/hotel_reservation__hotel_load{load}.jaeger.jsonl.gz")
    parent, kind, host, start, end = [], [], [], [], []
    hosts: dict[str, int] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            document = json.loads(line)
            trace = document["data"][0] if "data" in document else document
            row = {span["spanID"]: len(parent) + i for i, span in enumerate(trace["spans"])}
            for span in trace["spans"]:
                address = {t["key"]: t["value"] for t in trace["processes"][span["processID"]]["tags"]}["ip"]
                parent.append(next((row[r["spanID"]] for r in span["references"]), -1))
                kind.append(KINDS[next(t["value"] for t in span["tags"] if t["key"] == "span.kind")])
                host.append(hosts.setdefault(address, len(hosts)))
                start.append(span["startTime"] * 1000)
                end.append((span["startTime"] + span["duration"]) * 1000)
    columns = np.array(parent), np.array(kind, np.int8), np.array(host, np.int32), list(hosts), np.array(start), np.array(end)
    model = clock.solve(clock.evidence(*columns))
    offset, _ = model.offsets((columns[2], list(hosts)), columns[4])
    called = (columns[0] >= 0) & (columns[2] != columns[2][columns[0]])

    def outside(shift: np.ndarray) -> int:
        begin, finish = columns[4] - shift, columns[5] - shift
        above = columns[0][called]
        return int(((begin[called] < begin[above]) | (finish[called] > finish[above])).sum())

    assert outside(np.zeros_like(offset)) > 1000
    assert outside(offset) <= 1
    moved = {row["host"] for row in model.table().to_pylist() if row["offset_ns"]}
    assert moved == {name for name in hosts if name.startswith("10.0.2.")}


def test_one_skewed_call_is_no_evidence() -> None:
    spans = json.loads(shared_data("traces/zipkin/skew.json").read_text())
    client = next(s for s in spans if s.get("kind") == "CLIENT")
    server = next(s for s in spans if s["id"] == client["id"] and s.get("kind") == "SERVER")
    start = np.array([s["timestamp"] * 1000 for s in (client, server)])
    end = start + np.array([s["duration"] * 1000 for s in (client, server)])
    assert start[1] < start[0]
    rows = clock.evidence(
        np.array([-1, 0]), np.array([CLIENT, SERVER], np.int8), np.array([0, 1], np.int32), ["a", "b"], start, end
    )
    offset, uncertain = clock.solve(rows).offsets((np.array([0, 1], np.int32), ["a", "b"]), start)
    assert rows.num_rows == 1
    assert not offset.any()
    assert uncertain.all()
