"""Whether two spans say the same: a hash over everything that was sent, whatever batch it came in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from chalkmark.curate import hashing
from chalkmark.curate.buffers import Bytes, Int32s, Int64s, list_offsets, text_buffers
from chalkmark.curate.columns import array, ids
from chalkmark.curate.hashing import Hashes, chain

_IDENTIFIERS = ("trace_id", "span_id", "parent_span_id")
_NUMBERS = ("start_ns", "end_ns", "flags")
_CODED = ("operation", "kind", "status", "sender")
_TEXTS = ("status_message", "attribute_types", "trace_state")
_PRIME = np.uint64(0x100000001B3)


def fingerprint(raw: pa.Table, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Hash of what the spans at `rows` of a RAW table say, in that order.

    Left out is how they came in (received_ns, source, quality) and what follows from the rest. A resent span has the
    fingerprint of its first copy, in any process and on any machine.
    """
    out = np.zeros(len(rows), np.uint64)
    for name in _IDENTIFIERS:
        for word in ids(array(raw[name]).take(pa.array(rows))):
            _add(out, word)
    for name in _NUMBERS:
        _add(out, array(raw[name]).to_numpy()[rows].astype(np.uint64))
    for name in _CODED:
        column = array(raw[name])
        codes, distinct = np.unique(column.indices.to_numpy()[rows], return_inverse=True)
        _add(out, hashing.texts(column.dictionary.take(pa.array(codes)))[distinct])
    for name in _TEXTS:
        column = array(raw[name])
        absent = column.is_null().to_numpy(zero_copy_only=False)[rows]
        _add_items(out, *text_buffers(column), np.arange(len(column) + 1, dtype=np.int32), rows)
        _add(out, absent.astype(np.uint64))
    attributes = array(raw["attributes"])
    for items in (attributes.keys, attributes.items):
        _add_items(out, *text_buffers(items), list_offsets(attributes), rows)
    return out.view(np.int64)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add(hashes: Hashes, values: Hashes) -> None:
    for i in range(hashes.size):
        hashes[i] = chain(hashes[i], values[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_items(hashes: Hashes, offsets: Int32s, data: Bytes, lists: Int32s, rows: Int64s) -> None:
    """Chains the texts of each row's list, and how many there are; FNV-1a (Fowler, Noll, Vo) within a text."""
    for i in range(rows.size):
        row = rows[i]
        value = hashes[i]
        for item in range(lists[row], lists[row + 1]):
            text = np.uint64(0xCBF29CE484222325)
            for k in range(offsets[item], offsets[item + 1]):
                text = (text ^ np.uint64(data[k])) * _PRIME
            value = chain(value, text)
        hashes[i] = chain(value, np.uint64(lists[row + 1] - lists[row]))
