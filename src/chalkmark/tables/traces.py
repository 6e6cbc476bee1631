"""`traces`: one line a request."""

import pyarrow as pa

from chalkmark.tables.spec import TIMESTAMP, TRACE_ID, Column, TableSpec

TRACES = TableSpec(
    name="traces",
    grain="one row a trace",
    doc="The index of traces: what began it, how long it took, what it is made of, and whether it can be trusted.",
    key=("trace_id",),
    columns=(
        Column("trace_id", TRACE_ID, "Identifier of the trace."),
        Column("root_service", pa.string(), "Service of the root call (of the earliest tree where the root is missing)."),
        Column("root_operation", pa.string(), "Operation of the root call."),
        Column("start_ns", pa.int64(), "Start of the root, clock-corrected.", "ns since the epoch"),
        Column("duration_ns", pa.int64(), "Duration of the root; the critical times of its tree sum to this.", "ns"),
        Column("spans", pa.int32(), "Number of spans.", "spans"),
        Column("services", pa.list_(pa.string()), "Services that took part, sorted."),
        Column("depth", pa.int32(), "Depth of the deepest span.", "spans"),
        Column("errors", pa.int32(), "Number of spans with status `error`.", "spans"),
        Column("critical_services", pa.list_(pa.string()), "Services on the critical path, the most responsible first."),
        Column("shape_id", pa.int64(), "Structure of the trace; joins `shapes`."),
        Column("complete", pa.bool_(), "True where there is one root and every parent that was named arrived."),
        Column(
            "quality", pa.list_(pa.string()), "Every reason found in the trace, once, sorted by name; empty for a good trace."
        ),
        Column("weight", pa.float64(), "How many traces this one stands for: 1 / sampling probability."),
        Column("ts", TIMESTAMP, "When the trace began.", "us, UTC"),
    ),
)
