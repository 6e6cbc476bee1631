"""Rows of the table `call_paths`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chalkmark.curate import columns, sums
from chalkmark.curate.call_sums import CallSums
from chalkmark.curate.group import group
from chalkmark.curate.measure import Measured
from chalkmark.curate.tree import NONE
from chalkmark.histogram import LATENCY
from chalkmark.tables.call_paths import CALL_PATHS
from chalkmark.tables.spec import TIMESTAMP

Ints = npt.NDArray[np.int64]

_HOUR_US = 3_600_000_000


def rows(m: Measured) -> pa.Table:
    """One row an hour x path, sorted by both."""
    calls, occurrences = m.calls, m.occurrences
    hours = m.began_us // _HOUR_US
    row, hour, path = group(hours[occurrences.trace].view(np.uint64), occurrences.path)
    order = np.lexsort((path.view(np.int64), hour.view(np.int64)))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    row, hour, path = place[row], hour[order].view(np.int64), path[order].view(np.int64)

    one = occurrences.call[sums.firsts(row, len(order))]  # any call along the path, to name it
    caller, top = calls.caller[one], calls.top[one]
    row_of_call = row[occurrences.of_call]
    every = np.arange(len(calls.span))
    total = CallSums(m, every, row_of_call, len(order))
    weights = m.weights[occurrences.trace]
    buckets, counts = _latency(row_of_call, calls.total_ns, len(order))
    return columns.table(
        CALL_PATHS,
        {
            "path_id": path,
            "parent_path_id": pa.array(calls.path[caller].view(np.int64), mask=caller == NONE),
            "root_service": columns.texts(calls.service[top], m.services),
            "root_operation": columns.texts(calls.operation[top], m.operations),
            "service": columns.texts(calls.service[one], m.services),
            "operation": columns.texts(calls.operation[one], m.operations),
            "partial": calls.partial[one],
            "depth": calls.depth[one],
            "calls": total.calls,
            "traces": np.bincount(row, minlength=len(order)),
            "errors": total.errors,
            "weighted_calls": sums.total(row, weights * occurrences.multiplicity, len(order)),
            "weighted_traces": sums.total(row, weights, len(order)),
            "total_ns": total.total_ns,
            "self_ns": total.self_ns,
            "critical_ns": total.critical_ns,
            "client_ns": total.client_ns.fill_null(0),
            "server_ns": total.server_ns.fill_null(0),
            "network_ns": total.network_ns.fill_null(0),
            "bytes": total.bytes.fill_null(0),
            "latency_buckets": buckets,
            "latency_counts": counts,
            "ts": pa.array(hour * _HOUR_US, TIMESTAMP),
        },
    )


def _latency(row: Ints, duration: Ints, rows: int) -> tuple[pa.ListArray, pa.ListArray]:
    """Histogram of the durations in each row: buckets, and counts."""
    cells, counts = np.unique(row * LATENCY.buckets + LATENCY.index(duration), return_counts=True)
    offsets = np.searchsorted(cells, np.arange(rows + 1) * LATENCY.buckets).astype(np.int32)
    return (
        pa.ListArray.from_arrays(offsets, pa.array((cells % LATENCY.buckets).astype(np.int32))),
        pa.ListArray.from_arrays(offsets, pa.array(counts.astype(np.int64))),
    )
