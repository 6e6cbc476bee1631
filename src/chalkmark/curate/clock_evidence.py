"""Evidence about clocks: what one host's calls to another say about the difference of their clocks.

A server begins after its client did, and answers before it ends. So, by the clocks of the two hosts,

    server end - client end  <=  server clock - client clock  <=  server start - client start

and the width of that interval is the time the call spent on the network. The narrowest intervals of a minute say nearly
all that its calls can say, as in NTP's clock filter (RFC 5905, section 10), which also trusts the sample with the least
delay. Keeping the narrowest *calls*, rather than the tightest bound on each side, is what makes a few corrupt spans
harmless: a false bound is often the tightest one, but a corrupt call is seldom the narrowest.

Only the start is causality, though. A server may end its span after it has answered, and servers under load do: that makes
a false interval, and a narrow one. So calls whose server outlasts its client, which gives it away, are counted; and beside
the narrowest calls some are kept that were drawn by lot, among which late ends are no more frequent than they are.
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
"""So many of the narrowest samples of a row are kept, and as many drawn by lot. On the simulated fleet (bench/clock.py)
the p99 error is 148 us with 4, 112 with 8, 114 with 16."""

OPEN = 1 << 62
"""A bound that says nothing: the end of an interval that is open on that side."""

_BACKGROUND_NS = 100_000_000
"""A server that goes on for longer than this works in the background, or is corrupt: it tells nothing of ends a little late."""

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

    Calls count whose caller and callee ran on two known hosts. A client and its server give both bounds, where the server did
    not outlast the client: such a call has low > high, and its start bounds all the same. Any other parent and child give the
    upper bound only.
    Spans that start before the year 2000 or end before they start say nothing.
    """
    if filed_ns is None:
        filed_ns = np.where(parent >= 0, start_ns[parent], start_ns)
    caller, callee, minute, at, low, high = _hops(parent, kind, host, start_ns, end_ns, filed_ns)
    rows = np.arange(len(at))
    return _summary(
        caller,
        callee,
        minute,
        np.ones_like(rows),
        ((low > high) & (low - high < _BACKGROUND_NS)).astype(np.int64),
        hosts,
        rows,
        at,
        low,
        high,
    )


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of evidence from many: a row for each caller, callee and minute. The order of tables and rows is immaterial."""
    rows = pa.concat_tables([EVIDENCE.empty_table(), *(t.select(EVIDENCE.names) for t in tables)])
    names = pc.unique(pa.chunked_array([*rows["caller_host"].chunks, *rows["callee_host"].chunks], pa.string()))
    caller = pc.index_in(rows["caller_host"], names).to_numpy().astype(np.int64)
    callee = pc.index_in(rows["callee_host"], names).to_numpy().astype(np.int64) * 2 + rows["synchronous"].to_numpy()
    minute = rows["ts"].cast(pa.int64()).to_numpy() * 1000 // MINUTE_NS
    row, at, low, high = samples(rows)
    hops, outlasting = rows["hops"].to_numpy(), rows["outlasting"].to_numpy()
    return _summary(caller, callee, minute, hops, outlasting, names.to_pylist(), row, at, low, high)


def samples(rows: pa.Table) -> tuple[Ints, Ints, Ints, Ints]:
    """The samples of all rows: the row each belongs to, at_ns, low_ns (-OPEN where there is none) and high_ns."""
    lengths = pc.list_value_length(rows["at_ns"]).to_numpy().astype(np.int64)
    row = np.repeat(np.arange(rows.num_rows), lengths)
    low = np.full(len(row), -OPEN)
    low[rows["synchronous"].to_numpy()[row]] = pc.list_flatten(rows["low_ns"]).to_numpy()
    return row, pc.list_flatten(rows["at_ns"]).to_numpy(), low, pc.list_flatten(rows["high_ns"]).to_numpy()


@njit(cache=True)
def roles(row, at, low, high):  # type: ignore[no-untyped-def]
    """Which samples of merged rows are among the narrowest of their row, and which were drawn by lot."""
    narrow, drawn = np.zeros(len(row), np.bool_), np.ones(len(row), np.bool_)
    begin = 0
    while begin < len(row):
        end = begin
        while end < len(row) and row[end] == row[begin]:
            narrow[end] = end - begin < KEPT and low[end] <= high[end]
            end += 1
        if end - begin > KEPT:
            lots = np.empty(end - begin, np.int64)
            for i in range(begin, end):
                lots[i - begin] = _lot(at[i], low[i], high[i])
            drawn[begin:end] = lots <= np.sort(lots)[KEPT - 1]
        begin = end
    return narrow, drawn


def _summary(
    caller: Ints,
    callee: Ints,
    minute: Ints,
    hops: Ints,
    outlasting: Ints,
    names: Sequence[str],
    row: Ints,
    at: Ints,
    low: Ints,
    high: Ints,
) -> pa.Table:
    """Adds up rows by (caller, callee, minute) and keeps some of each group's samples; `row` is the row of a sample."""
    group, member = _groups(caller, callee, minute)
    kept, first = _kept(group, row, len(member), at, low, high)
    rank = np.empty(len(names), np.int64)
    rank[pc.sort_indices(pa.array(names, pa.string())).to_numpy()] = np.arange(len(names))
    caller, callee, minute = caller[member], callee[member], minute[member]
    order = by((rank[caller] * len(names) + rank[callee >> 1]) * 2 + (callee & 1), minute)
    caller, callee, minute = caller[order], callee[order], minute[order]
    synchronous = (callee & 1).astype(bool)
    held = np.diff(first)[order]
    kept = kept[np.repeat(first[order] - np.cumsum(held) + held, held) + np.arange(len(kept))]
    dictionary = pa.array(names, pa.string())
    columns = {
        "caller_host": dictionary.take(pa.array(caller)),
        "callee_host": dictionary.take(pa.array(callee >> 1)),
        "synchronous": pa.array(synchronous),
        "hops": pa.array(_totals(group, hops, len(member))[order]),
        "outlasting": pa.array(_totals(group, outlasting, len(member))[order]),
        "at_ns": _lists(held, at[kept]),
        "low_ns": _lists(np.where(synchronous, held, 0), low[kept[np.repeat(synchronous, held)]]),
        "high_ns": _lists(held, high[kept]),
        "ts": pa.array(minute * (MINUTE_NS // 1000)).cast(EVIDENCE.field("ts").type),
    }
    return pa.table(columns, schema=EVIDENCE)


def by(major: Ints, minor: Ints) -> Ints:
    """The order by `major`, then `minor`; at once where both fit one number, which takes half the time."""
    if len(minor) and (int(np.ptp(minor)) + 1) * (int(major.max()) + 1) < 1 << 63:
        order: Ints = np.argsort(major * (np.ptp(minor) + 1) + (minor - minor.min()), kind="stable")
        return order
    return np.lexsort((minor, major))


@njit(cache=True)
def _totals(group, values, groups):  # type: ignore[no-untyped-def]
    out = np.zeros(groups, np.int64)
    for i in range(len(group)):
        out[group[i]] += values[i]
    return out


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
        synchronous = kind[i] == _SERVER and kind[p] == _CLIENT
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
def _kept(group, row, groups, at, low, high):  # type: ignore[no-untyped-def]
    """Which samples are kept of each group, and where each group's begin: the narrowest, then those drawn besides."""
    room = np.zeros(groups + 1, np.int64)
    for i in range(len(at)):
        room[group[row[i]] + 1] += 1
    for g in range(groups):
        room[g + 1] = room[g] + min(room[g + 1], KEPT)
    narrowest, drawn = np.full(room[-1], -1, np.int64), np.full(room[-1], -1, np.int64)
    widths, lots = np.full(room[-1], OPEN), np.full(room[-1], OPEN)
    for i in range(len(at)):
        g = group[row[i]]
        begin, end = room[g], room[g + 1]
        if low[i] <= high[i]:
            width = high[i] if low[i] == -OPEN else high[i] - low[i]
            if width <= widths[end - 1]:
                _insert(narrowest, widths, begin, end, i, width, at, high)
            if end - begin < KEPT:  # it is kept as one of the narrowest
                continue
        lot = _lot(at[i], low[i], high[i])
        if lot < lots[end - 1]:
            _insert(drawn, lots, begin, end, i, lot, at, high)
    kept = np.empty(2 * room[-1], np.int64)
    first = np.zeros(groups + 1, np.int64)
    n = 0
    for g in range(groups):
        begin, end = room[g], room[g + 1]
        for j in range(begin, end):
            if narrowest[j] >= 0:
                kept[n] = narrowest[j]
                n += 1
        for j in range(begin, end):
            i = drawn[j]
            if i < 0:
                break
            known = False
            for k in range(begin, end):
                known |= narrowest[k] == i
            if not known:
                kept[n] = i
                n += 1
        first[g + 1] = n
    return kept[:n], first


@njit(cache=True)
def _insert(members, keys, begin, end, i, key, at, high):  # type: ignore[no-untyped-def]
    """Puts sample i where `keys[begin:end]` stay ascending; the last one drops out. Order of arrival never decides a tie."""
    j = end
    while j > begin:
        other = members[j - 1]
        if other >= 0 and (keys[j - 1], at[other], high[other]) <= (key, at[i], high[i]):
            break
        j -= 1
    if j == end:
        return
    for k in range(end - 1, j, -1):
        members[k], keys[k] = members[k - 1], keys[k - 1]
    members[j], keys[j] = i, key


@njit(cache=True, inline="always")
def _lot(at, low, high):  # type: ignore[no-untyped-def]
    """Whether a sample is drawn: a hash of it, so that neither order nor batches matter (finalizer of SplitMix64)."""
    h = np.uint64(at) + np.uint64(low) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(high) * np.uint64(0xC2B2AE3D27D4EB4F)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(h >> np.uint64(2))  # below OPEN
