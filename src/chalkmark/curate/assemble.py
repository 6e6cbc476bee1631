"""Raw spans -> traces: grouped, deduplicated, linked to their parents. Of times only the order matters here.

This is the half of curation that needs no clock: what it finds (who is whose parent, on which host, when) is the
evidence that clocks are estimated from, over many traces, before `part.measure` goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chalkmark.curate import columns, copies, group, tree
from chalkmark.curate.columns import Codes, Ids
from chalkmark.curate.reasons import bit
from chalkmark.tables.quality import Reason

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

EARLIEST_NS, LATEST_NS = -(1 << 61), 1 << 62
"""Times are computed with as if they lay between 1896 and 2116, so that no difference of two overflows."""

_PARENT_REASONS = np.zeros(5, np.int64)
_PARENT_REASONS[tree.MISSING] = bit(Reason.PARENT_MISSING)
_PARENT_REASONS[tree.SELF] = bit(Reason.PARENT_SELF)
_PARENT_REASONS[tree.CYCLE] = bit(Reason.PARENT_CYCLE)

_DEPENDS_ON_OTHERS = bit(
    Reason.SHARED_ID,
    Reason.PARENT_MISSING,
    Reason.PARENT_SELF,
    Reason.PARENT_CYCLE,
    Reason.ROOT_MISSING,
    Reason.SEVERAL_ROOTS,
    Reason.STARTS_BEFORE_PARENT,
    Reason.OUTLIVES_PARENT,
    Reason.CLOCK_CORRECTED,
    Reason.CLOCK_UNCERTAIN,
)
"""What other spans decide: a span that comes back from the curated table loses these, to be found again or not."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """Spans by trace, within a trace by (start, span identifier); traces by (earliest start, trace identifier).

    Arrays named in the plural have one entry a trace, the others one a span.
    """

    raw: pa.Table
    rows: Ints
    """The row of `raw` that each span is."""
    offsets: Ints
    """Where each trace begins; one more entry says where the last ends."""
    trace_highs: Ids
    trace_lows: Ids
    roots: Ints
    """The span that is the root of its trace, or stands for it: the earliest, by raw times, of those without a parent."""
    span_id: Ids
    parent_id: Ids
    """The parent's identifier, 0 where none was sent; that of the right half where client and server shared one."""
    parent: Ints
    """The parent's index, -1 at the top of a tree."""
    depth: npt.NDArray[np.int32]
    sent_parent: Flags
    """False at a root: no parent was sent."""
    kind: Codes
    """Index into raw.KINDS."""
    host: Codes
    """Index into `hosts`; -1 where unknown."""
    hosts: pa.Array
    start: Ints
    """Raw, ns since the epoch."""
    end: Ints
    """Raw, ns since the epoch; can be before the start."""
    quality: Ints
    """Bits of Reason."""
    received: Ints
    """When the first copy arrived, ns since the epoch."""

    @property
    def trace(self) -> Ints:
        """Index of each span's trace."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def assemble(table: pa.Table) -> Assembled:
    """Group spans by trace, keep one of each, find parents, rings and roots.

    `table` has the schema raw.RAW and holds whole traces; neither the order of its rows nor how they were batched matters.
    """
    table = table.combine_chunks()
    high, low = columns.ids(table["trace_id"])
    trace, highs, lows = group.group(high, low)
    stands_for = group.widened(highs, lows)
    joined = np.flatnonzero(stands_for != np.arange(len(highs)))
    if len(joined):
        trace = stands_for[trace]
    start = np.clip(columns.numbers(table["start_ns"]), EARLIEST_NS, LATEST_NS)
    end = np.clip(columns.numbers(table["end_ns"]), EARLIEST_NS, LATEST_NS)
    (span_id,) = columns.ids(table["span_id"])
    (parent_id,) = columns.ids(table["parent_span_id"])
    kind, _ = columns.codes(table["kind"])
    service, _ = columns.codes(table["service"])
    quality = columns.numbers(table["quality"]).copy()
    received = columns.numbers(table["received_ns"]).copy()

    copies.unshare(trace, span_id, parent_id, quality)
    quality &= ~_DEPENDS_ON_OTHERS
    by_start = np.lexsort((lows, highs, group.earliest(trace, start, len(highs))))
    rank = np.empty(len(highs), np.int64)
    rank[by_start] = np.arange(len(highs))
    kept = np.ones(len(trace), np.bool_)
    server_half = np.zeros(len(trace), np.bool_)
    has_server_half = np.zeros(len(trace), np.bool_)
    rows, offsets = group.gather(trace, rank, kept)
    first, repeats = tree.same_ids(offsets, span_id[rows])
    if repeats:
        again = np.flatnonzero(np.bincount(first, minlength=len(first))[first] > 1)
        settled = copies.settle(table, rows[again], first[again], kind, span_id, parent_id, quality, received)
        kept[settled.dropped] = False
        server_half[settled.server_halves] = True
        has_server_half[settled.client_halves] = True
        rows, offsets = group.gather(trace, rank, kept)

    tree.sort_traces(rows, offsets, start, span_id)
    span_id, parent_id, quality = span_id[rows], parent_id[rows], quality[rows]
    malformed = (quality & bit(Reason.PARENT_ID_MALFORMED)) != 0
    parent, fate, depth = tree.link(
        offsets, span_id, parent_id, service[rows], server_half[rows], has_server_half[rows], malformed
    )
    resolved = parent >= 0
    parent_id[resolved] = span_id[parent[resolved]]
    start, end = start[rows], end[rows]
    quality |= _PARENT_REASONS[fate]

    # A trace that stands for another has its rows; the other one has none left and goes.
    occupied = np.flatnonzero(np.diff(offsets))
    offsets = np.append(offsets[occupied], offsets[-1])
    highs, lows = highs[by_start][occupied], lows[by_start][occupied]
    sent_parent = fate != tree.SENT_NONE
    roots, _, _ = tree.roots(offsets, sent_parent, parent)
    mixed = np.zeros(len(rank), np.bool_)
    mixed[stands_for[joined]] = True
    said_before = np.bitwise_or.reduceat(quality, offsets[:-1]) & bit(Reason.TRACE_ID_MIXED)
    mixed_reason = np.where(mixed[by_start][occupied], bit(Reason.TRACE_ID_MIXED), said_before)
    quality |= np.repeat(mixed_reason, np.diff(offsets))
    host, hosts = columns.codes(table["host"])
    return Assembled(
        raw=table,
        rows=rows,
        offsets=offsets,
        trace_highs=highs,
        trace_lows=lows,
        roots=roots,
        span_id=span_id,
        parent_id=parent_id,
        parent=parent,
        depth=depth,
        sent_parent=sent_parent,
        kind=kind[rows],
        host=host[rows],
        hosts=hosts,
        start=start,
        end=end,
        quality=quality,
        received=received[rows],
    )
