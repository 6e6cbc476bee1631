"""Clock offsets of hosts over time, estimated over many traces.

`evidence` turns calls between hosts into bounds, `merge` brings together those of many batches, and `solve` makes a
`ClockModel` of them: for every host and minute an interval that holds the offset of its clock from a reference that most
hosts agree with. A host is corrected where the evidence rules out that its clock is right; elsewhere its times are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from chalkmark.curate.clock_evidence import EVIDENCE, MINUTE_NS, OPEN, Ints, by, evidence, merge, roles, samples
from chalkmark.curate.clock_graph import MAX_DRIFT, pair_minutes, spread, trusted
from chalkmark.curate.clock_steps import locate

__all__ = ["EVIDENCE", "ClockModel", "evidence", "merge", "solve"]

Flags = npt.NDArray[np.bool_]

HORIZON_NS = 5 * MINUTE_NS
"""How far from a minute with evidence its estimate is used: at 100 ppm, a clock has gone astray by 30 ms by then."""

MATTERS_NS = 1_000_000
"""A host whose clock is never further off than this is left alone: that much, servers that end late can feign."""

_GROSS_SLACK_NS = 1_000_000_000
"""How far drift and small steps may carry a clock over all of the evidence while its gross offset is found out."""

ESTIMATES = pa.schema(
    [
        pa.field("host", pa.string(), nullable=False),
        pa.field("minute", EVIDENCE.field("ts").type, nullable=False),
        pa.field("reference", pa.string(), nullable=False),
        pa.field("offset_ns", pa.int64(), nullable=False),
        pa.field("low_ns", pa.int64(), nullable=False),
        pa.field("high_ns", pa.int64(), nullable=False),
        pa.field("samples", pa.int64(), nullable=False),
        pa.field("uncertain", pa.bool_(), nullable=False),
    ]
)
"""Offsets of hosts by minute: host's clock - reference's clock lies in [low_ns, high_ns]; offset_ns is what is taken off."""


@dataclass(frozen=True)
class ClockModel:
    """Offsets of the hosts' clocks over time. One knot is one host at one instant; knots are sorted by host, then time."""

    hosts: pa.StringArray
    first: Ints
    """Knots of host h are first[h] to first[h + 1]."""
    at_ns: Ints
    """When, by the host's own clock."""
    offset_ns: Ints
    low_ns: Ints
    high_ns: Ints
    uncertain: npt.NDArray[np.bool_]
    estimates: pa.Table

    def offsets(
        self, host: pa.DictionaryArray | tuple[npt.NDArray[np.int32], Sequence[str]], start_ns: Ints
    ) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """How far the clock of each span's host was ahead at its raw start, in ns, and whether that is uncertain.

        The corrected time is raw - offset. An uncertain offset is one that the evidence is too thin or too contradictory
        to tell; most of these are 0. A host without evidence within HORIZON_NS has the offset 0 and is uncertain.
        """
        if isinstance(host, tuple):
            codes, names = host[0].astype(np.int64), pa.array(host[1], pa.string())
        else:
            codes, names = host.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64), host.dictionary
        known = pc.index_in(names, self.hosts).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        known = np.append(known, -1)  # an unknown host, of code -1, finds this one
        return _look_up(known[codes], start_ns, self.first, self.at_ns, self.offset_ns, self.low_ns, self.high_ns, self.uncertain)  # type: ignore[no-any-return]

    def table(self) -> pa.Table:
        """The estimates for people: schema ESTIMATES, sorted by host and minute; empty where nothing speaks against any clock."""
        return self.estimates


class _Samples(NamedTuple):
    """Samples of calls between two hosts a < b, sorted by pair, then time: low <= b's clock - a's <= high."""

    pair: Ints
    """a x hosts + b"""
    at: Ints
    low: Ints
    high: Ints
    narrow: Flags
    drawn: Flags
    late: Flags
    outlasting: Ints
    backward: Flags

    def sorted(self) -> _Samples:
        """The same, in order."""
        order = by(self.pair, self.at)
        return _Samples._make(column[order] for column in self)


def solve(rows: pa.Table, *, brief: bool = True) -> ClockModel:
    """The clocks of the hosts that appear in `rows` (schema EVIDENCE, of any number of batches).

    Where nothing speaks against any clock, which is usual, the answer needs no graph, and `table()` is empty. `brief=False`
    goes the whole way all the same, to the same offsets.
    """
    rows = merge([rows])
    hosts = pc.unique(pa.chunked_array([*rows["caller_host"].chunks, *rows["callee_host"].chunks], pa.string()))
    hosts = hosts.take(pc.sort_indices(hosts))
    caller = pc.index_in(rows["caller_host"], hosts).to_numpy().astype(np.int64)
    callee = pc.index_in(rows["callee_host"], hosts).to_numpy().astype(np.int64)
    calls = np.zeros(len(hosts), np.int64)
    np.add.at(calls, caller, rows["hops"].to_numpy())
    np.add.at(calls, callee, rows["hops"].to_numpy())
    row, samples = _samples(rows, len(hosts), caller, callee)

    near = (samples.low <= _GROSS_SLACK_NS).all() and (samples.high >= -_GROSS_SLACK_NS).all()
    if not near:
        # A caller whose own clock is hours off files its calls under the wrong minutes: that is found out and undone first.
        slack_low, slack_high = np.maximum(samples.low - _GROSS_SLACK_NS, -OPEN), np.minimum(samples.high + _GROSS_SLACK_NS, OPEN)
        loose = samples._replace(at=np.zeros_like(row), low=slack_low, high=slack_high).sorted()
        found = _intervals(calls, pair_minutes(*loose, False))
        gross = np.zeros(len(hosts), np.int64)
        gross[found[:, 0]] = found[:, 7]
        gross[np.abs(gross) < MINUTE_NS // 2] = 0
        samples = samples._replace(at=samples.at - gross[caller[row]])
    samples = samples.sorted()
    minutes = pair_minutes(*samples, brief)
    if brief and (minutes[2] <= 0).all() and (minutes[3] >= 0).all():
        return _all_right(hosts, minutes[0], minutes[1])
    found = _intervals(calls, pair_minutes(*samples, False) if brief else minutes)
    furthest = np.zeros(len(hosts), np.int64)
    np.maximum.at(furthest, found[:, 0], np.abs(found[:, 7]))
    found[furthest[found[:, 0]] < MATTERS_NS, 7] = 0
    order = np.argsort(samples.at, kind="stable")
    a, b = np.divmod(samples.pair[order], max(len(hosts), 1))
    steps = locate(found, HORIZON_NS, a, b, samples.at[order], samples.low[order], samples.high[order])
    return _model(hosts, found, *steps)


def _samples(rows: pa.Table, hosts: int, caller: Ints, callee: Ints) -> tuple[Ints, _Samples]:
    """The samples of merged rows, in their order, and the row of each."""
    row, at, low, high = samples(rows)
    narrow, drawn = roles(row, at, low, high)
    late = low > high
    low[late] = -OPEN
    outlasting = np.zeros(len(row), np.int64)
    outlasting[np.searchsorted(row, np.arange(rows.num_rows))] = rows["outlasting"].to_numpy()
    backward = (caller > callee)[row]
    low, high = np.where(backward, -high, low), np.where(backward, -low, high)
    pair = (np.minimum(caller, callee) * hosts + np.maximum(caller, callee))[row]
    return row, _Samples(pair, at, low, high, narrow, drawn, late, outlasting, backward)


def _intervals(calls: Ints, minutes: tuple[Ints, Ints, Ints, Ints, Ints]) -> Ints:
    """From what `pair_minutes` found to the rows of `spread`, sorted by host and minute. `calls` are those of each host."""
    hosts = len(calls)
    pairs, minute, low, high, agree = minutes
    a, b = np.divmod(pairs, max(hosts, 1))
    distinct, which = np.unique(pairs, return_inverse=True)
    conflict = np.zeros(len(distinct), np.bool_)
    conflict[which[((low > 0) | (high < 0)) & (np.abs((low + high) // 2) >= MATTERS_NS)]] = True
    right = trusted(hosts, distinct // max(hosts, 1), distinct % max(hosts, 1), conflict, calls)
    best_first = np.flatnonzero(right)[np.argsort(-calls[right], kind="stable")]
    by_minute = np.argsort(minute, kind="stable")
    found: Ints = spread(right, best_first, *(column[by_minute] for column in (a, b, minute, low, high, agree)))
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _all_right(hosts: pa.StringArray, pair: Ints, minute: Ints) -> ClockModel:
    """The model of clocks that nothing speaks against; it is known of hosts in the minutes of their pairs."""
    host, at = np.concatenate(np.divmod(pair, max(len(hosts), 1))), np.tile(minute, 2)
    host, at = np.divmod(np.unique(host * (1 << 32) + at), 1 << 32)
    first = np.searchsorted(host, np.arange(len(hosts) + 1)).astype(np.int64)
    none = np.zeros(len(host), np.int64)
    at = at * MINUTE_NS + MINUTE_NS // 2
    return ClockModel(hosts, first, at, none, none, none, np.zeros(len(host), np.bool_), ESTIMATES.empty_table())


def _model(hosts: pa.StringArray, found: Ints, step_row: Ints, step_at: Ints) -> ClockModel:
    """Offsets by each host's own time: rows of `spread` hold at the middle of their minute, `step_row` at `step_at` too."""
    host, minute, reference, low, high, samples, contested, offset = found.T
    uncertain = (contested > 0) | (offset < low) | (offset > high)
    knot = np.concatenate([np.arange(len(found)), step_row])
    at = np.concatenate([minute * MINUTE_NS + MINUTE_NS // 2 + offset, step_at])  # by the host's own clock
    order = np.lexsort((at, host[knot]))
    knot = knot[order]
    first = np.searchsorted(host[knot], np.arange(len(hosts) + 1)).astype(np.int64)
    estimates = pa.table(
        {
            "host": hosts.take(pa.array(host)),
            "minute": pa.array(minute * (MINUTE_NS // 1000)).cast(EVIDENCE.field("ts").type),
            "reference": hosts.take(pa.array(reference)),
            "offset_ns": offset,
            "low_ns": low,
            "high_ns": high,
            "samples": samples,
            "uncertain": uncertain,
        },
        schema=ESTIMATES,
    )
    return ClockModel(hosts, first, at[order], offset[knot], low[knot], high[knot], uncertain[knot], estimates)


@njit(cache=True)
def _look_up(host, start, first, at, offset, low, high, uncertain):  # type: ignore[no-untyped-def]
    out = np.zeros(len(start), np.int64)
    unsure = np.ones(len(start), np.bool_)
    for i in range(len(start)):
        h, t = host[i], start[i]
        if h < 0 or first[h] == first[h + 1]:
            continue
        begin, end = first[h], first[h + 1]
        right = begin + np.searchsorted(at[begin:end], t)
        left = max(right - 1, begin)
        right = min(right, end - 1)
        nearest = left if abs(t - at[left]) <= abs(at[right] - t) else right
        if abs(t - at[nearest]) > HORIZON_NS:
            continue
        out[i], unsure[i] = offset[nearest], uncertain[nearest]
        inside = left != right
        if not inside:  # before the first knot or after the last: on along the line of the two at this end, for a minute
            left, right = (begin, begin + 1) if right == begin else (end - 2, end - 1)
            if left < begin or right >= end:
                continue
            t = min(max(t, at[left] - MINUTE_NS), at[right] + MINUTE_NS)
        gap = at[right] - at[left]
        if gap == 0 or gap > HORIZON_NS or uncertain[left] or uncertain[right]:
            continue
        drift = int(gap * MAX_DRIFT)
        if low[right] - high[left] > drift or low[left] - high[right] > drift:
            unsure[i] |= inside  # the clock was set somewhere between
        elif inside or (offset[left] != 0 and offset[right] != 0):
            out[i] = offset[left] + int((offset[right] - offset[left]) * ((t - at[left]) / gap))
    return out, unsure
