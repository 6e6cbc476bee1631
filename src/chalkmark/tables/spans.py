"""`spans`: every span once, as it was sent, with what curation found out about it beside it."""

import pyarrow as pa

from chalkmark.tables.spec import SPAN_ID, TEXT_MAP, TIMESTAMP, TRACE_ID, Column, TableSpec

SPANS = TableSpec(
    name="spans",
    grain="one row a span, deduplicated",
    doc="The unit everything else is computed from. Raw times stay as they were sent; corrected times stand beside them.",
    key=("trace_id", "span_id"),
    columns=(
        Column("trace_id", TRACE_ID, "Identifier of the trace; 64-bit identifiers are padded with zeros on the left."),
        Column("span_id", SPAN_ID, "Identifier of the span within its trace."),
        Column(
            "parent_span_id",
            SPAN_ID,
            "Identifier of the parent; null where none was sent. Where two halves of a call share an identifier, that of the right half.",
            nullable=True,
        ),
        Column("service", pa.string(), "`service.name` of the sender; `unknown_service` where it was empty."),
        Column("operation", pa.string(), "Name of the span."),
        Column("kind", pa.string(), "`server`, `client`, `producer`, `consumer`, `internal`, or `unspecified`."),
        Column("host", pa.string(), "Host the span ran on: `host.name`, else `k8s.node.name`, pod, or address.", nullable=True),
        Column(
            "instance", pa.string(), "Instance of the service: `service.instance.id`, else pod, else host and pid.", nullable=True
        ),
        Column("zone", pa.string(), "`cloud.availability_zone` of the sender, else its region.", nullable=True),
        Column("start_ns", pa.int64(), "Start, raw as sent.", "ns since the epoch"),
        Column("end_ns", pa.int64(), "End, raw as sent.", "ns since the epoch"),
        Column("duration_ns", pa.int64(), "end - start, 0 where that was negative; no clock correction changes it.", "ns"),
        Column("adj_start_ns", pa.int64(), "Start after the host's clock offset was taken off.", "ns since the epoch"),
        Column("adj_end_ns", pa.int64(), "End after the host's clock offset was taken off.", "ns since the epoch"),
        Column("self_ns", pa.int64(), "Time of the span during which none of its children ran.", "ns"),
        Column("critical_ns", pa.int64(), "Time of the trace for which this span alone is responsible.", "ns"),
        Column("depth", pa.int32(), "Distance from the root of its tree; 0 for a root.", "spans"),
        Column("is_root", pa.bool_(), "True where no parent was sent."),
        Column("status", pa.string(), "`unset`, `ok` or `error`."),
        Column("status_message", pa.string(), "The sender's description of an error.", nullable=True),
        Column("error", pa.bool_(), "True where the status is `error`."),
        Column("peer_service", pa.string(), "Who was called, as the caller names it.", nullable=True),
        Column("request_bytes", pa.int64(), "Size of the request's body.", "bytes", nullable=True),
        Column("response_bytes", pa.int64(), "Size of the response's body.", "bytes", nullable=True),
        Column("attributes", TEXT_MAP, "Attributes; strings as they are, everything else as JSON text."),
        Column(
            "attribute_types",
            pa.string(),
            "One letter an attribute, in order: s(tring) i(nt) d(ouble) b(ool) a(rray) k(vlist) y (bytes) n(ull).",
        ),
        Column("scope_name", pa.string(), "Name of the instrumentation scope."),
        Column("scope_version", pa.string(), "Version of the instrumentation scope."),
        Column(
            "sender",
            pa.string(),
            "Resource and scope as sent, types kept: JSON with `resource`, and `scope` (name, version, attributes).",
        ),
        Column("sdk", pa.string(), "Who made the span: SDK name, language and version, or the protocol where it does not say."),
        Column("source", pa.string(), "How it came in: `otlp-grpc`, `otlp-http`, `zipkin-http`, or `file:<format>`."),
        Column("flags", pa.int32(), "W3C trace flags as sent; bit 8 and 9 tell whether the parent is remote."),
        Column("trace_state", pa.string(), "W3C tracestate, where one was sent.", nullable=True),
        Column(
            "quality",
            pa.list_(pa.string()),
            "Reasons why this row is not as it should be, sorted by name; empty for a good span.",
        ),
        Column("weight", pa.float64(), "How many spans this one stands for: 1 / sampling probability; 1 where unknown."),
        Column("shape_id", pa.int64(), "Structure of the span's trace; joins `shapes`."),
        Column("path_id", pa.int64(), "Path of the call that the span belongs to; joins `call_paths`."),
        Column("received_ns", pa.int64(), "When the span reached Chalkmark (the first copy).", "ns since the epoch"),
        Column("ts", TIMESTAMP, "When the span's *trace* began, so that a filter on time never cuts a trace.", "us, UTC"),
    ),
    view="select *, sender_resource(sender) as resource from {rows}",
    view_columns=(
        Column("resource", TEXT_MAP, "Attributes of the resource that sent the span, values as in `attributes`; from `sender`."),
    ),
)
