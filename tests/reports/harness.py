"""Tests of reports: rows of the tables that a report reads in, rows that it has to give out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chalkmark.reports.catalogue import bound, definitions, report, run
from chalkmark.tables import TABLES
from chalkmark.tables.session import Session

HOUR = datetime(2026, 11, 1, 12, tzinfo=UTC)
"""`ts` of rows that do not say."""

Rows = pa.Table | Sequence[Mapping[str, Any]]


class Files:
    """A lake of one file a table, in a folder."""

    def __init__(self, data: Path, given: Mapping[str, Rows]) -> None:
        self.data = data
        for table, rows in given.items():
            filled = rows if isinstance(rows, pa.Table) else fill(table, rows)
            pq.write_table(filled, data / f"{table}.parquet")

    def files(self, table: str) -> list[str]:
        path = self.data / f"{table}.parquet"
        return [str(path)] if path.exists() else []


def fill(table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of `table` from the columns that matter; the others get null, or zero of their type where null is not allowed."""
    columns = {c.name: c for c in TABLES[table].columns}
    for row in rows:
        unknown = row.keys() - columns.keys()
        assert not unknown, f"{table} has no column {', '.join(unknown)}"
    defaults = {name: None if c.nullable else _zero(c.type) for name, c in columns.items()} | {"ts": HOUR}
    if "weight" in columns:
        defaults["weight"] = 1.0
    return pa.Table.from_pylist([defaults | dict(row) for row in rows], TABLES[table].schema)


def check_report(
    name: str, *, given: Mapping[str, Rows], expect: Sequence[Mapping[str, Any]], params: Mapping[str, Any] | None = None
) -> None:
    """Hold that report `name` makes exactly the rows `expect`, in this order, of the tables `given`.

    An expected row names the columns that matter. The report is run by its file and by its SQL function, and has to give
    the documented columns both times.
    """
    params = dict(params or {})
    wanted = report(name)
    with tempfile.TemporaryDirectory() as folder, Session(Files(Path(folder), given), definitions=definitions()) as session:
        by_file = run(session, name, **params)
        arguments = ", ".join(f"{key} := ${key}" for key in params)
        values = {key: bound(wanted, params)[key] for key in params}
        by_function = session.sql(f"from {wanted.function}({arguments})", values)
        by_view = session.sql(f"from {wanted.function}") if wanted.has_view and not params else by_file
    documented = [c.name for c in wanted.columns]
    for rows in (by_file, by_function, by_view):
        assert rows.column_names == documented
        got = rows.to_pylist()
        shown = [{key: row[key] for key in expected} for row, expected in zip(got, expect, strict=False)]
        assert shown == [dict(row) for row in expect]
        assert len(got) == len(expect), f"{len(got) - len(expect)} rows too many: {got[len(expect) :]}"


def _zero(type_: pa.DataType) -> Any:
    if pa.types.is_fixed_size_binary(type_):
        return bytes(type_.byte_width)
    if pa.types.is_list(type_) or pa.types.is_map(type_):
        return []
    if pa.types.is_string(type_):
        return ""
    if pa.types.is_boolean(type_):
        return False
    return HOUR if pa.types.is_timestamp(type_) else 0
