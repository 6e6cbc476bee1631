"""`call_paths`: the calling-context tree of every root endpoint, hour by hour."""

import pyarrow as pa

from chalkmark.tables.spec import TIMESTAMP, Column, TableSpec

_KEY = ("ts", "path_id")

CALL_PATHS = TableSpec(
    name="call_paths",
    grain="one row an hour x root endpoint x path in the calling-context tree",
    doc="Everything that is counted along a path of calls. All counts add up, so any set of hours or paths can be summed.",
    key=_KEY,
    columns=(
        Column("path_id", pa.int64(), "Hash of the path: the root's and every callee's service and operation."),
        Column("parent_path_id", pa.int64(), "Path of the caller; null for a root.", nullable=True),
        Column("root_service", pa.string(), "Service of the root call."),
        Column("root_operation", pa.string(), "Operation of the root call."),
        Column("service", pa.string(), "Service that is called at the end of the path."),
        Column("operation", pa.string(), "Operation that is called at the end of the path."),
        Column(
            "partial", pa.bool_(), "True where the path begins at a span whose parent never arrived: its callers are unknown."
        ),
        Column("depth", pa.int32(), "Number of calls from the root; 0 for a root.", "calls"),
        Column("calls", pa.int64(), "Number of calls.", "calls"),
        Column("traces", pa.int64(), "Traces in which the path occurs.", "traces"),
        Column("errors", pa.int64(), "Calls that failed.", "calls"),
        Column("weighted_calls", pa.float64(), "Calls, each counted 1 / sampling probability times.", "calls"),
        Column("weighted_traces", pa.float64(), "Traces, each counted 1 / sampling probability times.", "traces"),
        Column("total_ns", pa.int64(), "Sum of the calls' durations.", "ns"),
        Column("self_ns", pa.int64(), "Sum of the time in which the calls waited for no child.", "ns"),
        Column("critical_ns", pa.int64(), "Sum of the calls' critical time.", "ns"),
        Column("client_ns", pa.int64(), "Sum of durations as the callers saw them, where known.", "ns"),
        Column("server_ns", pa.int64(), "Sum of durations as the callees saw them, where known.", "ns"),
        Column("network_ns", pa.int64(), "Sum of client - server, over calls where both are known.", "ns"),
        Column("bytes", pa.int64(), "Request and response bytes, where known.", "bytes"),
        Column("latency_buckets", pa.list_(pa.int32()), "Histogram of durations: H2 bucket indices, ascending."),
        Column("latency_counts", pa.list_(pa.int64()), "Histogram of durations: calls in each of those buckets."),
        Column("ts", TIMESTAMP, "The hour in which the traces began.", "us, UTC"),
    ),
    # A file holds the sums of the traces that were curated together, so one hour has as many rows a path as it has
    # files: the view adds them up. Merging histograms is the dear part; DuckDB drops it, and the window that finds the
    # root's calls, where a query does not select them.
    # Columns are written with their table: within a DuckDB macro that has a parameter `service`, as reports do, a bare
    # `service` is the parameter, in the views that the macro reads too.
    view="""
        select s.* exclude (latency, ts), s.latency.buckets as latency_buckets, s.latency.counts as latency_counts, s.ts,
            s.calls / nullif(sum(s.calls) filter (s.parent_path_id is null)
                over (partition by s.root_service, s.root_operation, s.partial, s.ts), 0) as amplification
        from (
            select p.path_id, p.parent_path_id, p.root_service, p.root_operation, p.service, p.operation, p.partial, p.depth,
                sum(p.calls)::bigint as calls, sum(p.traces)::bigint as traces, sum(p.errors)::bigint as errors,
                sum(p.weighted_calls) as weighted_calls, sum(p.weighted_traces) as weighted_traces,
                sum(p.total_ns)::bigint as total_ns, sum(p.self_ns)::bigint as self_ns,
                sum(p.critical_ns)::bigint as critical_ns, sum(p.client_ns)::bigint as client_ns,
                sum(p.server_ns)::bigint as server_ns, sum(p.network_ns)::bigint as network_ns, sum(p.bytes)::bigint as bytes,
                h2_merge(list(h2(p.latency_buckets, p.latency_counts))) as latency, p.ts
            from {rows} p
            group by p.path_id, p.parent_path_id, p.root_service, p.root_operation, p.service, p.operation, p.partial, p.depth, p.ts
        ) s
    """,
    view_columns=(
        Column("amplification", pa.float64(), "Calls of this path for each call of the root endpoint in the same hour."),
    ),
)
