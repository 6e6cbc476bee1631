"""Trees of spans: kernels that order the spans of each trace and find their parents, rings and depths.

Rows of a trace lie side by side; `offsets` says where each trace begins. Nothing is recursive, and nothing is
quadratic: a trace of a million spans, a thousand deep and ten thousand wide, costs as much as many small ones.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from chalkmark.curate.hashing import U64, mix

NONE = -1
SENT_NONE, RESOLVED, MISSING, SELF, CYCLE = 0, 1, 2, 3, 4
"""What became of a span's parent."""

SHARED_MARK = U64(0x5A_7E_D1_D0_00_00_00_01)
"""Told apart from the client half's by this XOR, a server half's identifier can be turned back into the one sent."""

SHORT = 24
"""Up to here insertion sort beats a sort with temporary arrays."""


@njit(cache=True)
def sort_traces(rows, offsets, start, span_id):  # type: ignore[no-untyped-def]
    """Sort the rows of each trace by (start, span identifier), in place. Both keys are indexed by row."""
    for t in range(offsets.size - 1):
        a, b = offsets[t], offsets[t + 1]
        if b - a <= SHORT:
            for i in range(a + 1, b):
                r = rows[i]
                j = i - 1
                while j >= a and (start[rows[j]] > start[r] or (start[rows[j]] == start[r] and span_id[rows[j]] > span_id[r])):
                    rows[j + 1] = rows[j]
                    j -= 1
                rows[j + 1] = r
        else:
            part = rows[a:b].copy()
            part = part[np.argsort(span_id[part], kind="mergesort")]
            rows[a:b] = part[np.argsort(start[part], kind="mergesort")]


@njit(cache=True)
def same_ids(offsets, span_id):  # type: ignore[no-untyped-def]
    """For each row of a trace the first row with the same span identifier, and how many rows are not the first."""
    first = np.arange(span_id.size)
    table = np.empty(16, np.int64)
    repeats = 0
    for t in range(offsets.size - 1):
        a, b = offsets[t], offsets[t + 1]
        if b - a < 2:
            continue
        table = _cleared(table, b - a)
        mask = U64(table.size - 1)
        for i in range(a, b):
            slot = mix(span_id[i]) & mask
            while table[slot] >= 0 and span_id[table[slot]] != span_id[i]:
                slot = (slot + U64(1)) & mask
            if table[slot] < 0:
                table[slot] = i
            else:
                first[i] = table[slot]
                repeats += 1
    return first, repeats


@njit(cache=True)
def _cleared(table, spans):  # type: ignore[no-untyped-def]
    """An empty hash table for so many spans; the memory of `table` where it fits exactly, so that most traces share it."""
    capacity = 4
    while capacity < 2 * spans:
        capacity *= 2
    if table.size != capacity:
        return np.full(capacity, -1, np.int64)
    table[:] = -1
    return table


@njit(cache=True, inline="always")
def _find(table, span_id, wanted):  # type: ignore[no-untyped-def]
    mask = U64(table.size - 1)
    slot = mix(wanted) & mask
    while table[slot] >= 0:
        if span_id[table[slot]] == wanted:
            return table[slot]
        slot = (slot + U64(1)) & mask
    return np.int64(NONE)


@njit(cache=True)
def link(offsets, span_id, parent_id, service, server_half, has_server_half, malformed):  # type: ignore[no-untyped-def]
    """Parent row (-1: none), what became of the parent, and depth of each span; rings are cut at their earliest span.

    A child that names an identifier which client and server share follows the half of its own service: the server
    half where that is its service, else the client half where that is, else the server half.
    """
    n = span_id.size
    parent = np.full(n, NONE, np.int64)
    fate = np.zeros(n, np.int8)
    depth = np.full(n, -1, np.int32)
    walk = np.full(n, -1, np.int64)  # the span from which an unfinished walk upwards came through here
    trail = np.empty(16, np.int64)
    table = np.empty(16, np.int64)
    for t in range(offsets.size - 1):
        a, b = offsets[t], offsets[t + 1]
        table = _cleared(table, b - a)
        mask = U64(table.size - 1)
        for i in range(a, b):
            slot = mix(span_id[i]) & mask
            while table[slot] >= 0:
                slot = (slot + U64(1)) & mask
            table[slot] = i
        for i in range(a, b):
            wanted = parent_id[i]
            if wanted == 0:
                fate[i] = MISSING if malformed[i] else SENT_NONE
                continue
            if wanted == span_id[i]:
                fate[i] = SELF
                continue
            p = _find(table, span_id, wanted)
            if p == NONE:
                fate[i] = MISSING
                continue
            if has_server_half[p] and not server_half[i]:
                other = _find(table, span_id, wanted ^ SHARED_MARK)
                if service[other] == service[i] or service[p] != service[i]:
                    p = other
            parent[i] = p
            fate[i] = RESOLVED
        for i in range(a, b):
            # Walk up to a span whose depth is known, then down again; spans are sorted by start, so mostly one step.
            length = 0
            u = i
            while depth[u] < 0:
                if walk[u] == i:  # met this very walk: a ring
                    earliest = u
                    v = parent[u]
                    while v != u:
                        if v < earliest:
                            earliest = v
                        v = parent[v]
                    parent[earliest] = NONE
                    fate[earliest] = CYCLE
                    depth[earliest] = 0
                    u = earliest
                    break
                walk[u] = i
                if length == trail.size:
                    longer = np.empty(2 * length, np.int64)
                    longer[:length] = trail
                    trail = longer
                trail[length] = u
                length += 1
                if parent[u] == NONE:
                    depth[u] = 0
                    break
                u = parent[u]
            for k in range(length - 1, -1, -1):
                v = trail[k]
                if depth[v] < 0 and depth[parent[v]] >= 0:
                    depth[v] = depth[parent[v]] + 1
            # Below a cut the trail passes the cut span first: what lies before it on the trail is done in a second pass.
            for k in range(length - 1, -1, -1):
                v = trail[k]
                if depth[v] < 0:
                    depth[v] = depth[parent[v]] + 1
    return parent, fate, depth


@njit(cache=True)
def roots(offsets, sent_parent, parent):  # type: ignore[no-untyped-def]
    """The root of each trace, how many spans were sent without a parent, and how many trees there are.

    The root is the first span without a parent; where there is none, the top of the first tree.
    """
    root = np.full(offsets.size - 1, NONE, np.int64)
    rootless = np.zeros(offsets.size - 1, np.int64)
    trees = np.zeros(offsets.size - 1, np.int64)
    for t in range(offsets.size - 1):
        for i in range(offsets[t], offsets[t + 1]):
            if parent[i] != NONE:
                continue
            if trees[t] == 0 or (rootless[t] == 0 and not sent_parent[i]):
                root[t] = i
            trees[t] += 1
            rootless[t] += not sent_parent[i]
    return root, rootless, trees


@njit(cache=True)
def top_down(offsets, depth):  # type: ignore[no-untyped-def]
    """The spans of each trace in an order in which parents come before their children (counting sort by depth)."""
    out = np.empty(depth.size, np.int64)
    fill = np.zeros(16, np.int64)
    for t in range(offsets.size - 1):
        a, b = offsets[t], offsets[t + 1]
        deepest = 0
        for i in range(a, b):
            deepest = max(deepest, depth[i])
        if fill.size < deepest + 2:
            fill = np.zeros(2 * deepest + 2, np.int64)
        fill[: deepest + 2] = 0
        for i in range(a, b):
            fill[depth[i] + 1] += 1
        for d in range(deepest):
            fill[d + 1] += fill[d]
        for i in range(a, b):
            out[a + fill[depth[i]]] = i
            fill[depth[i]] += 1
    return out
