"""SQL over the lake: a DuckDB connection that knows the tables, reads their files, and writes nothing.

`spans` is what people query; `lake.spans` are the stored rows beneath. A view is made when a query first names its
table, and made anew when the table has other files, so a session never pays for tables that it does not use.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import duckdb
import pyarrow as pa

from chalkmark.errors import ChalkmarkError
from chalkmark.tables import TABLES
from chalkmark.tables.describe import sql_type
from chalkmark.tables.functions import define

_HAND_IN = "Hand in one SELECT; tables are changed by `chalkmark import`, `curate` and `maintain` only."


class LakeFiles(Protocol):
    """What a session needs of the lake."""

    data: Path

    def files(self, table: str) -> list[str]:
        """Paths of the Parquet files that hold the table's rows now."""


class Session:
    """One DuckDB connection to one lake; usable from several threads.

    `read_files` lets queries read any other file this user may read, by `read_parquet('other.parquet')` and the like.
    `definitions` holds SQL by the name that it defines (reports, say), run when a query first says that name.
    """

    def __init__(
        self,
        lake: LakeFiles,
        *,
        threads: int = 0,
        memory: str = "",
        read_files: bool = False,
        definitions: Mapping[str, str] | None = None,
    ) -> None:
        self._lake = lake
        self._definitions = dict(definitions or {})
        self._files: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        settings: dict[str, str | bool | int | float | list[str]] = {
            # Nothing is downloaded and no variable of this process can be read by its name.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
        if threads:
            settings["threads"] = threads
        if memory:
            settings["memory_limit"] = memory
        try:
            self._db = duckdb.connect(":memory:", config=settings)
        except duckdb.Error as error:
            raise ChalkmarkError(
                f"SQL session: {first_line(error)}", "Settings `sql_memory` and `sql_threads` set its limits."
            ) from error
        self._db.execute("set TimeZone = 'UTC'; set parquet_metadata_cache = true")  # files never change once written
        self._db.execute("create schema lake; create schema empty")
        define(self._db)
        if not read_files:
            self._db.execute(f"set allowed_directories = [{_quote(str(lake.data.resolve()))}]")
            self._db.execute("set enable_external_access = false")
        self._db.execute("set lock_configuration = true")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def sql(self, query: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> pa.Table:
        """The result of one query; `params` fill `$name` or `?`.

        Raises ChalkmarkError where the query is wrong, names an unknown table, or wants to change something.
        """
        try:
            with self._lock:
                cursor = self._db.cursor()
        except duckdb.Error as error:
            raise ChalkmarkError(f"SQL session: {first_line(error)}", "It was closed; open another.") from error
        try:
            _refuse_other_statements(cursor, query)
            with self._lock:
                words = set(re.findall(r"\w+", query.lower()))
                defined = [self._definitions[name] for name in self._definitions if name in words]
                for table in named_tables("\n".join([query, *defined])):
                    self._make_view(table)
                for statements in defined:
                    self._db.execute(statements)
            bound = params if params is None or isinstance(params, Mapping) else list(params)
            _refuse_writing_plan(cursor, query, bound)
            return _whole_numbers(cursor.sql(query, params=bound).to_arrow_table())
        except duckdb.Error as error:
            raise _explained(error) from error
        finally:
            cursor.close()

    def _make_view(self, table: str) -> None:
        files = self._lake.files(table)
        if self._files.get(table) == files:
            return
        spec = TABLES[table]
        if files:
            paths = ", ".join(map(_quote, files))
            # Iceberg's folders are named like Hive partitions; their values are no columns of ours.
            rows = f"read_parquet([{paths}], hive_partitioning = false)"
        else:
            rows = f"empty.{table}"
            columns = ", ".join(f"{c.name} {sql_type(c.type)}" for c in spec.columns)
            self._db.execute(f"create or replace table {rows} ({columns})")
        try:
            self._db.execute(f"create or replace view lake.{table} as from {rows}")
            self._db.execute(f"create or replace view main.{table} as {spec.view.replace('{rows}', 'lake.' + table)}")
        except duckdb.Error as error:
            raise ChalkmarkError(f"Table {table}: {first_line(error)}", "`chalkmark doctor` checks the data folder.") from error
        self._files[table] = files


def named_tables(query: str) -> list[str]:
    """The tables whose names stand anywhere in the query, in the order of TABLES.

    A word that is a column as well (`traces.spans`) counts too: that makes one view too many, while looking for
    names in the syntax tree would miss those in `query('...')` and fails on queries that do not bind yet.
    """
    words = set(re.findall(r"\w+", query.lower()))
    return [name for name in TABLES if name in words]


def _refuse_other_statements(cursor: duckdb.DuckDBPyConnection, query: str) -> None:
    statements = cursor.extract_statements(query)
    if len(statements) != 1:
        raise ChalkmarkError(f"The query is {len(statements)} statements.", _HAND_IN)
    kind = statements[0].type.name
    if kind == "EXPLAIN":
        explained = _explained_query(query)
        if explained == query:
            raise ChalkmarkError("EXPLAIN has to be the first word of the query.", _HAND_IN)
        _refuse_other_statements(cursor, explained)
    elif kind == "MULTI":
        # PIVOT collects the column names first, even when only explained, so that here no plan can tell.
        writes = re.search(r"\b(copy|insert|update|delete)\b", query, flags=re.IGNORECASE)
        if writes:
            raise ChalkmarkError(f"PIVOT with the word {writes[1]!r} is not allowed here: SQL reads.", _HAND_IN)
    elif kind != "SELECT":
        raise ChalkmarkError(f"{kind} is not allowed here: SQL reads.", _HAND_IN)


def _refuse_writing_plan(cursor: duckdb.DuckDBPyConnection, query: str, params: Any) -> None:
    # A SELECT may hold `with x as (copy ... to ...)`: only the plan tells.
    plan = cursor.execute("explain (format json) " + _explained_query(query), params).fetchall()
    writes = re.search(r'"name": *"\w*(COPY|INSERT|DELETE|UPDATE|MERGE_INTO)\w*"', str(plan))
    if writes:
        raise ChalkmarkError(f"{writes[1]} is not allowed here: SQL reads.", _HAND_IN)


def _explained_query(query: str) -> str:
    """The query without a leading EXPLAIN; EXPLAIN ANALYZE runs what it explains, so that is what has to be checked."""
    return re.sub(r"^\s*explain\s*(analyze\b|\([^)]*\))?", "", query, count=1, flags=re.IGNORECASE)


def first_line(error: BaseException) -> str:
    """What DuckDB says, without the kind of error before it and the position after it."""
    text = str(error).strip().partition("\n")[0]
    return re.sub(r"^\w+ (?:\w+ )?Error: ", "", text)


def _explained(error: duckdb.Error) -> ChalkmarkError:
    message = first_line(error)
    missing = re.match(r"Table with name \"?([\w.]+?)\"? does not exist", message)
    if missing:
        nearest = difflib.get_close_matches(missing[1].lower(), TABLES, n=2, cutoff=0.5)
        hint = f"Did you mean {' or '.join(nearest)}?" if nearest else f"Tables are: {', '.join(TABLES)}."
        return ChalkmarkError(f"There is no table {missing[1]!r}.", hint)
    if isinstance(error, duckdb.PermissionException) or "disabled by configuration" in message:
        return ChalkmarkError(message, "Queries read the lake only, unless other files are allowed (`chalkmark sql --files`).")
    # The lines after the first one: suggestions, then the place in the query.
    rest = str(error).strip().partition("\n")[2]
    advice = " ".join(line.strip() for line in rest.partition("LINE ")[0].splitlines() if line.strip())
    return ChalkmarkError(message, advice or "`chalkmark tables describe NAME` lists a table's columns.")


def _whole_numbers(table: pa.Table) -> pa.Table:
    """`sum` over BIGINT is 128 bits wide, which no tool likes: 64 bits wherever the values fit."""
    for i, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type) and field.type.scale == 0 and field.type.precision == 38:
            try:
                column = table.column(i).cast(pa.int64())
            except pa.ArrowInvalid:
                continue
            table = table.set_column(i, field.name, column)
    return table


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
