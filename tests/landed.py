"""A data folder as its writers leave it, and the rows that readers find there, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from chalkmark.tables.lake import Lake
from chalkmark.tables.landing_store import LandingWriter
from spans import received


def land(data: Path, *groups: Iterable[Mapping[str, Any]]) -> None:
    """Receive groups of spans, each as a request of its own."""
    writer = LandingWriter(data)
    for group in groups:
        writer.submit(received(group)).result()
    writer.close()


def rows(lake: Lake, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table in a canonical order, without when they were received; call paths added up."""
    files = lake.files(table)
    if not files:
        return []
    if table == "call_paths":
        query = """select path_id, ts, any_value(service), any_value(operation), sum(calls), sum(traces), sum(errors),
            sum(total_ns), sum(self_ns), sum(critical_ns), sum(weighted_calls) from read_parquet($1) group by all"""
    else:
        left_out = "exclude (received_ns)" if table == "spans" else ""
        query = f"select * {left_out} from read_parquet($1)"
    found = duckdb.sql(query, params=[files]).to_arrow_table()
    return sorted((tuple(row.values()) for row in found.to_pylist()), key=repr)
