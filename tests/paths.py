"""Rows of `call_paths` for tests, from paths written as tuples of `service:operation`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow as pa

from chalkmark.histogram import LATENCY
from chalkmark.tables.call_paths import CALL_PATHS

CallPath = tuple[str, ...]

HOUR = datetime(2026, 11, 1, 12, tzinfo=UTC)

ACCEPTANCE: dict[CallPath, int] = {
    ("A:a",): 10,
    ("A:a", "B:b"): 10,
    ("A:a", "B:b", "D:call3"): 50,
    ("A:a", "B:b", "D:call5"): 20,
    ("A:a", "B:b", "E:e"): 10,
    ("A:a", "B:b", "E:e", "C:c"): 200,
    ("A:a", "B:b", "E:e", "C:c", "D:call4"): 40,
}
"""Root A 10 calls; A calls B 10; B calls D.call3 50, D.call5 20, E 10; E calls C 200; C calls D.call4 40."""


def call_paths(
    calls: Mapping[CallPath, int],
    traces: Mapping[CallPath, int] | None = None,
    *,
    partial: bool = False,
    latency: Mapping[CallPath, int] | None = None,
    ts: datetime = HOUR,
) -> pa.Table:
    """One row a path. Traces default to the least of the calls along the path, every call lasts 1 ms or `latency` ns."""
    rows = []
    for path, n in calls.items():
        root_service, _, root_operation = path[0].partition(":")
        service, _, operation = path[-1].partition(":")
        duration = (latency or {}).get(path, 1_000_000)
        rows.append(
            {
                "path_id": path_id(path, partial),
                "parent_path_id": path_id(path[:-1], partial) if len(path) > 1 else None,
                "root_service": root_service,
                "root_operation": root_operation,
                "service": service,
                "operation": operation,
                "partial": partial,
                "depth": len(path) - 1,
                "calls": n,
                "traces": traces[path] if traces else min(n, *(calls.get(path[:i], n) for i in range(1, len(path) + 1))),
                "errors": n // 10,
                "weighted_calls": float(n),
                "weighted_traces": float(n),
                "total_ns": n * duration,
                "self_ns": n * duration,
                "critical_ns": n * duration,
                "client_ns": n * duration,
                "server_ns": n * duration,
                "network_ns": 0,
                "bytes": 0,
                "latency_buckets": LATENCY.index([duration]).tolist(),
                "latency_counts": [n],
                "ts": ts,
            }
        )
    return pa.Table.from_pylist(rows, CALL_PATHS.schema)


def path_id(path: CallPath, partial: bool = False) -> int:
    digest = hashlib.blake2b("\x1f".join([str(partial), *path]).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little", signed=True)
