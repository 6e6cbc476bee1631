"""Sums over groups, exact in int64 (NumPy's own are either in float64 or many times slower)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

Ints = npt.NDArray[np.int64]


@njit(cache=True)
def total(groups, values, count):  # type: ignore[no-untyped-def]
    """Sum of the values in each group; int64, or float64 for floats, added up in the order of the rows."""
    out = np.zeros(count, values.dtype)
    for i in range(groups.size):
        out[groups[i]] += values[i]
    return out


def known_total(groups: Ints, values: Ints, known: npt.NDArray[np.bool_], count: int) -> pa.Array:
    """Sum of the known values in each group; null where there is none."""
    sums = total(groups, np.where(known, values, 0), count)
    return pa.array(sums, mask=np.bincount(groups[known], minlength=count) == 0)


def firsts(groups: npt.NDArray[Any], count: int) -> Ints:
    """The first row of each group; groups are numbered by first appearance."""
    out = np.empty(count, np.int64)
    out[groups[::-1]] = np.arange(len(groups))[::-1]
    return out
