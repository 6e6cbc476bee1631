"""Quality reasons as bits: what curation computes on, and the text lists that the tables hold.

A list column of texts costs more than everything else that is known about a span, and nearly all lists are empty.
So while spans are computed on, each Reason is one bit of an int64.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chalkmark.errors import ChalkmarkError
from chalkmark.tables.quality import Reason

_REASONS = tuple(Reason)
_TEXTS = pa.array([str(r) for r in _REASONS])
_BITS = {reason: 1 << i for i, reason in enumerate(_REASONS)}
_LISTS = pa.list_(pa.string())
assert len(_REASONS) < 63


def bit(*reasons: Reason) -> int:
    """The bits of `reasons`. Bits hold within one process only; what is stored is the text."""
    return sum({_BITS[r] for r in reasons})


def masks(lists: pa.Array) -> npt.NDArray[np.int64]:
    """The bits of each list of reasons (list<string>, null counts as empty); ChalkmarkError for a reason there is none of."""
    out = np.zeros(len(lists), np.int64)
    texts = lists.flatten()
    if len(texts):
        codes = pc.index_in(texts, _TEXTS)
        if codes.null_count:
            name = texts.filter(codes.is_null())[0].as_py()
            raise ChalkmarkError(
                f"quality: {name!r} is no known reason", "The data was written by a newer Chalkmark; upgrade this one."
            )
        np.bitwise_or.at(out, pc.list_parent_indices(lists).to_numpy(), np.int64(1) << codes.to_numpy().astype(np.int64))
    return out


def lists(masks: npt.NDArray[np.int64]) -> pa.Array:
    """The reasons in each mask as list<string>, sorted by name."""
    marked = np.flatnonzero(masks)
    distinct, codes = np.unique(masks[marked], return_inverse=True)
    texts = [sorted(str(r) for r in _REASONS if int(mask) & _BITS[r]) for mask in distinct]
    offsets = np.zeros(len(masks) + 1, np.int32)
    offsets[marked + 1] = np.array([len(t) for t in texts], np.int32)[codes]
    return pa.ListArray.from_arrays(np.cumsum(offsets, dtype=np.int32), pa.array(texts, _LISTS).take(pa.array(codes)).flatten())
