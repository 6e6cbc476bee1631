"""`shape_paths`: which call paths a structure is made of."""

import pyarrow as pa

from chalkmark.tables.spec import Column, TableSpec

SHAPE_PATHS = TableSpec(
    name="shape_paths",
    grain="one row a shape x call path",
    doc="Maps structures to call paths: `traces` join this gives the exact number of calls of each path in each trace.",
    key=("shape_id", "path_id"),
    partitioned=False,
    columns=(
        Column("shape_id", pa.int64(), "Structure; joins `shapes` and `traces`."),
        Column("path_id", pa.int64(), "Call path; joins `call_paths`."),
        Column("multiplicity", pa.int32(), "Calls along this path in one trace of this shape.", "calls"),
    ),
)
