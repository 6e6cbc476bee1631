from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from chalkmark.errors import ChalkmarkError
from chalkmark.histogram import LATENCY, merge
from chalkmark.models.latencies import latency_quantiles
from chalkmark.models.path_rows import PathRows, sources
from chalkmark.tables.call_paths import CALL_PATHS
from chalkmark.tables.parquet import write_parquet
from paths import ACCEPTANCE, HOUR, call_paths

ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
HOURS = [HOUR + timedelta(hours=i) for i in range(4)]


def random_rows(seed: int) -> pa.Table:
    """Rows of some of the paths in each hour, in any order, with random calls and histograms."""
    rng = np.random.default_rng(seed)
    rows = pa.concat_tables([call_paths(ACCEPTANCE, ts=ts) for ts in HOURS])
    rows = rows.take(pa.array(rng.permutation(len(rows))[: len(rows) * 3 // 4]))
    histograms = [LATENCY.count(rng.integers(0, 10**9, rng.integers(0, 40))) for _ in range(len(rows))]
    columns = {
        "calls": pa.array(rng.integers(0, 2**60, len(rows)) // 64),
        "latency_buckets": pa.array([buckets for buckets, _ in histograms], pa.list_(pa.int32())),
        "latency_counts": pa.array([counts for _, counts in histograms], pa.list_(pa.int64())),
    }
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows.cast(CALL_PATHS.schema)


@pytest.mark.parametrize(("since", "until"), [ALWAYS, (HOURS[1], HOURS[3]), (HOURS[1], HOURS[2]), (HOURS[3], ALWAYS[1])])
@pytest.mark.parametrize("group_rows", [1000, 5])
def test_files_give_the_rows_of_the_hours(tmp_path: Path, since: datetime, until: datetime, group_rows: int) -> None:
    rows = random_rows(1).sort_by([("ts", "ascending"), ("path_id", "ascending")])
    pq.write_table(rows, tmp_path / "mixed.parquet", row_group_size=group_rows, store_schema=False)
    write_parquet(call_paths(ACCEPTANCE, ts=HOURS[3]), CALL_PATHS.schema, tmp_path / "last.parquet")
    every = pa.concat_tables([rows, call_paths(ACCEPTANCE, ts=HOURS[3])])
    wanted = every.filter(pc.and_(pc.greater_equal(every["ts"], since), pc.less(every["ts"], until)))
    found = PathRows(sources([str(tmp_path / "mixed.parquet"), str(tmp_path / "last.parquet")], since, until))
    expected: Counter[int] = Counter()
    for path, calls in zip(wanted["path_id"].to_pylist(), wanted["calls"].to_pylist(), strict=True):
        expected[path] += calls
    nodes = np.arange(len(found.path_id))
    sums = found.sums(nodes, ["calls"])["calls"]  # beyond 2^53, where floats are no longer exact
    assert dict(zip(found.path_id.tolist(), sums.tolist(), strict=True)) == dict(expected)
    names = dict(zip(every["path_id"].to_pylist(), every["operation"].to_pylist(), strict=True))
    assert found.shared(["operation"])["operation"].to_pylist() == [names[path] for path in found.path_id.tolist()]


def test_no_file_has_rows_of_other_hours(tmp_path: Path) -> None:
    write_parquet(call_paths(ACCEPTANCE), CALL_PATHS.schema, tmp_path / "a.parquet")
    assert sources([str(tmp_path / "a.parquet")], HOURS[1], ALWAYS[1]) == []
    assert len(PathRows([]).path_id) == 0


def test_a_source_without_a_wanted_path_is_not_read() -> None:
    asked = []

    def source(columns: list[str]) -> pa.Table:
        asked.append(columns)
        return call_paths({("Z:z",): 1}).select(columns)

    rows = PathRows([call_paths(ACCEPTANCE).select, source])
    [other] = np.flatnonzero(rows.shared(["service"])["service"].to_numpy() == "Z")
    asked.clear()
    rows.sums(np.delete(np.arange(len(rows.path_id)), other), ["calls"])
    assert asked == []


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(ChalkmarkError, match="Table call_paths"):
        sources([str(tmp_path / "a.parquet")], *ALWAYS)


@pytest.mark.parametrize("seed", range(10))
def test_quantiles_are_of_the_sum_of_histograms(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [random_rows(seed), random_rows(seed + 100)]
    rows = PathRows([part.select for part in parts])
    groups = [rng.permutation(len(rows.path_id))[: rng.integers(0, len(rows.path_id) + 1)] for _ in range(6)]
    got = latency_quantiles(rows, groups, (0.5, 0.99))
    for number, nodes in enumerate(groups):
        members = set(rows.path_id[nodes].tolist())
        stored = [r for part in parts for r in part.to_pylist() if r["path_id"] in members]
        summed = merge([(np.array(r["latency_buckets"], int), np.array(r["latency_counts"], int)) for r in stored])
        assert [values[number] for values in got] == [LATENCY.quantile(summed, q) for q in (0.5, 0.99)]
