"""Rows of the table `edges`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chalkmark.curate import columns
from chalkmark.curate.call_sums import CallSums
from chalkmark.curate.group import group_within
from chalkmark.curate.hashing import chain, texts
from chalkmark.curate.measure import Measured
from chalkmark.tables.edges import EDGES
from chalkmark.tables.spec import TIMESTAMP


def rows(m: Measured) -> pa.Table:
    """One row a trace x caller x callee: traces in the order of `m`, edges in the order in which they first occur."""
    calls = m.calls
    called = np.flatnonzero(calls.caller >= 0)
    name = chain(texts(m.services)[calls.service], texts(m.operations)[calls.operation])
    edge, first = group_within(m.trace[calls.span[called]], chain(name[calls.caller[called]], name[called]))
    callee = called[first]
    caller = calls.caller[callee]
    trace = m.trace[calls.span[callee]]
    total = CallSums(m, called, edge, len(first))
    return columns.table(
        EDGES,
        {
            "trace_id": columns.binary(m.trace_highs[trace], m.trace_lows[trace]),
            "caller_service": columns.texts(calls.service[caller], m.services),
            "caller_operation": columns.texts(calls.operation[caller], m.operations),
            "callee_service": columns.texts(calls.service[callee], m.services),
            "callee_operation": columns.texts(calls.operation[callee], m.operations),
            "calls": total.calls.astype(np.int32),
            "errors": total.errors.astype(np.int32),
            "total_ns": total.total_ns,
            "critical_ns": total.critical_ns,
            "client_ns": total.client_ns,
            "server_ns": total.server_ns,
            "network_ns": total.network_ns,
            "bytes": total.bytes,
            "weight": m.weights[trace],
            "ts": pa.array(m.began_us[trace], TIMESTAMP),
        },
    )
