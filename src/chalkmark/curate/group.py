"""Which rows are of one trace: hash grouping by trace identifier, in one pass and without sorting the rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from chalkmark.curate.columns import Ids
from chalkmark.curate.hashing import GOLDEN, U64, mix

Ints = npt.NDArray[np.int64]


@njit(cache=True)
def _grow(high, low, groups):  # type: ignore[no-untyped-def]
    """A hash table of twice the size with the same groups in it."""
    capacity = 2 * high.size
    mask = U64(capacity - 1)
    table = np.full(capacity, -1, np.int32)
    bigger_high = np.empty(capacity, np.uint64)
    bigger_low = np.empty(capacity, np.uint64)
    bigger_high[:groups] = high[:groups]
    bigger_low[:groups] = low[:groups]
    for g in range(groups):
        slot = mix(high[g] ^ (low[g] * GOLDEN)) & mask
        while table[slot] >= 0:
            slot = (slot + U64(1)) & mask
        table[slot] = g
    return table, bigger_high, bigger_low


@njit(cache=True)
def group(high, low):  # type: ignore[no-untyped-def]
    """Group number of each row, and the two halves of each group's identifier; numbered by first appearance."""
    capacity = 1 << 12
    table = np.full(capacity, -1, np.int32)
    group_high = np.empty(capacity, np.uint64)
    group_low = np.empty(capacity, np.uint64)
    out = np.empty(high.size, np.int32)
    groups = 0
    for i in range(high.size):
        h = high[i]
        l = low[i]  # noqa: E741
        slot = mix(h ^ (l * GOLDEN)) & U64(table.size - 1)
        while True:
            g = table[slot]
            if g < 0:
                g = groups
                table[slot] = g
                group_high[g] = h
                group_low[g] = l
                groups += 1
                break
            if group_low[g] == l and group_high[g] == h:
                break
            slot = (slot + U64(1)) & U64(table.size - 1)
        out[i] = g
        if 2 * groups > table.size:
            table, group_high, group_low = _grow(group_high, group_low, groups)
    return out, group_high[:groups].copy(), group_low[:groups].copy()


@njit(cache=True)
def group_within(trace, key):  # type: ignore[no-untyped-def]
    """Group number of each row, and the trace and key of each group, for rows whose traces are side by side.

    Numbered by first appearance, like `group`, but with a table as small as a trace: it stays in the cache.
    """
    out = np.empty(key.size, np.int64)
    first = np.empty(key.size, np.int64)  # the first row of each group
    table = np.full(16, -1, np.int64)
    groups = 0
    a = 0
    while a < key.size:
        b = a + 1
        while b < key.size and trace[b] == trace[a]:
            b += 1
        capacity = 4
        while capacity < 2 * (b - a):
            capacity *= 2
        if capacity > table.size:
            table = np.empty(capacity, np.int64)
        table[:capacity] = -1
        mask = U64(capacity - 1)
        for i in range(a, b):
            slot = mix(key[i]) & mask
            while table[slot] >= 0 and key[first[table[slot]]] != key[i]:
                slot = (slot + U64(1)) & mask
            if table[slot] < 0:
                table[slot] = groups
                first[groups] = i
                groups += 1
            out[i] = table[slot]
        a = b
    return out, first[:groups].copy()


def widened(high: Ids, low: Ids) -> npt.NDArray[np.int32]:
    """For each identifier, the position of the one that stands for its trace.

    A 64-bit identifier (high half 0) stands for the 128-bit one with the same low half, if there is exactly one such:
    tracers that know 64 bits only cut the identifier that they were handed. Everything else stands for itself.
    """
    own = np.arange(len(high), dtype=np.int32)
    short = np.flatnonzero(high == 0)
    if not len(short) or len(short) == len(high):
        return own
    wide = np.flatnonzero(high != 0)
    wide = wide[np.argsort(low[wide], kind="stable")]
    first = np.searchsorted(low[wide], low[short], "left")
    one = np.searchsorted(low[wide], low[short], "right") - first == 1
    own[short[one]] = wide[first[one]]
    return own


@njit(cache=True)
def earliest(groups, start, count):  # type: ignore[no-untyped-def]
    """Earliest start in each group."""
    out = np.full(count, np.iinfo(np.int64).max, np.int64)
    for i in range(groups.size):
        if start[i] < out[groups[i]]:
            out[groups[i]] = start[i]
    return out


@njit(cache=True)
def gather(groups, rank, keep):  # type: ignore[no-untyped-def]
    """Kept rows in the order of their groups' rank, and where each rank begins (counting sort)."""
    offsets = np.zeros(rank.size + 1, np.int64)
    for i in range(groups.size):
        if keep[i]:
            offsets[rank[groups[i]] + 1] += 1
    for g in range(rank.size):
        offsets[g + 1] += offsets[g]
    fill = offsets[:-1].copy()
    rows = np.empty(offsets[-1], np.int64)
    for i in range(groups.size):
        if keep[i]:
            r = rank[groups[i]]
            rows[fill[r]] = i
            fill[r] += 1
    return rows, offsets
