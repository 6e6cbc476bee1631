"""The inbox: what lies in the landing folder, sorted into traces that are ready and traces that may still grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chalkmark.curate import columns
from chalkmark.tables.landing import SPAN_BATCH
from chalkmark.tables.landing_store import LandingFile, landing_files, read_landing

Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

CHUNK_ROWS = 500_000
CHUNK_BYTES = 1 << 30
"""Spans curated at a time: bounds memory to about 1.5 GB, and keeps a column of text below Arrow's 2 GiB."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Rows of the inbox grouped by trace. The rows of trace t are `rows[starts[t]:starts[t + 1]]`."""

    keys: Keys
    """Low half of the trace identifier: it is the same for the 64-bit and the 128-bit form."""
    starts: Rows
    rows: Rows
    began_ns: Rows
    """Earliest start of a span."""
    first_ns: Rows
    """Arrival of the first span."""
    last_ns: Rows
    """Arrival of the last span."""

    def __len__(self) -> int:
        return len(self.keys)

    def rows_of(self, traces: Rows) -> Rows:
        """The rows of some traces, ascending."""
        counts = self.starts[traces + 1] - self.starts[traces]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        return np.sort(self.rows[np.repeat(self.starts[traces], counts) + within])


class Inbox:
    """The landing files as they were when this was made."""

    def __init__(self, data: Path) -> None:
        self.files: list[LandingFile] = [read_landing(p) for p in landing_files(data)]
        self._ends = np.cumsum([f.spans.num_rows for f in self.files], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.files else 0

    @property
    def bytes(self) -> int:
        """Size of the spans in memory."""
        return sum(f.spans.nbytes for f in self.files)

    @property
    def rejections(self) -> list[pa.Table]:
        """The rejections of all files."""
        return [f.rejections for f in self.files if f.rejections.num_rows]

    def traces(self) -> Traces:
        """Group all rows by trace."""
        keys = np.concatenate([trace_keys(f.spans["trace_id"]) for f in self.files])
        received = self._column("received_ns")
        rows = np.argsort(keys, kind="stable")
        ordered = keys[rows]
        first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        return Traces(
            keys=ordered[first],
            starts=np.append(first, len(rows)),
            rows=rows,
            began_ns=np.minimum.reduceat(self._column("start_ns")[rows], first),
            first_ns=np.minimum.reduceat(received[rows], first),
            last_ns=np.maximum.reduceat(received[rows], first),
        )

    def _column(self, name: str) -> Rows:
        return np.concatenate([f.spans[name].to_numpy() for f in self.files])

    def take(self, rows: Rows, without: Sequence[str] = ()) -> pa.Table:
        """Some rows (ascending), of schema SPAN_BATCH but for the columns `without`."""
        taken = []
        bounds = np.searchsorted(rows, np.concatenate(([0], self._ends)))
        for file, low, high, end in zip(self.files, bounds[:-1], bounds[1:], self._ends, strict=True):
            if high > low:
                spans = file.spans.drop_columns(list(without))
                whole = high - low == spans.num_rows
                taken.append(spans if whole else spans.take(rows[low:high] - (end - spans.num_rows)))
        return pa.concat_tables(taken) if taken else SPAN_BATCH.empty_table().drop_columns(list(without))

    def chunks(self, traces: Traces, chosen: Rows) -> Iterator[Rows]:
        """Split traces into groups that fit in memory, in the order of their starts, so that a group spans few hours."""
        limit = CHUNK_ROWS
        if len(self):
            limit = max(1, min(limit, CHUNK_BYTES * len(self) // max(self.bytes, 1)))
        chosen = chosen[np.argsort(traces.began_ns[chosen], kind="stable")]
        sizes = np.cumsum(traces.starts[chosen + 1] - traces.starts[chosen])
        low, done = 0, 0
        while low < len(chosen):
            high = max(low + 1, int(np.searchsorted(sizes, done + limit, side="right")))
            yield chosen[low:high]
            low, done = high, int(sizes[high - 1])


def trace_keys(column: pa.ChunkedArray) -> Keys:
    """Low halves of trace identifiers, as numbers."""
    return np.concatenate([columns.ids(chunk)[1] for chunk in column.chunks] or [np.empty(0, np.uint64)])
