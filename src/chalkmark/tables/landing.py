"""Landing: received spans as Arrow files that are durable before anybody is told so.

Receivers append, curation consumes. One file is one group of requests that became durable together; it appears by an
atomic rename after its bytes are synced, so a reader sees whole files only and a crash leaves nothing to repair.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from chalkmark.tables.rejections import REJECTIONS
from chalkmark.tables.spec import SPAN_ID, TEXT_MAP, TRACE_ID

TEXT_CODES = pa.dictionary(pa.int32(), pa.string())

ANNOTATION = pa.struct(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("value", pa.string(), nullable=False),
        pa.field("at_ns", pa.int64()),
    ]
)

SPAN_BATCH = pa.schema(
    [
        pa.field("trace_id", TRACE_ID, nullable=False),
        pa.field("span_id", SPAN_ID, nullable=False),
        pa.field("parent_span_id", SPAN_ID),  # null: none was sent
        pa.field("operation", pa.string(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),  # OTLP: 0 unspecified 1 internal 2 server 3 client 4 producer 5 consumer
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("status", pa.int8(), nullable=False),  # OTLP: 0 unset 1 ok 2 error
        pa.field("status_message", pa.string()),
        pa.field("flags", pa.int32(), nullable=False),
        pa.field("trace_state", pa.string()),
        pa.field("attributes", TEXT_MAP, nullable=False),
        pa.field("attribute_types", pa.string(), nullable=False),
        pa.field("annotations", pa.list_(ANNOTATION), nullable=False),
        # JSON {"resource": {...}, "scope": {"name", "version", "attributes"}}: few distinct ones, many spans each.
        pa.field("sender", TEXT_CODES, nullable=False),
        pa.field("source", TEXT_CODES, nullable=False),
        pa.field("quality", pa.list_(pa.string()), nullable=False),
        pa.field("received_ns", pa.int64(), nullable=False),
    ]
)
"""What a receiver makes of a request: the fields as sent, nothing derived yet."""

REJECTION_BATCH = REJECTIONS.schema


@dataclass(frozen=True, slots=True)
class Received:
    """What one request or file became: the spans that are kept, and the count of those that are not."""

    spans: pa.RecordBatch
    """Schema SPAN_BATCH."""
    rejections: pa.RecordBatch
    """Schema REJECTION_BATCH; one row a sender and reason."""

    @property
    def rejected(self) -> int:
        """Number of spans refused."""
        # Asked for every request, and nearly none has any: Arrow takes 40 us to sum nothing.
        return int(pc.sum(self.rejections["spans"]).as_py()) if self.rejections.num_rows else 0

    @classmethod
    def nothing(cls) -> Received:
        """No spans and no rejections."""
        return cls(empty_batch(SPAN_BATCH), empty_batch(REJECTION_BATCH))


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """A batch of no rows."""
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
