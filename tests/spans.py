"""Small span batches, written as the traces they are, for tests of everything behind the receivers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from chalkmark.tables.landing import REJECTION_BATCH, SPAN_BATCH, Received, empty_batch

T0 = 1_790_000_000_000_000_000
"""2026-09-21 14:13:20 UTC, in ns."""

KINDS = {"unspecified": 0, "internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}


def span(
    trace: int,
    span_id: int,
    parent: int | None = None,
    *,
    at: tuple[int, int] = (0, 1000),
    service: str = "svc",
    operation: str = "op",
    kind: str = "server",
    status: int = 0,
    host: str | None = None,
    attributes: Mapping[str, str] | None = None,
    events: Sequence[tuple[str, int]] = (),
    received: int = T0 + 10**9,
    quality: Sequence[str] = (),
) -> dict[str, Any]:
    """One span as a row of SPAN_BATCH. `at` is start and end in ns after T0."""
    resource = {"service.name": service, **({"host.name": host} if host else {})}
    attributes = attributes or {}
    return {
        "trace_id": trace.to_bytes(16, "big"),
        "span_id": span_id.to_bytes(8, "big"),
        "parent_span_id": None if parent is None else parent.to_bytes(8, "big"),
        "operation": operation,
        "kind": KINDS[kind],
        "start_ns": T0 + at[0],
        "end_ns": T0 + at[1],
        "status": status,
        "status_message": None,
        "flags": 0,
        "trace_state": None,
        "attributes": list(attributes.items()),
        "attribute_types": "s" * len(attributes),
        "annotations": [{"kind": "event", "key": k, "value": "{}", "at_ns": T0 + t} for k, t in events],
        "sender": orjson.dumps({"resource": resource}).decode(),
        "source": "otlp-grpc",
        "quality": list(quality),
        "received_ns": received,
    }


def batch(spans: Iterable[Mapping[str, Any]]) -> pa.RecordBatch:
    """Rows of `span` as one batch."""
    rows = list(spans)
    columns = []
    for field in SPAN_BATCH:
        values = [row[field.name] for row in rows]
        if pa.types.is_dictionary(field.type):
            columns.append(pa.array(values, pa.string()).dictionary_encode().cast(field.type))
        else:
            columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=SPAN_BATCH)


def received(spans: Iterable[Mapping[str, Any]]) -> Received:
    """What a receiver would hand over for these spans."""
    return Received(batch(spans), empty_batch(REJECTION_BATCH))
