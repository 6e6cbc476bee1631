"""Rows of the tables `shapes` and `shape_paths`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chalkmark.curate import columns
from chalkmark.curate.measure import Measured
from chalkmark.tables.shape_paths import SHAPE_PATHS
from chalkmark.tables.shapes import SHAPES


def rows(m: Measured) -> tuple[pa.Table, pa.Table]:
    """`shapes`, sorted by shape, and `shape_paths`, sorted by shape and path: those that occur in this part."""
    calls, occurrences = m.calls, m.occurrences
    shape, trace = np.unique(occurrences.shapes.view(np.int64), return_index=True)  # any trace of the shape tells its paths
    number = np.full(len(m.roots), -1)
    number[trace] = np.arange(len(trace))
    member = np.flatnonzero(number[occurrences.trace] >= 0)
    of_shape = number[occurrences.trace[member]]
    path, multiplicity = occurrences.path[member].view(np.int64), occurrences.multiplicity[member]
    order = np.lexsort((path, of_shape))
    of_shape, path, multiplicity, member = of_shape[order], path[order], multiplicity[order], member[order]
    first = np.searchsorted(of_shape, np.arange(len(shape)))
    root = m.roots[trace]
    return (
        columns.table(
            SHAPES,
            {
                "shape_id": shape,
                "root_service": columns.texts(m.service[root], m.services),
                "root_operation": columns.texts(m.operation[root], m.operations),
                "nodes": np.bincount(of_shape, minlength=len(shape)).astype(np.int32),
                "calls": np.add.reduceat(multiplicity, first).astype(np.int32),
                "depth": np.maximum.reduceat(calls.depth[occurrences.call[member]], first),
            },
        ),
        columns.table(SHAPE_PATHS, {"shape_id": shape[of_shape], "path_id": path, "multiplicity": multiplicity.astype(np.int32)}),
    )
