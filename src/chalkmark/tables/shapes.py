"""`shapes`: the distinct structures that traces have."""

import pyarrow as pa

from chalkmark.tables.spec import Column, TableSpec

SHAPES = TableSpec(
    name="shapes",
    grain="one row a distinct tree of calls (sibling repeats collapsed, multiplicity kept)",
    doc="Two traces have one shape when the same calls happened along the same paths, the same number of times.",
    key=("shape_id",),
    partitioned=False,
    columns=(
        Column("shape_id", pa.int64(), "Hash of the structure."),
        Column("root_service", pa.string(), "Service of the root call."),
        Column("root_operation", pa.string(), "Operation of the root call."),
        Column("nodes", pa.int32(), "Number of distinct call paths in the tree.", "paths"),
        Column("calls", pa.int32(), "Number of calls, the root's included.", "calls"),
        Column("depth", pa.int32(), "Calls on the longest path below the root.", "calls"),
    ),
)
