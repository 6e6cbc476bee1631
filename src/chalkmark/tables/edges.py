"""`edges`: who called whom in which trace."""

import pyarrow as pa

from chalkmark.tables.spec import TIMESTAMP, TRACE_ID, Column, TableSpec

EDGES = TableSpec(
    name="edges",
    grain="one row a trace x caller (service, operation) x callee (service, operation)",
    doc="Calls of each trace, added up by caller and callee. A call is one client-to-server hop, counted once.",
    key=("trace_id", "caller_service", "caller_operation", "callee_service", "callee_operation"),
    columns=(
        Column("trace_id", TRACE_ID, "Identifier of the trace."),
        Column("caller_service", pa.string(), "Service that called."),
        Column("caller_operation", pa.string(), "Operation of the caller that was running."),
        Column("callee_service", pa.string(), "Service that was called."),
        Column("callee_operation", pa.string(), "Operation that was called."),
        Column("calls", pa.int32(), "Number of calls.", "calls"),
        Column("errors", pa.int32(), "Calls that failed as the callee, or else the caller, saw it.", "calls"),
        Column(
            "total_ns",
            pa.int64(),
            "Sum of the calls' durations: the callee's, or the caller's where the callee's is missing.",
            "ns",
        ),
        Column("critical_ns", pa.int64(), "Critical time of the calls themselves, without what they called in turn.", "ns"),
        Column(
            "client_ns",
            pa.int64(),
            "Sum of durations as the caller saw them; null where it sent no client span.",
            "ns",
            nullable=True,
        ),
        Column(
            "server_ns", pa.int64(), "Sum of durations as the callee saw them; null where it sent no span.", "ns", nullable=True
        ),
        Column(
            "network_ns",
            pa.int64(),
            "client - server, over calls where both are known and the call is not asynchronous.",
            "ns",
            nullable=True,
        ),
        Column("bytes", pa.int64(), "Request and response bytes, where known.", "bytes", nullable=True),
        Column("weight", pa.float64(), "How many traces this one stands for."),
        Column("ts", TIMESTAMP, "When the trace began.", "us, UTC"),
    ),
)
