"""Files of the lake as their writers read them: whole, and cut by hour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from chalkmark.tables import TABLES

_US_PER_HOUR = 3_600_000_000


def read(path: str, table: str) -> pa.Table:
    """One file of a table, with the table's own schema."""
    return pq.read_table(path, partitioning=None).cast(TABLES[table].schema)


def hours(table: pa.Table) -> npt.NDArray[np.int64]:
    """The hour of each row's `ts`, in hours since the epoch."""
    hour: npt.NDArray[np.int64] = table["ts"].cast(pa.int64()).to_numpy() // _US_PER_HOUR
    return hour


def slice_where(table: pa.Table, mask: npt.NDArray[np.bool_]) -> pa.Table:
    """The rows where `mask` holds; no copy where that is all or one run of them."""
    count = int(np.count_nonzero(mask))
    if count == 0:
        return table.slice(0, 0)
    first = int(np.argmax(mask))
    if mask[first : first + count].all():
        return table.slice(first, count)
    return table.filter(pa.array(mask))
