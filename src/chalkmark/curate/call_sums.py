"""What is counted of calls, added up over any grouping of them: `edges` group by trace, `call_paths` by hour."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from chalkmark.curate import columns, sums
from chalkmark.curate.calls import UNKNOWN
from chalkmark.curate.measure import Measured
from chalkmark.curate.tree import NONE

Ints = npt.NDArray[np.int64]


class CallSums:
    """Sums over the calls `which` of a part; `groups` is the group of each, below `count`. Durations in ns.

    What some calls do not tell (client, server, network, bytes) is an Arrow array, null where no call of a group tells.
    """

    def __init__(self, m: Measured, which: Ints, groups: npt.NDArray[Any], count: int) -> None:
        calls = m.calls
        own = [sums.total(calls.of_span, values, len(calls.span))[which] for values in (m.self_ns, m.critical_ns)]
        client, server = calls.client_ns[which], calls.server_ns[which]
        size = _bytes(m)[which]
        self.calls = np.bincount(groups, minlength=count)
        self.errors = np.bincount(groups[m.error[calls.span[which]]], minlength=count)
        self.total_ns: Ints = sums.total(groups, calls.total_ns[which], count)
        self.self_ns: Ints = sums.total(groups, own[0], count)
        self.critical_ns: Ints = sums.total(groups, own[1], count)
        self.client_ns = sums.known_total(groups, client, client != UNKNOWN, count)
        self.server_ns = sums.known_total(groups, server, server != UNKNOWN, count)
        self.network_ns = sums.known_total(groups, client - server, calls.waited[which], count)
        self.bytes = sums.known_total(groups, size, size != UNKNOWN, count)


def _bytes(m: Measured) -> Ints:
    """Request and response bytes of each call as the callee, or else the caller, saw them; -1 where neither did."""
    source = m.assembled.rows[m.order]
    request, response = (columns.numbers(m.assembled.raw[n], UNKNOWN)[source] for n in ("request_bytes", "response_bytes"))
    known = (request >= 0) | (response >= 0)
    span = np.where(known, np.maximum(request, 0) + np.maximum(response, 0), UNKNOWN)
    callee, client = span[m.calls.span], m.calls.client
    return np.where((callee == UNKNOWN) & (client != NONE), span[client], callee)
