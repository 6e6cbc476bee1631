"""`chalkmark deps` on the call paths of a large system: the query alone, and the whole process with its start.

Three lakes with one file an hour, as compaction leaves them: 10 M spans a day, in which an hour sees a fifth of the
paths; 100 M spans a day in the worst case, every path in every hour; and an hour that is being received, in 30 files.

python -m bench.deps [--json FILE] [--case TEXT]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.harness import Case, run
from chalkmark.models.dependency_query import find_dependencies
from chalkmark.tables.call_paths import CALL_PATHS
from chalkmark.tables.lake import Lake

SERVICES, ENDPOINTS, ROOTS, PATHS, HOURS = 1_500, 20_000, 500, 100_000, 24
LIVE_FILES = 30
DEEPEST = 18
FIRST_HOUR = datetime(2026, 11, 1, tzinfo=UTC)
LAST_HOUR = FIRST_HOUR + timedelta(hours=HOURS - 1)
CHALKMARK = Path(sys.executable).with_name("chalkmark")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Forest:
    """Call paths as parents that come before their children; endpoint e belongs to service `service_of[e]`."""

    parent: Ints
    depth: Ints
    root: Ints
    endpoint: Ints
    service_of: Ints
    path_id: Ints
    rate: npt.NDArray[np.float64]
    """Share of all calls."""


def forest(rng: np.random.Generator) -> Forest:
    """A few endpoints are called by nearly everybody, a few root endpoints have thousands of paths: Pareto, as systems are."""
    service_of = np.concatenate([np.arange(SERVICES), (rng.pareto(1.1, ENDPOINTS - SERVICES) * 3).astype(np.int64) % SERVICES])
    parent, depth, root = np.full(PATHS, -1), np.zeros(PATHS, np.int64), np.arange(PATHS)
    root[ROOTS:] = np.minimum((rng.pareto(0.9, PATHS - ROOTS) * 8).astype(np.int64), 10**6) % ROOTS
    endpoint = np.minimum((rng.pareto(0.8, PATHS) * 20).astype(np.int64), 10**7) % ENDPOINTS
    endpoint[:ROOTS] = rng.choice(ENDPOINTS, ROOTS, replace=False)
    members: list[list[int]] = [[i] for i in range(ROOTS)]
    place = rng.random(PATHS) ** 0.7
    rate, fan_out = np.empty(PATHS), np.minimum(np.exp(rng.normal(-0.5, 1.0, PATHS)), 20)
    rate[:ROOTS] = rng.pareto(0.8, ROOTS) + 0.01
    for i in range(ROOTS, PATHS):
        tree = members[root[i]]
        above = tree[int(place[i] * len(tree))]
        while depth[above] >= DEEPEST:
            above = int(parent[above])
        parent[i], depth[i], rate[i] = above, depth[above] + 1, rate[above] * fan_out[i]
        tree.append(i)
    path_id = rng.integers(-(2**63), 2**63 - 1, PATHS)
    return Forest(parent, depth, root, endpoint, service_of, path_id, rate / rate.sum())


def rows_of(forest: Forest, hour: datetime, spans: int, rng: np.random.Generator, *, every: bool) -> pa.Table:
    """Rows of the paths that were called and of those that lead to them, or of `every` path; sorted by path."""
    calls = rng.poisson(forest.rate * spans)
    seen = np.full(PATHS, every) | (calls > 0)
    for depth in range(DEEPEST, 0, -1):
        seen[forest.parent[seen & (forest.depth == depth)]] = True
    rows = np.flatnonzero(seen)
    rows = rows[np.argsort(forest.path_id[rows])]
    calls, parent, root = np.maximum(calls[rows], 1), forest.parent[rows], forest.root[rows]
    buckets = np.minimum(calls, np.minimum(30, 1 + (np.sqrt(calls) * 1.2).astype(np.int64)))
    offsets = np.concatenate([[0], np.cumsum(buckets)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], buckets)
    fastest = 450 + forest.path_id[rows] % 350  # bucket of the path's shortest call: 0.1 ms to 0.2 s
    in_bucket = np.repeat(calls // buckets, buckets)
    in_bucket[offsets[:-1]] += calls % buckets
    services = pa.array([f"service-{i:04d}" for i in range(SERVICES)])
    operations = pa.array([f"GET /api/v1/operation-{i}" for i in range(ENDPOINTS)])
    endpoint, root_endpoint = forest.endpoint[rows], forest.endpoint[root]
    columns = {
        "path_id": forest.path_id[rows],
        "parent_path_id": pa.array(forest.path_id[np.maximum(parent, 0)], mask=parent < 0),
        "root_service": services.take(pa.array(forest.service_of[root_endpoint])),
        "root_operation": operations.take(pa.array(root_endpoint)),
        "service": services.take(pa.array(forest.service_of[endpoint])),
        "operation": operations.take(pa.array(endpoint)),
        "partial": np.zeros(len(rows), bool),
        "depth": forest.depth[rows].astype(np.int32),
        "traces": np.maximum(calls // 2, 1),
        "errors": rng.binomial(calls, 0.002),
        "latency_buckets": pa.ListArray.from_arrays(
            offsets.astype(np.int32), (np.repeat(fastest, buckets) + within).astype(np.int32)
        ),
        "latency_counts": pa.ListArray.from_arrays(offsets.astype(np.int32), in_bucket),
        "ts": pa.array([hour] * len(rows), CALL_PATHS.schema.field("ts").type),
    }
    for field in CALL_PATHS.schema:
        if field.name.endswith("_ns"):
            columns[field.name] = (calls * rng.lognormal(14, 1, len(rows))).astype(np.int64)
        elif field.name not in columns:
            columns[field.name] = calls.astype(field.type.to_pandas_dtype())
    return pa.table(columns).select(CALL_PATHS.schema.names).cast(CALL_PATHS.schema)


def fill(lake: Lake, rows: dict[str, pa.Table]) -> None:
    """One file for each of `rows`, in one commit."""
    lake.open("call_paths")  # makes the tables
    lake.commit("call_paths", "bench", add=[lake.write("call_paths", name, table) for name, table in rows.items()], delete=[])


def lakes(made: Forest, folder: Path, rng: np.random.Generator) -> dict[str, Lake]:
    """The three lakes, by name."""
    hours = [FIRST_HOUR + timedelta(hours=hour) for hour in range(HOURS)]
    filled = {name: Lake(folder / name) for name in ("10M", "100M", "live")}
    for name, spans in (("10M", 10_000_000), ("100M", 100_000_000)):
        files = {f"{hour:%Y%m%d%H}": rows_of(made, hour, spans // HOURS, rng, every=name == "100M") for hour in hours}
        fill(filled[name], files)
    live = 100_000_000 // HOURS // LIVE_FILES
    fill(filled["live"], {f"{i:02d}": rows_of(made, LAST_HOUR, live, rng, every=False) for i in range(LIVE_FILES)})
    return filled


def main() -> None:
    """Measures the service on most call paths, one in the middle, and one that is hardly called."""
    rng = np.random.default_rng(20261101)
    made = forest(rng)
    service = made.service_of[made.endpoint]
    by_paths = np.argsort(-np.bincount(service, minlength=SERVICES), kind="stable")
    busy = np.bincount(service, made.rate, minlength=SERVICES)[by_paths] > 5e-5  # called in every hour
    focuses = {"worst": by_paths[0], "typical": by_paths[100], "rare": by_paths[busy][-1]}
    with tempfile.TemporaryDirectory() as folder:
        filled = lakes(made, Path(folder), rng)

        def ask(lake: Lake, focus: str, since: datetime) -> dict[str, int]:
            found = find_dependencies(lake, focus, since=since, limit=20)
            return {"focus_paths": found.paths, "focus_calls": found.calls, "calls_beneath": found.calls_beneath}

        def process(lake: Lake, focus: str) -> None:
            subprocess.run([CHALKMARK, "deps", focus, "--data", lake.data], check=True, stdout=subprocess.DEVNULL)

        questions = [("10M", "day"), ("10M", "hour"), ("100M", "day"), ("100M", "hour"), ("live", "hour")]
        cases: list[Case] = []
        for name, number in focuses.items():
            focus = f"service-{number:04d}"
            for lake, span in questions:
                since = FIRST_HOUR if span == "day" else LAST_HOUR
                question: Callable[[], object] = partial(ask, filled[lake], focus, since)
                cases.append(Case(f"{lake} spans a day, a {span}, {name} focus", question, unit="queries", runs=7))
        for lake in filled:
            question = partial(process, filled[lake], f"service-{focuses['typical']:04d}")
            cases.append(Case(f"process: {lake} spans a day, typical focus", question, unit="queries"))
        sizes = {"services": SERVICES, "endpoints": ENDPOINTS, "paths": PATHS, "hours": HOURS, "live_files": LIVE_FILES}
        run("deps", cases, parameters=sizes, argv=sys.argv[1:])


if __name__ == "__main__":
    main()
