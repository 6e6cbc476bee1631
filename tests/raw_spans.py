"""Raw spans for tests of curation, written as short dictionaries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from chalkmark.curate import raw
from chalkmark.curate.part import curate

EPOCH_NS = 1_700_000_000_000_000_000
NO_ANNOTATIONS = raw.RAW_ANNOTATIONS.empty_table()

DEFAULTS: dict[str, Any] = {
    "trace_id": 1,
    "parent_span_id": None,
    "service": "service",
    "operation": "operation",
    "kind": "unspecified",
    "status": "unset",
    "attributes": [],
    "attribute_types": "",
    "sender": '{"resource":{}}',
    "scope_name": "",
    "scope_version": "",
    "sdk": "",
    "source": "test",
    "flags": 0,
    "quality": 0,
    "weight": 1.0,
    "received_ns": EPOCH_NS,
}


def span(span_id: int, parent: int | None = None, start: int = 0, end: int = 0, **more: Any) -> dict[str, Any]:
    """A span; times are ns after EPOCH_NS, identifiers numbers, everything else a column of RAW."""
    times = {"start_ns": EPOCH_NS + start, "end_ns": EPOCH_NS + end}
    return DEFAULTS | {"span_id": span_id, "parent_span_id": parent} | times | more


def table(spans: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The spans as a table of schema RAW."""
    rows = list(spans)
    return pa.Table.from_arrays([_column(field, [row.get(field.name) for row in rows]) for field in raw.RAW], schema=raw.RAW)


def _column(field: pa.Field, values: Sequence[Any]) -> pa.Array:
    if pa.types.is_fixed_size_binary(field.type):
        width = field.type.byte_width
        return pa.array([None if v is None else v.to_bytes(width, "big") for v in values], field.type)
    known = {"kind": raw.KINDS, "status": raw.STATUSES}.get(field.name)
    if known:
        return pa.DictionaryArray.from_arrays(pa.array([known.index(v) for v in values], pa.int32()), pa.array(known))
    return pa.array(values, field.type)


def number(identifier: bytes | None) -> int | None:
    """The number that an identifier was made from."""
    return None if identifier is None else int.from_bytes(identifier, "big")


def curated(*spans: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table."""
    return {name: rows.to_pylist() for name, rows in curate(table(spans), NO_ANNOTATIONS).items()}


def by_id(*spans: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Curated rows of `spans` by the number of their identifier."""
    return {int.from_bytes(row["span_id"], "big"): row for row in curated(*spans)["spans"]}
