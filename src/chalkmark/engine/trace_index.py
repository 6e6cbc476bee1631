"""Which part holds a trace: found from the files of `traces` themselves, so there is nothing to keep in step."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow.parquet as pq

from chalkmark.engine.inbox import Keys, Rows, trace_keys
from chalkmark.engine.parts import parse_hour
from chalkmark.tables.lake import Lake

LATE_HOURS = 24
"""How far from a span's own hour the rest of its trace is looked for. A trace longer than this comes out in two."""


@lru_cache(maxsize=4096)
def _keys(path: str) -> Keys:
    """Sorted keys of the traces in one file. A file never changes, so this may be kept: 8 bytes a trace."""
    return np.sort(trace_keys(pq.read_table(path, columns=["trace_id"], partitioning=None)["trace_id"]))


def parts_holding(lake: Lake, keys: Keys, hours: Rows) -> dict[str, Keys]:
    """The parts, by name, that hold traces with these (sorted) keys, and which; looked for around `hours` (sorted)."""
    found = {}
    for file in lake.plan("traces"):
        hour = parse_hour(file.part[:10])
        nearest = np.searchsorted(hours, hour - LATE_HOURS)
        if nearest == len(hours) or hours[nearest] > hour + LATE_HOURS:
            continue
        stored = _keys(file.path)
        at = np.minimum(np.searchsorted(stored, keys), len(stored) - 1)
        hits = keys[stored[at] == keys]
        if len(hits):
            found[file.part] = hits
    return found
