"""`annotations`: what spans carry that has no column of its own."""

import pyarrow as pa

from chalkmark.tables.spec import SPAN_ID, TIMESTAMP, TRACE_ID, Column, TableSpec

ANNOTATIONS = TableSpec(
    name="annotations",
    grain="one row a span event, span link, or attribute that has no column",
    doc="Events (exceptions, logs, messages) and links of spans.",
    key=("trace_id", "span_id", "kind", "key", "value", "at_ns"),
    columns=(
        Column("trace_id", TRACE_ID, "Identifier of the trace."),
        Column("span_id", SPAN_ID, "Identifier of the span."),
        Column(
            "kind", pa.string(), "`event`, `link` or `note` (said by a receiver, such as an identifier before it was repaired)."
        ),
        Column("key", pa.string(), "Name of the event; `link` for a link; name of the note."),
        Column(
            "value", pa.string(), "JSON: the event's attributes; the linked trace_id, span_id and attributes; the note's text."
        ),
        Column(
            "at_ns",
            pa.int64(),
            "When the event happened, raw as sent; null for a link or a note.",
            "ns since the epoch",
            nullable=True,
        ),
        Column("ts", TIMESTAMP, "When the trace began.", "us, UTC"),
    ),
)
