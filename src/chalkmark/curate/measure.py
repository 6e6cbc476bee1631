"""Assembled traces and a clock model -> everything that is computed about them, before it is written down as tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chalkmark.curate import columns, critical, hashing, raw, tree
from chalkmark.curate.assemble import Assembled, Flags, Ints
from chalkmark.curate.calls import Calls, calls
from chalkmark.curate.clock import ClockModel
from chalkmark.curate.columns import Codes, Ids
from chalkmark.curate.occurrences import Occurrences, occurrences
from chalkmark.curate.reasons import bit
from chalkmark.tables.quality import Reason

_ERROR = raw.STATUSES.index("error")
_SENDING = [raw.KINDS.index("producer"), raw.KINDS.index("consumer")]
_OPEN_ENDED = [raw.KINDS.index("unspecified"), raw.KINDS.index("internal")]

TOLERANCE_NS = 2_000
"""A child is outside its parent beyond this: what cutting both start and duration to whole microseconds can add up to."""

CLOCKS_TOLERANCE_NS = 100_000
"""The same for a start on another host: corrected clocks are known to about this (docs/journal/2026-11-clocks.md)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Spans by trace, within a trace by (adjusted start, identifier); traces by (adjusted start of root, identifier).

    Arrays named in the plural have one entry a trace, the others one a span. Times are ns.
    """

    assembled: Assembled
    order: Ints
    """The span of `assembled` that each span is."""
    offsets: Ints
    """Where each trace begins; one more entry says where the last ends."""
    trace: Ints
    """Index of each span's trace."""
    trace_highs: Ids
    trace_lows: Ids
    roots: Ints
    """The span that is the root of its trace, or stands for it."""
    completes: Flags
    """One root, and every parent that was named arrived."""
    reasons: Ints
    """Bits of Reason found in the trace."""
    parent: Ints
    sent_parent: Flags
    start: Ints
    """Adjusted."""
    end: Ints
    """Adjusted; can be before the start."""
    duration: Ints
    self_ns: Ints
    critical_ns: Ints
    quality: Ints
    """Bits of Reason."""
    error: Flags
    service: Codes
    """Index into `services`, which is sorted."""
    services: pa.Array
    operation: Codes
    operations: pa.Array
    calls: Calls
    occurrences: Occurrences
    began_us: Ints
    """Column `ts`: when each trace began; when its first span was received where its start is implausible."""
    weights: npt.NDArray[np.float64]


def measure(a: Assembled, clock: ClockModel | None = None) -> Measured:
    """Correct times by the clock model (None: leave them alone), measure spans, and find calls and paths."""
    offset, uncertain = _offsets(a, clock)
    order, offsets, by_start = _in_adjusted_order(a, offset)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    parent = a.parent[order]
    parent = np.where(parent == tree.NONE, tree.NONE, place[parent])
    sent_parent, kind, depth, host = a.sent_parent[order], a.kind[order], a.depth[order], a.host[order]
    start = a.start[order] - offset[order]
    end = a.end[order] - offset[order]
    trace = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    roots, rootless, trees = tree.roots(offsets, sent_parent, parent)

    rows = a.rows[order]
    (service, peer), services = columns.unified(
        *((codes[rows], texts) for codes, texts in (columns.codes(a.raw[name]) for name in ("service", "peer_service")))
    )
    operation, operations = columns.codes(a.raw["operation"])
    operation = operation[rows]

    first, child = critical.children(offsets, parent)
    top_down = tree.top_down(offsets, depth)
    self_ns, critical_ns = critical.times(first, child, top_down, roots, kind, service, start, end)
    duration = np.maximum(end - start, 0)
    found = calls(
        top_down,
        parent,
        kind,
        service,
        operation,
        peer,
        sent_parent,
        duration,
        hashing.texts(services),
        hashing.texts(operations),
    )

    other_host = (parent != tree.NONE) & (host != host[parent])
    before, after = _outside_parent(parent, kind, start, end, roots[trace], other_host)
    quality = a.quality[order]
    quality |= np.where(before, bit(Reason.STARTS_BEFORE_PARENT), 0) | np.where(after, bit(Reason.OUTLIVES_PARENT), 0)
    quality |= np.where(offset[order] != 0, bit(Reason.CLOCK_CORRECTED), 0)
    quality |= np.where(uncertain[order] & other_host & (before | after), bit(Reason.CLOCK_UNCERTAIN), 0)
    reasons = np.bitwise_or.reduceat(quality, offsets[:-1])
    reasons |= np.where(rootless == 0, bit(Reason.ROOT_MISSING), 0) | np.where(rootless > 1, bit(Reason.SEVERAL_ROOTS), 0)

    weight = columns.numbers(a.raw["weight"])[rows]
    received = np.minimum.reduceat(a.received[order], offsets[:-1])
    implausible = (quality[roots] & bit(Reason.TIME_IMPLAUSIBLE)) != 0
    return Measured(
        assembled=a,
        order=order,
        offsets=offsets,
        trace=trace,
        trace_highs=a.trace_highs[by_start],
        trace_lows=a.trace_lows[by_start],
        roots=roots,
        completes=(trees == 1) & (rootless == 1),
        reasons=reasons,
        parent=parent,
        sent_parent=sent_parent,
        start=start,
        end=end,
        duration=duration,
        self_ns=self_ns,
        critical_ns=critical_ns,
        quality=quality,
        error=columns.codes(a.raw["status"])[0][rows] == _ERROR,
        service=service,
        services=services,
        operation=operation,
        operations=operations,
        calls=found,
        occurrences=occurrences(found, trace[found.span], roots),
        began_us=np.where(implausible, received, start[roots]) // 1_000,
        weights=np.where(rootless > 0, weight[roots], np.maximum.reduceat(weight, offsets[:-1])),
    )


def _offsets(a: Assembled, clock: ClockModel | None) -> tuple[Ints, Flags]:
    """How far each span's clock was ahead, and whether that is uncertain."""
    if clock is None:
        return np.zeros(len(a.rows), np.int64), np.zeros(len(a.rows), np.bool_)
    host = pa.DictionaryArray.from_arrays(pa.array(a.host, mask=a.host < 0), a.hosts)
    return clock.offsets(host, a.start)


def _in_adjusted_order(a: Assembled, offset: Ints) -> tuple[Ints, Ints, Ints]:
    """Spans in their final order, where each trace begins in it, and traces in their final order."""
    order = np.arange(len(a.rows))
    start = a.start - offset
    if offset.any():
        tree.sort_traces(order, a.offsets, start, a.span_id)
    roots, _, _ = tree.roots(a.offsets, a.sent_parent[order], np.where(a.parent == tree.NONE, tree.NONE, 0)[order])
    by_start = np.lexsort((a.trace_lows, a.trace_highs, start[order][roots]))
    lengths = np.diff(a.offsets)[by_start]
    offsets = np.append(0, np.cumsum(lengths))
    return order[np.repeat(a.offsets[by_start] - offsets[:-1], lengths) + np.arange(len(order))], offsets, by_start


def _outside_parent(parent: Ints, kind: Codes, start: Ints, end: Ints, root: Ints, other_host: Flags) -> tuple[Flags, Flags]:
    """Children that start before their parent, and children that mostly lie after it although it waited for them.

    A server may finish its book-keeping after it has answered, so only one is at fault whose greater half comes late.
    Nobody waits for a message (producer, consumer), for a child that starts after its parent's end, or for one of
    unspecified or internal kind that goes on after the root: such children are asynchronous, and no fault is found.
    """
    has = parent != tree.NONE
    before = has & (start < start[parent] - np.where(other_host, CLOCKS_TOLERANCE_NS, TOLERANCE_NS))
    late = end - end[parent]
    after = has & (late > TOLERANCE_NS) & (late > (end - start) - late) & (start < end[parent])
    after &= ~np.isin(kind, _SENDING) & ~(np.isin(kind, _OPEN_ENDED) & (end > end[root]))
    return before, after
