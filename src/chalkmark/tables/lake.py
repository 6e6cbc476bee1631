"""The lake: an Apache Iceberg table for each TableSpec, in a folder, with a SQLite catalog.

Reading needs only the list of a snapshot's Parquet files. Planning it with pyiceberg costs an import of about a second,
so the committer leaves the list beside the table, named after the metadata file it belongs to; a reader asks the catalog
(one SQLite query) whether it still holds and plans anew only if not.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from chalkmark.errors import ChalkmarkError
from chalkmark.tables import TABLES

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

NAMESPACE = "chalkmark"
COMMIT_KEY = "chalkmark.commit"
"""Snapshot property that names the commit a snapshot belongs to; several tables share one commit."""

PROPERTIES = {
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "5",
    "write.parquet.compression-codec": "zstd",
    # What plans prune by; bounds of forty columns would make up most of the metadata.
    "write.metadata.metrics.default": "none",
    "write.metadata.metrics.column.ts": "full",
}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One Parquet file of a table's current snapshot."""

    path: str
    rows: int
    bytes: int

    @property
    def part(self) -> str:
        """Name of the part that the file belongs to; the same for all tables of the part."""
        return Path(self.path).stem


class Lake:
    """The curated tables in the folder `data`. Cheap to make; nothing is opened before it is needed."""

    def __init__(self, data: Path) -> None:
        self.data = Path(data).resolve()  # Iceberg keeps whole paths, and readers have other current folders

    @property
    def _catalog_file(self) -> Path:
        return self.data / "catalog.sqlite"

    def folder(self, table: str) -> Path:
        """Where a table's files lie."""
        return self.data / "tables" / table

    # Reading

    def files(self, table: str) -> list[str]:
        """Paths of the Parquet files of the table's current snapshot; empty where nothing was ever committed."""
        return [f.path for f in self.plan(table)]

    def plan(self, table: str) -> list[StoredFile]:
        """The files of the table's current snapshot, sorted by name, and so by hour.

        Raises ChalkmarkError where the snapshot has delete files: other writers may leave them, and ignoring them
        would show rows that are gone.
        """
        location = self._metadata_location(table)
        if location is None:
            return []
        cached = self._read_plan(table, location)
        if cached is not None:
            return cached
        return self._plan(table)

    def _metadata_location(self, table: str) -> str | None:
        if not self._catalog_file.exists():
            return None
        try:
            return self._ask_catalog(table, "ro")
        except sqlite3.OperationalError:
            # A writer that died in the middle of a transaction left a journal, and only who may write can roll it back.
            return self._ask_catalog(table, "rw")

    def _ask_catalog(self, table: str, mode: str) -> str | None:
        # A connection of its own: sqlite3 is in the standard library and starts in a millisecond.
        with contextlib.closing(sqlite3.connect(f"file:{self._catalog_file}?mode={mode}", uri=True, timeout=10)) as connection:
            if not connection.execute("select 1 from sqlite_master where name = 'iceberg_tables'").fetchone():
                return None  # it is being created
            row = connection.execute(
                "select metadata_location from iceberg_tables where table_namespace = ? and table_name = ?", (NAMESPACE, table)
            ).fetchone()
        return None if row is None else str(row[0])

    def _plan_file(self, table: str) -> Path:
        return self.folder(table) / "plan.json"

    def _read_plan(self, table: str, location: str) -> list[StoredFile] | None:
        try:
            plan = orjson.loads(self._plan_file(table).read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        if plan["metadata"] != location:
            return None
        return [StoredFile(**f) for f in plan["files"]]

    def _plan(self, table: str) -> list[StoredFile]:
        iceberg = self.open(table)
        files = []
        for task in iceberg.scan().plan_files():
            if task.delete_files:
                raise ChalkmarkError(
                    f"table {table!r} has delete files, which Chalkmark does not write and cannot read",
                    "Compact the table with the tool that wrote them.",
                )
            path = task.file.file_path.removeprefix("file://")
            files.append(StoredFile(path, task.file.record_count, task.file.file_size_in_bytes))
        files.sort(key=lambda f: f.path)
        self._write_plan(table, iceberg.metadata_location, files)
        return files

    def _write_plan(self, table: str, location: str, files: Iterable[StoredFile]) -> None:
        target = self._plan_file(table)
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_bytes(orjson.dumps({"metadata": location, "files": [asdict(f) for f in files]}))
        temporary.replace(target)

    # Writing

    @cached_property
    def catalog(self) -> SqlCatalog:
        """The Iceberg catalog; made, with all its tables, where it does not exist yet."""
        from pyiceberg.catalog.sql import SqlCatalog

        self.data.mkdir(parents=True, exist_ok=True)
        catalog = SqlCatalog(
            "chalkmark",
            uri=f"sqlite:///{self._catalog_file}",
            warehouse=f"file://{self.data / 'tables'}",
            **{"py-io-impl": "chalkmark.tables.durable_io.DurableFileIO"},
        )
        catalog.create_namespace_if_not_exists(NAMESPACE)
        existing = {name for _, name in catalog.list_tables(NAMESPACE)}
        for name in TABLES.keys() - existing:
            self._create(catalog, name)
        return catalog

    def _create(self, catalog: SqlCatalog, name: str) -> None:
        from pyiceberg.partitioning import PartitionField, PartitionSpec
        from pyiceberg.transforms import HourTransform

        spec = TABLES[name]
        schema = catalog._convert_schema_if_needed(spec.schema)
        partition = PartitionSpec()
        if spec.partitioned:
            ts = schema.find_field("ts")
            partition = PartitionSpec(PartitionField(ts.field_id, 1000, HourTransform(), "ts_hour"))
        catalog.create_table(
            (NAMESPACE, name),
            schema,
            location=f"file://{self.folder(name)}",
            partition_spec=partition,
            properties=PROPERTIES,
        )

    def open(self, table: str) -> Table:
        """The Iceberg table, as of now."""
        return self.catalog.load_table((NAMESPACE, table))

    @cached_property
    def _file_schemas(self) -> dict[str, pa.Schema]:
        # Iceberg finds columns by identifiers in the Parquet schema; they are fixed when the table is created.
        return {name: with_field_ids(spec.schema, self.open(name).schema()) for name, spec in TABLES.items()}

    def write(self, table: str, part: str, rows: pa.Table) -> str:
        """Write rows as one durable Parquet file and return its path. Nobody sees it before it is committed."""
        from chalkmark.tables.parquet import write_parquet

        path = self.folder(table) / "data" / f"{part}.parquet"
        write_parquet(rows, self._file_schemas[table], path)
        return str(path)

    def commit(self, table: str, commit_id: str, *, add: Iterable[str], delete: Iterable[str]) -> None:
        """Replace files of a table by others in one snapshot. Done before under this `commit_id`: nothing happens."""
        from pyiceberg.io.pyarrow import parquet_file_to_data_file

        iceberg = self.open(table)
        current = iceberg.current_snapshot()
        if current is not None and current.summary is not None and current.summary.get(COMMIT_KEY) == commit_id:
            return
        before = {f.path: f for f in self.plan(table)}
        add, delete = list(add), set(delete)
        with iceberg.transaction() as transaction:
            update = transaction.update_snapshot(snapshot_properties={COMMIT_KEY: commit_id})
            producer = update.overwrite() if delete else update.merge_append()
            with producer as files:
                for path in add:
                    file = parquet_file_to_data_file(iceberg.io, iceberg.metadata, f"file://{path}")
                    files.append_data_file(file)
                    before[path] = StoredFile(path, file.record_count, file.file_size_in_bytes)
                if delete:
                    for task in iceberg.scan().plan_files():
                        if task.file.file_path.removeprefix("file://") in delete:
                            files.delete_data_file(task.file)
        after = [f for f in before.values() if f.path not in delete]
        self._write_plan(table, iceberg.metadata_location, sorted(after, key=lambda f: f.path))


def with_field_ids(schema: pa.Schema, iceberg: Schema) -> pa.Schema:
    """The Arrow schema with Iceberg's identifiers of columns, and of what lists and maps hold, in its metadata.

    pyiceberg has such a function too, but it turns every text into `large_string`, and that costs a copy of all texts.
    """
    import pyarrow as pa

    def identified(field: pa.Field, number: int, kind: Any) -> pa.Field:
        if pa.types.is_list(field.type):
            field = field.with_type(pa.list_(identified(field.type.value_field, kind.element_id, kind.element_type)))
        elif pa.types.is_map(field.type):
            key = identified(field.type.key_field, kind.key_id, kind.key_type)
            item = identified(field.type.item_field, kind.value_id, kind.value_type)
            field = field.with_type(pa.map_(key, item))
        return field.with_metadata({"PARQUET:field_id": str(number)})

    columns = {column.name: column for column in iceberg.fields}
    return pa.schema([identified(f, columns[f.name].field_id, columns[f.name].field_type) for f in schema])
