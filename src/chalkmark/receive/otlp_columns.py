"""The columns of fixed width of what the walk found, for compiled code: one pass, and nothing of the walk's own memory in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from chalkmark.receive import otlp_walk as w
from chalkmark.receive.borrowed import Int


class SpanColumns(NamedTuple):
    """A row a span, except for the offsets, which are Arrow's and have one more."""

    trace_ids: np.ndarray
    """uint8[spans, 16]."""
    span_ids: np.ndarray
    """uint8[spans, 8]."""
    parent_ids: np.ndarray
    """uint8[spans, 8]."""
    with_parent: np.ndarray
    """Arrow's bitmap of the spans that have a parent."""
    kind: np.ndarray
    start: np.ndarray
    end: np.ndarray
    status: np.ndarray
    flags: np.ndarray
    """int32: the bits of an unsigned number."""
    sender: np.ndarray
    marks: np.ndarray
    attribute_offsets: np.ndarray
    annotation_offsets: np.ndarray
    letters: np.ndarray
    """uint8: the type of every attribute."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def span_columns(ids: Any, spans: Any, n: Int, attributes: Any, m: Int, latest: Int) -> Any:
    """`SpanColumns` of `n` spans with `m` attributes. Starts after `latest`, in ns, or before 2000 are marked as implausible."""
    trace_ids = np.empty((n, 16), np.uint8)
    span_ids = np.empty((n, 8), np.uint8)
    parent_ids = np.empty((n, 8), np.uint8)
    with_parent = np.zeros((n + 7) // 8, np.uint8)
    kind = np.empty(n, np.int8)
    start = np.empty(n, np.int64)
    end = np.empty(n, np.int64)
    status = np.empty(n, np.int8)
    flags = np.empty(n, np.int32)
    sender = np.empty(n, np.int32)
    marks = np.empty(n, np.int64)
    attribute_offsets = np.zeros(n + 1, np.int32)
    annotation_offsets = np.zeros(n + 1, np.int32)
    for i in range(n):
        for j in range(16):
            trace_ids[i, j] = ids[i, j]
        parent = np.uint8(0)
        for j in range(8):
            span_ids[i, j] = ids[i, 16 + j]
            parent_ids[i, j] = ids[i, 24 + j]
            parent |= ids[i, 24 + j]
        if parent:
            with_parent[i // 8] |= np.uint8(1 << (i % 8))
        kind[i] = spans[i, w.KIND]
        start[i] = spans[i, w.START]
        end[i] = spans[i, w.END]
        status[i] = spans[i, w.STATUS]
        flags[i] = spans[i, w.FLAGS]
        sender[i] = spans[i, w.SENDER]
        marks[i] = spans[i, w.MARKS]
        if start[i] < w.Y2000_NS or start[i] > latest:
            marks[i] |= w.TIME_IMPLAUSIBLE
        attribute_offsets[i + 1] = spans[i, w.LAST_ATTRIBUTE]
        annotation_offsets[i + 1] = spans[i, w.LAST_ANNOTATION]
    letters = np.empty(m, np.uint8)
    for i in range(m):
        letters[i] = attributes[i, w.LETTER]
    return (
        trace_ids,
        span_ids,
        parent_ids,
        with_parent,
        kind,
        start,
        end,
        status,
        flags,
        sender,
        marks,
        attribute_offsets,
        annotation_offsets,
        letters,
    )
