"""Spans that share an identifier: copies of one span, of which one is kept, and the two halves of a call.

Whatever is decided here depends on the rows alone and not on their order, and deciding in steps (a kept row against
one more copy) gives what deciding at once gives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chalkmark.curate import columns, hashing, raw
from chalkmark.curate.columns import Codes, Ids
from chalkmark.curate.fingerprint import fingerprint
from chalkmark.curate.hashing import mix
from chalkmark.curate.reasons import bit
from chalkmark.curate.tree import SHARED_MARK
from chalkmark.tables.quality import Reason

Ints = npt.NDArray[np.int64]

_RECEIVING = [raw.KINDS.index("server"), raw.KINDS.index("consumer")]
_OF_TIMES = bit(Reason.END_BEFORE_START, Reason.DURATION_ABSURD)
"""These are true of the copy that is kept; every other reason is true of the span if it is of any copy."""

_DUPLICATE, _CONFLICT, _SHARED = bit(Reason.DUPLICATE), bit(Reason.DUPLICATE_CONFLICT), bit(Reason.SHARED_ID)


class Settled(NamedTuple):
    """Rows of the raw table: copies that go, and the halves of calls whose identifier was shared."""

    dropped: Ints
    client_halves: Ints
    server_halves: Ints


def unshare(trace: npt.NDArray[np.int32], span_id: Ids, parent_id: Ids, quality: Ints) -> None:
    """Give server halves, and the children that name them, the identifier back that they were sent with, in place.

    Curation gave server halves one of their own; spans that come back from the curated table still carry it, and
    copies that arrive late do not. `trace` tells traces apart.
    """
    halves = np.flatnonzero(quality & _SHARED)
    if not len(halves):
        return
    with np.errstate(over="ignore"):
        trace_key = mix(trace.astype(np.uint64))
        given = mix(span_id[halves] ^ trace_key[halves])
        children = np.isin(mix(parent_id ^ trace_key), given)
    parent_id[children] ^= SHARED_MARK
    span_id[halves] ^= SHARED_MARK


def settle(
    table: pa.Table, rows: Ints, key: Ints, kind: Codes, span_id: Ids, parent_id: Ids, quality: Ints, received: Ints
) -> Settled:
    """Decide between `rows` of the raw table, whose equal `key` says that they carry one identifier.

    A receiving span (server, consumer, or said to be the shared half by its tracer) and any other are two halves of a
    call: the receiving one gets an identifier of its own and the other one as its parent. Within a half, the copy that
    ends last is kept; equal ends are decided by content. Identifiers, reasons and times of arrival are updated in place.
    """
    few = table.take(pa.array(rows)).combine_chunks()
    receiving = np.isin(kind[rows], _RECEIVING) | _said_to_share(columns.array(few["attributes"]))
    content = _content(few, np.where(receiving, np.uint64(0), parent_id[rows]))
    end = columns.numbers(few["end_ns"])
    source, names = columns.codes(few["source"])
    order = np.lexsort((hashing.texts(names)[source], parent_id[rows], content, end, receiving, key))
    rows, key, receiving, content = rows[order], key[order], receiving[order], content[order]
    starts = np.flatnonzero(np.append(True, (key[1:] != key[:-1]) | (receiving[1:] != receiving[:-1])))
    half = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(rows))))
    kept = rows[np.append(starts[1:], len(rows)) - 1]

    several = np.bincount(half) > 1
    differs = np.logical_or.reduceat(content != content[starts][half], starts)
    reasons = np.bitwise_or.reduceat(quality[rows], starts)
    reasons |= np.where(several, np.where(differs, _CONFLICT, _DUPLICATE), 0)
    reasons &= ~np.where(reasons & _CONFLICT, _DUPLICATE, 0)
    reasons = (reasons & ~_OF_TIMES) | (quality[kept] & _OF_TIMES)
    quality[kept] = reasons
    received[kept] = np.minimum.reduceat(received[rows], starts)

    both = np.flatnonzero(key[starts][1:] == key[starts][:-1])  # the client half sorts before the server half
    clients, servers = kept[both], kept[both + 1]
    parent_id[servers] = span_id[servers]
    span_id[servers] ^= SHARED_MARK
    quality[servers] |= _SHARED
    return Settled(np.setdiff1d(rows, kept), clients, servers)


def _content(few: pa.Table, parent_id: Ids) -> Ints:
    """Fingerprint of each row, whichever form of its identifiers it carries: copies are known to agree on them.

    A server half's own parent is the client half, whatever it was sent, so the caller leaves that out.
    """
    none = np.zeros(len(few), np.uint64)
    known = {"trace_id": columns.binary(none, none), "span_id": columns.binary(none)}
    for name, ids in (known | {"parent_span_id": columns.binary(parent_id)}).items():
        few = few.set_column(few.schema.get_field_index(name), name, ids)
    return fingerprint(few, np.arange(len(few)))


def _said_to_share(attributes: pa.MapArray) -> npt.NDArray[np.bool_]:
    """Where the attribute `zipkin.shared` is true: the tracer of this half knew that it joined the caller's span."""
    said = pc.and_(pc.equal(attributes.keys, "zipkin.shared"), pc.equal(attributes.items, "true"))
    out = np.zeros(len(attributes), np.bool_)
    where = np.flatnonzero(said.fill_null(False).to_numpy(zero_copy_only=False))
    out[np.searchsorted(attributes.offsets.to_numpy(), where, "right") - 1] = True
    return out
