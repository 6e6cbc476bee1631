"""The whole query of `chalkmark deps`, on a day of call paths of a large system; the start of the process apart.

python -m bench.deps [--json FILE]
"""

from __future__ import annotations

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
from chalkmark.tables.parquet import write_parquet
from chalkmark.tables.session import Session

SERVICES, ENDPOINTS, ROOTS, PATHS, HOURS = 1_500, 20_000, 500, 100_000, 24
SPANS = 10_000_000
DEEPEST = 18
FIRST_HOUR = datetime(2026, 11, 1, tzinfo=UTC)

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
    calls_per_hour: npt.NDArray[np.float64]


@dataclass
class Files:
    """One file an hour, as the lake would list them."""

    data: Path

    def files(self, table: str) -> list[str]:
        return sorted(str(path) for path in self.data.glob(f"{table}-*.parquet"))


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
    return Forest(parent, depth, root, endpoint, service_of, path_id, rate * (SPANS / HOURS / rate.sum()))


def write_hour(forest: Forest, hour: int, rng: np.random.Generator, path: Path) -> None:
    """The paths that were called in one hour, and those that lead to them."""
    calls = rng.poisson(forest.calls_per_hour)
    seen = calls > 0
    for depth in range(DEEPEST, 0, -1):
        seen[forest.parent[seen & (forest.depth == depth)]] = True
    rows = np.flatnonzero(seen)
    calls, parent, root = np.maximum(calls[rows], 1), forest.parent[rows], forest.root[rows]
    buckets = np.minimum(calls, np.minimum(30, 1 + (np.sqrt(calls) * 1.2).astype(np.int64)))
    offsets = np.concatenate([[0], np.cumsum(buckets)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], buckets)
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
        "latency_buckets": pa.ListArray.from_arrays(offsets.astype(np.int32), (400 + within).astype(np.int32)),
        "latency_counts": pa.ListArray.from_arrays(offsets.astype(np.int32), in_bucket),
        "ts": pa.array([FIRST_HOUR + timedelta(hours=hour)] * len(rows), CALL_PATHS.schema.field("ts").type),
    }
    counts = {f.name: calls.astype(f.type.to_pandas_dtype()) for f in CALL_PATHS.schema if f.name not in columns}
    table = pa.table(columns | counts).select(CALL_PATHS.schema.names).cast(CALL_PATHS.schema)
    write_parquet(table, CALL_PATHS.schema, path / f"call_paths-{hour:02d}.parquet")


def main() -> None:
    """Measures the service on most call paths, one in the middle, and one that is hardly called; a day and an hour."""
    rng = np.random.default_rng(20261101)
    made = forest(rng)
    with tempfile.TemporaryDirectory() as folder:
        for hour in range(HOURS):
            write_hour(made, hour, rng, Path(folder))
        service = made.service_of[made.endpoint]
        by_paths = np.argsort(-np.bincount(service, minlength=SERVICES), kind="stable")
        busy = np.bincount(service, made.calls_per_hour, minlength=SERVICES)[by_paths] > 20  # called in every hour
        focuses = {"worst": by_paths[0], "typical": by_paths[100], "rare": by_paths[busy][-1]}
        since = {"day": FIRST_HOUR, "hour": FIRST_HOUR + timedelta(hours=HOURS - 1)}
        with Session(Files(Path(folder))) as session:

            def ask(focus: int, since: datetime) -> dict[str, int]:
                found = find_dependencies(session, f"service-{focus:04d}", since=since, limit=20)
                return {"focus_paths": found.paths, "focus_calls": found.calls, "calls_beneath": found.calls_beneath}

            cases: list[Case] = []
            for name, focus in focuses.items():
                for span, start in since.items():
                    question: Callable[[], object] = partial(ask, int(focus), start)
                    cases.append(Case(f"{name} focus, a {span}", question, unit="queries", runs=7))
            sizes = {"services": SERVICES, "endpoints": ENDPOINTS, "paths": PATHS, "hours": HOURS, "spans": SPANS}
            run("deps", cases, parameters=sizes, argv=sys.argv[1:])


if __name__ == "__main__":
    main()
