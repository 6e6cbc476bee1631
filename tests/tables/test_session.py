from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalkmark.errors import ChalkmarkError
from chalkmark.histogram import LATENCY, merge
from chalkmark.tables import TABLES
from chalkmark.tables.session import Session, named_tables
from chalkmark.tables.spec import TIMESTAMP


class Files:
    """A lake of plain files; remembers which tables were asked for."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.asked: list[str] = []

    def files(self, table: str) -> list[str]:
        self.asked.append(table)
        return sorted(str(p) for p in (self.data / table).glob("**/*.parquet"))

    def add(self, table: str, rows: list[dict[str, object]], file: str = "a.parquet") -> None:
        path = self.data / table / file
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([_filled(table, r) for r in rows], TABLES[table].schema), path)


def _filled(table: str, row: dict[str, object]) -> dict[str, object]:
    """The row with something in every column that it leaves out."""
    empty = {pa.int64(): 0, pa.int32(): 0, pa.float64(): 0.0, pa.string(): "", pa.bool_(): False}
    filled: dict[str, object] = {}
    for column in TABLES[table].columns:
        if column.nullable:
            filled[column.name] = None
        elif pa.types.is_timestamp(column.type):
            filled[column.name] = datetime(2026, 1, 1, tzinfo=UTC)
        elif pa.types.is_fixed_size_binary(column.type):
            filled[column.name] = bytes(column.type.byte_width)
        else:
            filled[column.name] = empty.get(column.type, [])
    return filled | row


@pytest.fixture
def lake(tmp_path: Path) -> Files:
    return Files(tmp_path / "lake")


@pytest.fixture
def session(lake: Files) -> Iterator[Session]:
    lake.data.mkdir()
    with Session(lake) as session:
        yield session


def test_every_table_can_be_queried_in_an_empty_lake_with_its_types(session: Session) -> None:
    for name, spec in TABLES.items():
        result = session.sql(f"select * from {name}")
        assert result.num_rows == 0
        assert result.column_names == [c.name for c in (*spec.columns, *spec.view_columns)]
        types = dict(zip(result.column_names, result.schema.types, strict=True))
        assert all(types[c.name] == c.type for c in spec.columns if pa.types.is_primitive(c.type) and c.type != TIMESTAMP)


def test_a_query_that_names_no_table_asks_the_lake_for_nothing(session: Session, lake: Files) -> None:
    assert session.sql("select 1 as one").to_pylist() == [{"one": 1}]
    assert lake.asked == []


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("select * from spans", ["spans"]),
        ("with t as (select * from lake.edges) select * from t where true", ["edges"]),
        ("select (select count(*) from TRACES), x from (from shapes) s(x)", ["traces", "shapes"]),
        ("pivot spans on kind using count(*)", ["spans"]),
        ("from query('from annotations')", ["annotations"]),
        ("select 1", []),
    ],
)
def test_only_tables_that_are_named_are_made(query: str, tables: list[str]) -> None:
    assert named_tables(query) == tables


def test_stored_and_viewed_rows_are_both_there(session: Session, lake: Files) -> None:
    lake.add("spans", [{"service": "cart", "trace_id": b"\x01" * 16, "attributes": [("a", "1")]}], "hour=2026/a.parquet")
    row = session.sql("select service, hex(trace_id) as id, attributes['a'] as a from spans").to_pylist()
    assert row == [{"service": "cart", "id": "01" * 16, "a": "1"}]
    assert session.sql("select count(*) as n from lake.spans")["n"].to_pylist() == [1]
    assert "hour" not in session.sql("from spans").column_names  # a folder's name is no column


def test_new_files_are_seen_by_the_next_query(session: Session, lake: Files) -> None:
    assert session.sql("select count(*) as n from traces")["n"].to_pylist() == [0]
    lake.add("traces", [{}], "a.parquet")
    assert session.sql("select count(*) as n from traces")["n"].to_pylist() == [1]
    lake.add("traces", [{}, {}], "b.parquet")
    (lake.data / "traces" / "a.parquet").unlink()
    assert session.sql("select count(*) as n from traces")["n"].to_pylist() == [2]


def test_parameters_fill_names_and_positions(session: Session) -> None:
    assert session.sql("select $a + $b as c", {"a": 1, "b": 2})["c"].to_pylist() == [3]
    assert session.sql("select ? || 'y' as c", ["x"])["c"].to_pylist() == ["xy"]
    with pytest.raises(ChalkmarkError):
        session.sql("select $a", {"b": 1})


def test_sums_are_64_bits_wide_where_they_fit(session: Session) -> None:
    assert session.sql("select sum(x) as s from range(3) t(x)").schema.field("s").type == pa.int64()
    wide = session.sql("select sum(x) as s from (values (9223372036854775807), (9223372036854775807)) t(x)")
    assert int(wide["s"][0].as_py()) == 2 * (2**63 - 1)


@pytest.mark.parametrize(
    "query",
    [
        "copy (select 1) to '{out}'",
        "attach '{out}'",
        "install httpfs",
        "load httpfs",
        "set threads = 1",
        "create table t as select 1",
        "drop view spans",
        "export database '{out}'",
        "import database '{out}'",
        "pragma database_list",
        "call pragma_version()",
        "select 1; select 2",
        "",
        "explain analyze copy (select 1) to '{out}'",
        "explain /* */ analyze copy (select 1) to '{out}'",
        "/* */ explain analyze copy (select 1) to '{out}'",
        "with x as (copy (select 1) to '{out}') select 1",
        "with x as not materialized (/**/ copy (select 1) to '{out}') select 1",
        "(with x as (copy (select 1) to '{out}') select 1)",
        "explain analyze with x as (copy (select 1) to '{out}') select 1",
        "with x as (copy (select 1) to '{out}') pivot x on \"Count\"",
        "from query('with x as (copy (select 1) to ''{out}'') select 1')",
        "with x as (insert into empty.spans from spans returning 1) select 1",
        "with x as (delete from empty.spans returning 1) select 1",
    ],
)
@pytest.mark.parametrize("read_files", [False, True])
def test_nothing_can_be_written(lake: Files, query: str, read_files: bool) -> None:
    lake.data.mkdir()
    out = lake.data / "out"
    with Session(lake, read_files=read_files) as session:
        session.sql("from spans")  # so that there is an empty table to write to
        with pytest.raises(ChalkmarkError) as raised:
            session.sql(query.format(out=out))
        assert raised.value.hint
        assert session.sql("from spans").num_rows == 0
    assert not out.exists()


def test_other_files_are_read_only_where_that_is_allowed(lake: Files, tmp_path: Path) -> None:
    lake.add("traces", [{}])
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    query = f"select count(*) as n from traces, read_csv('{other}')"
    with Session(lake) as session, pytest.raises(ChalkmarkError, match="disabled") as raised:
        session.sql(query)
    assert "--files" in raised.value.hint
    with Session(lake, read_files=True) as session:
        assert session.sql(query)["n"].to_pylist() == [1]


def test_python_variables_are_not_tables(session: Session) -> None:
    secret = pa.table({"a": [1]})
    with pytest.raises(ChalkmarkError, match="no table 'secret'"):
        session.sql("select * from secret")
    assert secret.num_rows == 1


def test_an_unknown_table_is_named_with_the_nearest(session: Session) -> None:
    with pytest.raises(ChalkmarkError, match="no table 'span'") as raised:
        session.sql("select * from span")
    assert "spans" in raised.value.hint


def test_an_unknown_column_is_named_with_the_nearest(session: Session) -> None:
    with pytest.raises(ChalkmarkError, match='"servise"') as raised:
        session.sql("select servise from traces join spans using (trace_id)")
    assert "service" in raised.value.hint


def test_a_table_file_that_cannot_be_read_is_an_error_that_names_the_table(session: Session, lake: Files) -> None:
    (lake.data / "traces").mkdir()
    (lake.data / "traces" / "a.parquet").write_bytes(b"not Parquet at all")
    with pytest.raises(ChalkmarkError, match="Table traces"):
        session.sql("from traces")


def test_limits_that_make_no_sense_are_an_error(lake: Files) -> None:
    lake.data.mkdir()
    with pytest.raises(ChalkmarkError, match="SQL session"):
        Session(lake, memory="a lot")


def test_threads_share_a_session(session: Session, lake: Files) -> None:
    lake.add("traces", [{"spans": i} for i in range(100)])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: session.sql("select sum(spans) + $i as n from traces", {"i": i}), range(40)))
    assert [int(a["n"][0].as_py()) for a in answers] == [4950 + i for i in range(40)]


HISTOGRAM = st.dictionaries(st.integers(0, LATENCY.buckets - 1), st.integers(1, 10**6), max_size=20)


def _sparse(histogram: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(sorted(histogram), np.int64), np.array([histogram[b] for b in sorted(histogram)], np.int64)


@settings(max_examples=40, deadline=None)
@given(st.lists(HISTOGRAM, min_size=1, max_size=6), st.sampled_from([0, 0.07, 0.5, 0.9, 0.99, 1]))
def test_sql_histograms_agree_with_python(histograms: list[dict[int, int]], q: float) -> None:
    query = """
        with h as (select $h::struct(buckets integer[], counts bigint[])[] as h),
        merged as (select h2_merge(list_transform(h, lambda x: h2(x.buckets, x.counts))) as h from h)
        select h, h2_count(h) as n, h2_quantile(h, $q) as by_value, h2_quantile(h.buckets, h.counts, $q) as by_lists from merged
    """
    sparse = [_sparse(h) for h in histograms]
    handed = [{"buckets": b.tolist(), "counts": c.tolist()} for b, c in sparse]
    row = SHARED.sql(query, {"h": handed, "q": float(q)}).to_pylist()[0]
    buckets, counts = merge(sparse)
    assert row["h"] == {"buckets": buckets.tolist(), "counts": counts.tolist()}
    assert row["n"] == counts.sum()
    assert row["by_value"] == row["by_lists"] == LATENCY.quantile((buckets, counts), q)


def test_bucket_bounds_agree_with_python_in_every_bucket() -> None:
    rows = SHARED.sql(f"select h2_lower(b) as low, h2_upper(b) as high from range({LATENCY.buckets}) t(b) order by b")
    low, high = LATENCY.bounds(np.arange(LATENCY.buckets))
    assert rows["low"].to_pylist() == low.tolist()
    assert rows["high"].to_pylist() == high.tolist()


@pytest.mark.parametrize("q", ["-0.1", "1.1", "null", "'nan'"])
def test_a_quantile_outside_0_to_1_is_null(q: str) -> None:
    assert SHARED.sql(f"select h2_quantile([1], [1], {q}) as x")["x"].to_pylist() == [None]


def test_nanoseconds_become_a_timestamp_in_utc() -> None:
    assert SHARED.sql("select utc(1767225600123456789)::text as t")["t"].to_pylist() == ["2026-01-01 00:00:00.123456+00"]


def _path(calls: int, latency: dict[int, int], **more: object) -> dict[str, object]:
    buckets, counts = _sparse(latency)
    return {"calls": calls, "latency_buckets": buckets.tolist(), "latency_counts": counts.tolist(), **more}


def test_call_paths_of_several_files_are_added_up_by_hour(session: Session, lake: Files) -> None:
    root = {"path_id": 1, "root_service": "a", "service": "a"}
    child = {"path_id": 2, "parent_path_id": 1, "root_service": "a", "service": "b", "depth": 1}
    later = datetime(2026, 1, 1, 1, tzinfo=UTC)
    lake.add("call_paths", [_path(2, {5: 2}, **root), _path(6, {3: 6}, **child)], "a.parquet")
    lake.add(
        "call_paths",
        [_path(2, {5: 1, 9: 1}, **root), _path(2, {4: 2}, **child), _path(1, {7: 1}, ts=later, **root)],
        "b.parquet",
    )
    query = "select path_id, calls, latency_buckets, latency_counts, amplification from call_paths order by ts, path_id"
    assert [tuple(r.values()) for r in session.sql(query).to_pylist()] == [
        (1, 4, [5, 9], [3, 1], 1.0),
        (2, 8, [3, 4], [6, 2], 2.0),
        (1, 1, [7], [1], 1.0),
    ]


def test_call_paths_merge_no_histograms_that_are_not_selected(session: Session, lake: Files) -> None:
    rows = [_path(1, {5: 1}, path_id=1, service="a", ts=datetime(2026, 1, 1, hour, tzinfo=UTC)) for hour in range(4)]
    lake.add("call_paths", rows)

    def plan(query: str) -> str:
        return str(session.sql(f"explain {query}")["explain_value"][0].as_py())

    cheap = plan("select service, sum(calls) from call_paths where ts > '2026-01-01 02:00Z' group by all")
    assert "latency" not in cheap
    assert "Filters" in cheap  # the condition on ts reaches the files
    assert "latency_counts" in plan("select latency_buckets from call_paths")


class _Nothing:
    data = Path("/nonexistent")

    def files(self, table: str) -> list[str]:
        raise AssertionError(table)


SHARED = Session(_Nothing())
"""For queries over no table."""
