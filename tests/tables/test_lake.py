"""The lake: Iceberg tables whose files can be listed quickly and replaced atomically."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from chalkmark.tables import TABLES
from chalkmark.tables.lake import Lake

HOUR_US = 3_600_000_000


def traces(ids: list[int], hour: int = 0) -> pa.Table:
    """Rows of `traces`; only identifiers and hour matter."""

    def value(field: pa.Field, i: int) -> Any:
        if field.name == "trace_id":
            return i.to_bytes(16, "big")
        if field.name == "ts":
            return hour * HOUR_US
        if pa.types.is_string(field.type):
            return "x"
        if pa.types.is_list(field.type):
            return ["a"]
        return True if pa.types.is_boolean(field.type) else i

    schema = TABLES["traces"].schema
    return pa.table([pa.array([value(f, i) for i in ids], f.type) for f in schema], schema=schema)


def stored(lake: Lake) -> list[int]:
    files = lake.files("traces")
    rows = duckdb.execute("select trace_id from read_parquet($1) order by 1", [files]).fetchall() if files else []
    return [int.from_bytes(r[0], "big") for r in rows]


def test_an_absent_lake_is_empty(tmp_path: Path) -> None:
    assert Lake(tmp_path / "nowhere").files("spans") == []
    assert not (tmp_path / "nowhere").exists()


def test_every_table_can_be_made_and_is_empty(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert {name: lake.open(name).name()[-1] for name in TABLES} == {name: name for name in TABLES}
    assert all(lake.files(name) == [] for name in TABLES)


def test_files_are_seen_once_they_are_committed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.catalog
    one = lake.write("traces", "p1", traces([1, 2]))
    assert stored(lake) == []
    lake.commit("traces", "c1", add=[one], delete=[])
    assert stored(lake) == [1, 2]


def test_a_lake_made_by_a_relative_path_is_read_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake(Path("data"))
    assert lake.catalog
    lake.commit("traces", "c", add=[lake.write("traces", "p", traces([1]))], delete=[])
    monkeypatch.chdir("/")
    assert stored(Lake(tmp_path / "data")) == [1]
    assert Lake(tmp_path / "data").open("traces").scan().to_arrow().num_rows == 1


def test_a_commit_is_carried_out_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.catalog
    one = lake.write("traces", "p1", traces([1]))
    for _ in range(2):
        lake.commit("traces", "c1", add=[one], delete=[])
    assert stored(lake) == [1]


def test_files_are_replaced_in_one_snapshot(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.catalog
    files = [lake.write("traces", f"p{i}", traces([i], hour=i)) for i in range(5)]
    for i, file in enumerate(files):
        lake.commit("traces", f"c{i}", add=[file], delete=[])
    lake.commit("traces", "r", add=[lake.write("traces", "q", traces([1, 3, 7], hour=1))], delete=[files[1], files[3]])
    assert stored(lake) == [0, 1, 2, 3, 4, 7]
    assert len(lake.open("traces").snapshots()) == 6


def test_another_process_sees_the_same_plan(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.catalog
    lake.commit("traces", "c", add=[lake.write("traces", "p", traces([1]))], delete=[])
    plan = lake.plan("traces")
    assert Lake(tmp_path).plan("traces") == plan


@pytest.mark.parametrize("damage", ["missing", "garbage", "stale"])
def test_the_plan_file_is_only_a_shortcut(tmp_path: Path, damage: str) -> None:
    lake = Lake(tmp_path)
    assert lake.catalog
    first = lake.write("traces", "p", traces([1]))
    lake.commit("traces", "c", add=[first], delete=[])
    plan_file = lake.folder("traces") / "plan.json"
    stale = plan_file.read_bytes()
    lake.commit("traces", "d", add=[lake.write("traces", "q", traces([2]))], delete=[first])
    plan = lake.plan("traces")
    match damage:
        case "missing":
            plan_file.unlink()
        case "garbage":
            plan_file.write_bytes(b"{")
        case "stale":
            plan_file.write_bytes(stale)
    assert Lake(tmp_path).plan("traces") == plan
    assert stored(lake) == [2]


def test_rows_and_sizes_are_told(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.catalog
    path = lake.write("traces", "2026092114-c-0-0", traces([1, 2, 3]))
    lake.commit("traces", "c", add=[path], delete=[])
    (file,) = lake.plan("traces")
    assert (file.part, file.rows, file.bytes) == ("2026092114-c-0-0", 3, Path(path).stat().st_size)


def test_pyiceberg_itself_reads_the_rows(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.catalog
    rows = traces([1, 2], hour=5)
    lake.commit("traces", "c", add=[lake.write("traces", "p", rows)], delete=[])
    read = lake.open("traces").scan(row_filter="ts >= '1970-01-01T05:00:00+00:00'").to_arrow()
    assert read.cast(rows.schema).equals(rows)
    assert lake.open("traces").scan(row_filter="ts >= '1970-01-01T06:00:00+00:00'").to_arrow().num_rows == 0


def die_in_the_middle_of_a_transaction(catalog: Path) -> None:
    """As a killed committer does: its pages are partly in the catalog, and the journal that undoes them beside it."""
    child = os.fork()
    if child == 0:
        connection = sqlite3.connect(catalog)
        connection.execute("pragma cache_size = 1")  # so that pages are written before the end
        connection.execute("delete from iceberg_tables")
        numbers = "with recursive n(i) as (select 1 union all select i + 1 from n limit 5000)"
        connection.execute(f"create table spill as {numbers} select randomblob(200) from n")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_committer_that_died_hides_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.catalog
    lake.commit("traces", "c", add=[lake.write("traces", "p", traces([1]))], delete=[])
    die_in_the_middle_of_a_transaction(tmp_path / "catalog.sqlite")
    assert (tmp_path / "catalog.sqlite-journal").stat().st_size > 0
    assert stored(Lake(tmp_path)) == [1]
