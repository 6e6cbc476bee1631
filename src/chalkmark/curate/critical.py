"""Critical and self time: who is responsible for each instant of a trace.

The critical path walks back from the end of the root. Of a span's children the one that ends last takes over, for as
long as it lasts within its parent; the time between belongs to the parent; then the child that ends last before that
one began, and so on, and the same within each child. So at every instant of the root exactly one span is responsible,
and critical times sum to the root's duration.

- Children that touch are a sequence: one may end in the very instant in which the next begins.
- Children that overlap a little are a sequence too, since clocks are not better than that: by at most 1 % of their
  parent (the bound that CRISP uses) and at most a tenth of the shorter one, without which many short parallel calls
  under a long parent pass for a sequence. Both keep their whole duration, and the time they share is taken from the
  gap before them.
- What a child does outside its parent is on nobody's path.
- A message is not waited for: what a consumer does is off the path of its producer, and of any other service.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from chalkmark.curate import raw
from chalkmark.curate.tree import NONE, SHORT

OVERLAP_OF_PARENT = 100
OVERLAP_OF_SIBLING = 10
"""Siblings are a sequence where they overlap by at most these fractions (1 / n)."""

_PRODUCER, _CONSUMER = raw.KINDS.index("producer"), raw.KINDS.index("consumer")


@njit(cache=True, inline="always")
def asynchronous(kind, parent_kind, same_service):  # type: ignore[no-untyped-def]
    """Whether a child is a message's consumer, whom its parent cannot wait for: a poll within one service it can."""
    return kind == _CONSUMER and (parent_kind == _PRODUCER or not same_service)


@njit(cache=True)
def children(offsets, parent):  # type: ignore[no-untyped-def]
    """Children of each span, in the order of their rows: `child[first[i]:first[i + 1]]`."""
    first = np.zeros(parent.size + 1, np.int64)
    for i in range(parent.size):
        if parent[i] != NONE:
            first[parent[i] + 1] += 1
    for i in range(parent.size):
        first[i + 1] += first[i]
    fill = first[:-1].copy()
    child = np.empty(first[-1], np.int64)
    for i in range(parent.size):
        if parent[i] != NONE:
            child[fill[parent[i]]] = i
            fill[parent[i]] += 1
    return first, child


@njit(cache=True)
def _last_ending_first(child, a, b, end):  # type: ignore[no-untyped-def]
    """Sort child[a:b] by end, descending; equal ends stay as they were (earliest start, then identifier)."""
    if b - a <= SHORT:
        for i in range(a + 1, b):
            c = child[i]
            j = i - 1
            while j >= a and end[child[j]] < end[c]:
                child[j + 1] = child[j]
                j -= 1
            child[j + 1] = c
    else:
        part = child[a:b].copy()
        child[a:b] = part[np.argsort(-end[part], kind="mergesort")]


@njit(cache=True)
def times(first, child, top_down, roots, kind, service, start, end):  # type: ignore[no-untyped-def]
    """Self and critical time (ns) of each span; rows of a trace are sorted by (start, span identifier).

    `top_down` lists parents before their children. Critical time is 0 outside the trees of `roots`.
    """
    n = start.size
    self_ns = np.zeros(n, np.int64)
    critical_ns = np.zeros(n, np.int64)
    # The window in which a span is on the critical path; empty where it is not.
    window_start = np.zeros(n, np.int64)
    window_end = np.zeros(n, np.int64)
    for r in roots:
        window_start[r] = start[r]
        window_end[r] = max(start[r], end[r])
    for u in top_down:
        if end[u] <= start[u]:
            continue
        a, b = first[u], first[u + 1]
        _last_ending_first(child, a, b, end)
        low, high = window_start[u], window_end[u]
        allowed = (high - low) // OVERLAP_OF_PARENT
        at = high  # where the walk is, overlaps taken off
        began, lasted = high, high - low  # the child that was taken last
        covered = np.int64(0)
        earliest = end[u]
        for k in range(a, b):
            c = child[k]
            s, e = max(start[c], start[u]), min(end[c], earliest)
            if s < e:  # ends come in descending order, so what is covered beyond `earliest` holds no gap for this one
                covered += e - s
                earliest = s
            s, e = max(start[c], low), min(end[c], high)
            if s >= e or asynchronous(kind[c], kind[u], service[c] == service[u]):
                continue
            overlap = e - began
            if overlap > 0 and (overlap > allowed or overlap > min(e - s, lasted) // OVERLAP_OF_SIBLING):
                continue
            until = min(e, at)
            since = max(until - (e - s), low)
            critical_ns[u] += at - until
            began, lasted = s, e - s
            window_start[c], window_end[c] = e - (until - since), e
            at = since
        self_ns[u] = end[u] - start[u] - covered
        critical_ns[u] += at - low
    return self_ns, critical_ns
