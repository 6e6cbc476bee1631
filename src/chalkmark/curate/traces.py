"""Rows of the table `traces`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chalkmark.curate import columns, reasons, sums
from chalkmark.curate.group import group_within
from chalkmark.curate.measure import Measured
from chalkmark.tables.spec import TIMESTAMP
from chalkmark.tables.traces import TRACES

Ints = npt.NDArray[np.int64]


def rows(m: Measured) -> pa.Table:
    """One row a trace, in the order of `m`."""
    services, critical_services = _services(m)
    return columns.table(
        TRACES,
        {
            "trace_id": columns.binary(m.trace_highs, m.trace_lows),
            "root_service": columns.texts(m.service[m.roots], m.services),
            "root_operation": columns.texts(m.operation[m.roots], m.operations),
            "start_ns": m.start[m.roots],
            "duration_ns": m.duration[m.roots],
            "spans": np.diff(m.offsets).astype(np.int32),
            "services": services,
            "depth": np.maximum.reduceat(m.assembled.depth[m.order], m.offsets[:-1]),
            "errors": np.add.reduceat(m.error.astype(np.int32), m.offsets[:-1], dtype=np.int32),
            "critical_services": critical_services,
            "shape_id": m.occurrences.shapes.view(np.int64),
            "complete": m.completes,
            "quality": reasons.lists(m.reasons),
            "weight": m.weights,
            "ts": pa.array(m.began_us, TIMESTAMP),
        },
    )


def _services(m: Measured) -> tuple[pa.ListArray, pa.ListArray]:
    """Services of each trace by name, and those on its critical path by time there, the longest first."""
    of_span, first = group_within(m.trace, m.service.astype(np.uint64))
    trace, service = m.trace[first], m.service[first]
    critical = sums.total(of_span, m.critical_ns, len(trace))
    by_name = np.lexsort((service, trace))
    by_time = np.lexsort((service, -critical, trace))
    by_time = by_time[critical[by_time] > 0]
    return _lists(m, trace[by_name], service[by_name]), _lists(m, trace[by_time], service[by_time])


def _lists(m: Measured, trace: Ints, service: Ints) -> pa.ListArray:
    offsets = np.append(0, np.cumsum(np.bincount(trace, minlength=len(m.roots)))).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, m.services.take(pa.array(service)))
