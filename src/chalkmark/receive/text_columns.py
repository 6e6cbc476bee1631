"""Arrow text columns from positions: gathers texts that lie scattered over a request into one buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from chalkmark.receive.borrowed import copy, pointer
from chalkmark.receive.utf8 import is_valid, mended


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def gather(wire: Any, made: Any, places: Any, column: int, count: int) -> Any:
    """The texts that the rows of `places` name in columns `column` (position) and the next (size).

    A negative position p lies in `made` at -1 - p, which holds nothing but UTF-8. Returns Arrow's offsets and data, and
    which texts were not UTF-8 and have been mended (an empty array where all were).
    """
    offsets = np.empty(count + 1, np.int32)
    total = np.int64(0)
    for i in range(count):
        offsets[i] = total
        total += places[i, column + 1]
    offsets[count] = total
    data = np.empty(total, np.uint8)
    source, own, out = pointer(wire), pointer(made[:, 0]), pointer(data)
    for i in range(count):
        start = np.int64(places[i, column])
        size = np.int64(places[i, column + 1])
        if start >= 0:
            copy(out, np.int64(offsets[i]), source, start, size)
        else:
            copy(out, np.int64(offsets[i]), own, -1 - start, size)
    seen = np.uint8(0)
    for i in range(total):
        seen |= out[i]
    broken = np.zeros(0, np.bool_)
    if seen < 128:
        return offsets, data, broken
    more = np.int64(0)
    for i in range(count):
        if places[i, column] >= 0 and not is_valid(data, offsets[i], offsets[i + 1]):
            if more == 0:
                broken = np.zeros(count, np.bool_)
            broken[i] = True
            more += 2 * (offsets[i + 1] - offsets[i])
    if more == 0:
        return offsets, data, broken
    clean = np.empty(total + more, np.uint8)
    at = np.int64(0)
    for i in range(count):
        start, stop = offsets[i], offsets[i + 1]
        offsets[i] = at
        at = mended(data, start, stop, clean, at)
    offsets[count] = at
    return offsets, clean[:at], broken
