"""Rows of the table `spans`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chalkmark.curate import columns, reasons
from chalkmark.curate.measure import Measured
from chalkmark.tables.spans import SPANS
from chalkmark.tables.spec import TIMESTAMP

_AS_SENT = (
    "status_message",
    "request_bytes",
    "response_bytes",
    "attributes",
    "attribute_types",
    "flags",
    "trace_state",
    "weight",
)
_AS_TEXT = (
    "service",
    "operation",
    "kind",
    "host",
    "instance",
    "zone",
    "status",
    "peer_service",
    "scope_name",
    "scope_version",
    "sdk",
    "source",
    "sender",
)


def rows(m: Measured) -> pa.Table:
    """One row a span, in the order of `m`."""
    a = m.assembled
    source = a.rows[m.order]
    take = pa.array(source)
    span: dict[str, pa.Array | npt.NDArray[Any]] = {name: columns.array(a.raw[name]).take(take) for name in _AS_SENT}
    for name in _AS_TEXT:
        codes, texts = columns.codes(a.raw[name])
        span[name] = columns.texts(codes[source], texts)
    parent_id = a.parent_id[m.order]
    span |= {
        "trace_id": columns.binary(m.trace_highs[m.trace], m.trace_lows[m.trace]),
        "span_id": columns.binary(a.span_id[m.order]),
        "parent_span_id": columns.binary(parent_id, absent=parent_id == 0),
        "start_ns": columns.numbers(a.raw["start_ns"])[source],
        "end_ns": columns.numbers(a.raw["end_ns"])[source],
        "duration_ns": m.duration,
        "adj_start_ns": m.start,
        "adj_end_ns": m.end,
        "self_ns": m.self_ns,
        "critical_ns": m.critical_ns,
        "depth": a.depth[m.order],
        "is_root": ~m.sent_parent,
        "error": m.error,
        "quality": reasons.lists(m.quality),
        "shape_id": m.occurrences.shapes[m.trace].view(np.int64),
        "path_id": m.calls.path[m.calls.of_span].view(np.int64),
        "received_ns": a.received[m.order],
        "ts": pa.array(m.began_us[m.trace], TIMESTAMP),
    }
    return columns.table(SPANS, span)
