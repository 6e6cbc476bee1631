"""The shapes that are stored already: `shapes` and `shape_paths` hold each structure once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from chalkmark.tables.lake import Lake


class ShapeIndex:
    """Identifiers of the stored shapes, sorted. `add` is to be called once what was filtered is committed."""

    def __init__(self, lake: Lake) -> None:
        stored = [pq.read_table(f, columns=["shape_id"], partitioning=None)["shape_id"] for f in lake.files("shapes")]
        self._known: npt.NDArray[np.int64] = np.unique(np.concatenate([s.to_numpy() for s in stored] or [np.empty(0, np.int64)]))

    def new(self, rows: pa.Table) -> pa.Table:
        """The rows of `shapes` or `shape_paths` whose shape is not known yet."""
        return rows.filter(pa.array(np.isin(rows["shape_id"].to_numpy(), self._known, invert=True)))

    def add(self, shapes: pa.Table) -> None:
        """Remember shapes."""
        self._known = np.union1d(self._known, shapes["shape_id"].to_numpy())
