"""Evidence about clocks: what one host's calls to another say about the difference of their clocks.

A server's span lies within its client's. So, by the clocks of the two hosts,

    server end - client end  <=  server clock - client clock  <=  server start - client start

and the width of that interval is the time the call spent on the network. The narrowest intervals of a minute say nearly
all that its calls can say, as in NTP's clock filter (RFC 5905, section 10), which also trusts the sample with the least
delay. Keeping the narrowest *calls*, rather than the tightest bound on each side, is what makes a few corrupt spans
harmless: a false bound is often the tightest one, but a corrupt call is seldom the narrowest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from chalkmark.tables.clock_evidence import CLOCK_EVIDENCE

EVIDENCE = CLOCK_EVIDENCE.schema

KEPT = 8
"""Samples kept of a row. On the simulated fleet (bench/clock.py) the p99 error is 148 us with 4, 112 with 8, 114 with 16."""

OPEN = 1 << 62
"""A bound that says nothing: the end of an interval that is open on that side."""

MINUTE_NS = 60_000_000_000
_YEAR_2000_NS = 946_684_800_000_000_000  # earlier starts are implausible, and bounds between later ones fit an int64
_SERVER, _CLIENT = 2, 3  # OTLP's span kinds

Ints = npt.NDArray[np.int64]


def evidence(
    parent: Ints,
    kind: npt.NDArray[np.int8] | npt.NDArray[np.int32],
    host: npt.NDArray[np.int32],
    hosts: Sequence[str],
    start_ns: Ints,
    end_ns: Ints,
    filed_ns: Ints | None = None,
) -> pa.Table:
    """What these spans say about the clocks of their hosts; a table of schema EVIDENCE.

    All arrays have one entry a span: `parent` is the row of its parent or -1, `kind` OTLP's number, `host` an index into
    `hosts` or -1, times are raw ns since the epoch. `filed_ns` is the time under whose minute a span's evidence is filed
    (the start of its trace, so that a trace's rows stay together); by default the start of the calling span.

    Calls count whose caller and callee ran on two known hosts. A client and its server give both bounds. Any other parent
    and child give the upper one, and so does a server that lasted longer than its client, which then cannot have waited for it.
    Spans that start before the year 2000 or end before they start say nothing.
    """
    if filed_ns is None:
        filed_ns = np.where(parent >= 0, start_ns[parent], start_ns)
    caller, callee, minute, at, low, high = _hops(parent, kind, host, start_ns, end_ns, filed_ns)
    return _summary(caller, callee, minute, np.ones(len(at), np.int64), hosts, np.arange(len(at)), at, low, high)


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of evidence from many: a row for each caller, callee and minute. The order of tables and rows is immaterial."""
    rows = pa.concat_tables([EVIDENCE.empty_table(), *(t.select(EVIDENCE.names) for t in tables)])
    names = pc.unique(pa.chunked_array([*rows["caller_host"].chunks, *rows["callee_host"].chunks], pa.string()))
    caller = pc.index_in(rows["caller_host"], names).to_numpy().astype(np.int64)
    callee = pc.index_in(rows["callee_host"], names).to_numpy().astype(np.int64) * 2 + rows["synchronous"].to_numpy()
    minute = rows["ts"].cast(pa.int64()).to_numpy() * 1000 // MINUTE_NS
    row, at, low, high = samples(rows)
    return _summary(caller, callee, minute, rows["hops"].to_numpy(), names.to_pylist(), row, at, low, high)


def samples(rows: pa.Table) -> tuple[Ints, Ints, Ints, Ints]:
    """The samples of all rows: the row each belongs to, at_ns, low_ns (-OPEN where there is none) and high_ns."""
    lengths = pc.list_value_length(rows["at_ns"]).to_numpy().astype(np.int64)
    row = np.repeat(np.arange(rows.num_rows), lengths)
    low = np.full(len(row), -OPEN)
    low[rows["synchronous"].to_numpy()[row]] = pc.list_flatten(rows["low_ns"]).to_numpy()
    return row, pc.list_flatten(rows["at_ns"]).to_numpy(), low, pc.list_flatten(rows["high_ns"]).to_numpy()


def _summary(
    caller: Ints, callee: Ints, minute: Ints, hops: Ints, names: Sequence[str], row: Ints, at: Ints, low: Ints, high: Ints
) -> pa.Table:
    """Groups rows by (caller, callee, minute) and keeps the narrowest of each group's samples; `row` is the row of a sample."""
    group, first = _groups(caller, callee, minute)
    kept_at, kept_low, kept_high, held = _narrowest(group, row, len(first), at, low, high)
    rank = np.empty(len(names), np.int64)
    rank[pc.sort_indices(pa.array(names, pa.string())).to_numpy()] = np.arange(len(names))
    synchronous = (callee[first] & 1).astype(bool)
    pair = (rank[caller[first]] * len(names) + rank[callee[first] >> 1]) * 2 + synchronous
    order = np.lexsort((minute[first], pair))
    first, synchronous, held = first[order], synchronous[order], held[order]
    total = np.zeros(len(first), np.int64)
    np.add.at(total, group, hops)
    full = np.arange(KEPT) < held[:, None]
    dictionary = pa.array(names, pa.string())
    columns = {
        "caller_host": dictionary.take(pa.array(caller[first])),
        "callee_host": dictionary.take(pa.array(callee[first] >> 1)),
        "synchronous": pa.array(synchronous),
        "hops": pa.array(total[order]),
        "at_ns": _lists(held, kept_at[order][full]),
        "low_ns": _lists(np.where(synchronous, held, 0), kept_low[order][full & synchronous[:, None]]),
        "high_ns": _lists(held, kept_high[order][full]),
        "ts": pa.array(minute[first] * (MINUTE_NS // 1000)).cast(EVIDENCE.field("ts").type),
    }
    return pa.table(columns, schema=EVIDENCE)


def _lists(lengths: Ints, values: Ints) -> pa.ListArray:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


@njit(cache=True)
def _hops(parent, kind, host, start, end, filed):  # type: ignore[no-untyped-def]
    """The calls between hosts: caller, 2 x callee + synchronous, minute, and their bounds."""
    n = 0
    for i in range(len(parent)):
        p = parent[i]
        n += p >= 0 and host[i] >= 0 and host[p] >= 0 and host[i] != host[p]
    caller = np.empty(n, np.int64)
    callee = np.empty(n, np.int64)
    minute = np.empty(n, np.int64)
    at = np.empty(n, np.int64)
    low = np.empty(n, np.int64)
    high = np.empty(n, np.int64)
    n = 0
    for i in range(len(parent)):
        p = parent[i]
        if p < 0 or host[i] < 0 or host[p] < 0 or host[i] == host[p]:
            continue
        s, e, ps, pe = start[i], end[i], start[p], end[p]
        if s < _YEAR_2000_NS or ps < _YEAR_2000_NS or e < s or pe < ps:
            continue
        # A coarse clock cuts its times, which would make the calls that profit from it look the narrowest.
        unit = 1
        if s % 1000 == 0 and e % 1000 == 0 and ps % 1000 == 0 and pe % 1000 == 0:
            coarse = s % 1_000_000 == 0 and e % 1_000_000 == 0 and ps % 1_000_000 == 0 and pe % 1_000_000 == 0
            unit = 1_000_000 if coarse else 1000
        synchronous = kind[i] == _SERVER and kind[p] == _CLIENT and e - s <= pe - ps
        caller[n] = host[p]
        callee[n] = host[i] * 2 + synchronous
        minute[n] = filed[i] // MINUTE_NS
        at[n] = ps
        low[n] = e - pe - unit if synchronous else -OPEN
        high[n] = s - ps + unit
        n += 1
    return caller[:n], callee[:n], minute[:n], at[:n], low[:n], high[:n]


@njit(cache=True)
def _groups(caller, callee, minute):  # type: ignore[no-untyped-def]
    """Numbers the distinct (caller, callee, minute): the group of each row, and the first row of each group."""
    n = len(caller)
    capacity = 16
    while capacity < 2 * n:
        capacity *= 2
    mask = np.uint64(capacity - 1)
    table = np.full(capacity, -1, np.int32)
    group = np.empty(n, np.int32)
    first = np.empty(n, np.int64)
    groups = 0
    for i in range(n):
        h = np.uint64(caller[i]) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(callee[i])
        h = h * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(minute[i])
        h *= np.uint64(0x94D049BB133111EB)
        slot = (h ^ (h >> np.uint64(32))) & mask
        while True:
            g = table[slot]
            if g < 0:
                g = groups
                table[slot] = g
                first[g] = i
                groups += 1
                break
            f = first[g]
            if caller[f] == caller[i] and callee[f] == callee[i] and minute[f] == minute[i]:
                break
            slot = (slot + np.uint64(1)) & mask
        group[i] = g
    return group, first[:groups].copy()


@njit(cache=True)
def _narrowest(group, row, groups, at, low, high):  # type: ignore[no-untyped-def]
    """The KEPT narrowest samples of each group, narrowest first; of those open below, the lowest. Order never decides a tie."""
    kept_at = np.empty((groups, KEPT), np.int64)
    kept_low = np.empty((groups, KEPT), np.int64)
    kept_high = np.empty((groups, KEPT), np.int64)
    held = np.zeros(groups, np.int64)
    for i in range(len(at)):
        g = group[row[i]]
        width = high[i] if low[i] == -OPEN else high[i] - low[i]
        j = held[g]
        while j > 0:
            below, above = kept_low[g, j - 1], kept_high[g, j - 1]
            other = above if below == -OPEN else above - below
            if (other, kept_at[g, j - 1], above) <= (width, at[i], high[i]):
                break
            j -= 1
        if j == KEPT:
            continue
        for k in range(min(held[g], KEPT - 1), j, -1):
            kept_at[g, k], kept_low[g, k], kept_high[g, k] = kept_at[g, k - 1], kept_low[g, k - 1], kept_high[g, k - 1]
        kept_at[g, j], kept_low[g, j], kept_high[g, j] = at[i], low[i], high[i]
        held[g] = min(held[g] + 1, KEPT)
    return kept_at, kept_low, kept_high, held
