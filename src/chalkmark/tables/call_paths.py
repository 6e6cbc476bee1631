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
    # files. The view adds them up; the amplification comes from the root's own sum.
    view="""
        with summed as (
            select path_id, any_value(parent_path_id) as parent_path_id,
                any_value(root_service) as root_service, any_value(root_operation) as root_operation,
                any_value(service) as service, any_value(operation) as operation, any_value(partial) as partial, any_value(depth) as depth,
                sum(calls)::bigint as calls, sum(traces)::bigint as traces, sum(errors)::bigint as errors,
                sum(weighted_calls) as weighted_calls, sum(weighted_traces) as weighted_traces,
                sum(total_ns)::bigint as total_ns, sum(self_ns)::bigint as self_ns,
                sum(critical_ns)::bigint as critical_ns, sum(client_ns)::bigint as client_ns,
                sum(server_ns)::bigint as server_ns, sum(network_ns)::bigint as network_ns, sum(bytes)::bigint as bytes,
                h2_merge(list(h2(latency_buckets, latency_counts))) as latency, ts
            from {rows} group by path_id, ts
        )
        select s.* exclude (latency, ts), s.latency.buckets as latency_buckets, s.latency.counts as latency_counts, s.ts,
            s.calls / nullif(r.calls, 0) as amplification
        from summed s left join (
            select root_service, root_operation, partial, ts, sum(calls) as calls from {rows} where parent_path_id is null
            group by all
        ) r using (root_service, root_operation, partial, ts)
    """,
    view_columns=(
        Column("amplification", pa.float64(), "Calls of this path for each call of the root endpoint in the same hour."),
    ),
)
