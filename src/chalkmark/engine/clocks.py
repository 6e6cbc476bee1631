"""What is known about the clocks of some hours: the evidence stored with their parts, and that of spans being drafted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chalkmark.curate.assemble import Assembled, assemble
from chalkmark.curate.clock import ClockModel, solve
from chalkmark.curate.clock_evidence import evidence
from chalkmark.curate.raw import from_landing
from chalkmark.engine.files import hours, read, slice_where
from chalkmark.engine.parts import HOUR_NS, format_hour
from chalkmark.tables.lake import Lake
from chalkmark.tables.landing import SPAN_BATCH

EXTRAS = ("attributes", "annotations")
"""Columns of SPAN_BATCH that say nothing about clocks, and are most of its bytes."""

Span = tuple[int, int]
"""First and last hour, in hours since the epoch."""


class Clocks:
    """Clock offsets for one draft."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._drafted: list[pa.Table] = []
        self._observed: dict[Span, ClockModel] | None = None
        """Models from all spans of the draft; None where these were not looked at beforehand."""

    def observe(self, chunks: Iterable[pa.Table]) -> None:
        """Learn from received spans that are curated afterwards, chunk by chunk.

        Otherwise the first chunk would know less than the last, and would be done again by `settle`. Where the first one
        shows no clock to be wrong there is likely nothing to know, and the rest is not looked at.
        """
        seen: list[pa.Table] = []
        for spans in chunks:
            raw, _ = from_landing(_without_extras(spans))
            seen.append(shown_by(assemble(raw)))
            if len(seen) == 1 and not solve(seen[0]).offset_ns.any():
                return
        self._drafted += seen
        self._observed = {}

    def model(self, around: Span, seen: pa.Table, *, fresh: bool, without: set[str]) -> ClockModel:
        """The clocks of some hours, as spans that show `seen` are to be measured with.

        `fresh` says that they are none but received ones, and so among those that `observe` saw; `without` names the
        parts that they replace, together with those replaced before.
        """
        observed = self._observed if fresh else None
        if observed is not None and around in observed:
            return observed[around]
        known = stored(self._lake, around, without) + [_within(table, around) for table in self._drafted]
        if observed is None:
            return solve(pa.concat_tables([*known, seen]))
        observed[around] = solve(pa.concat_tables(known))
        return observed[around]

    def add(self, seen: pa.Table) -> None:
        """Remember what spans showed that are now drafted."""
        if self._observed is None:
            self._drafted.append(seen)


def shown_by(assembled: Assembled, of: npt.NDArray[np.bool_] | None = None) -> pa.Table:
    """What the calls of the spans show about clocks; only that of the spans where `of` holds, if given."""
    parent = assembled.parent if of is None else np.where(of, assembled.parent, -1)
    began = assembled.start[assembled.roots][assembled.trace]
    return evidence(parent, assembled.kind, assembled.host, assembled.hosts.to_pylist(), assembled.start, assembled.end, began)


def began_within(assembled: Assembled) -> Span:
    """The hours in which the traces began."""
    began = assembled.start[assembled.roots] // HOUR_NS
    return int(began.min()), int(began.max())


def stored(lake: Lake, around: Span, without: set[str] | frozenset[str] = frozenset()) -> list[pa.Table]:
    """The evidence stored with the parts of some hours and of the hours beside them."""
    low, high = format_hour(around[0] - 1), format_hour(around[1] + 1)
    return [_read(f.path) for f in lake.plan("clock_evidence") if low <= f.part[:10] <= high and f.part not in without]


def settled(lake: Lake, hour: int) -> str:
    """The fingerprint that the parts of an hour have once they are measured with all that is known about it."""
    known = stored(lake, (hour, hour))
    return fingerprint(solve(pa.concat_tables(known)), hour) if known else "0"


def fingerprint(model: ClockModel, hour: int) -> str:
    """A short text that differs when the clocks of an hour are corrected differently; `0` where none is."""
    table = model.table()
    ts = pc.field("minute")
    low, high = (pa.scalar((h * 3600 + by) * 1_000_000).cast(table["minute"].type) for h, by in ((hour, -60), (hour + 1, 60)))
    told = table.filter((ts >= low) & (ts < high) & ((pc.field("offset_ns") != 0) | pc.field("uncertain")))
    if not told.num_rows:
        return "0"
    text = told.select(["host", "minute", "offset_ns", "uncertain"]).to_pylist()
    return hashlib.blake2b(repr(text).encode(), digest_size=4).hexdigest()


@lru_cache(maxsize=4096)
def _read(path: str) -> pa.Table:
    return read(path, "clock_evidence")


def _within(table: pa.Table, around: Span) -> pa.Table:
    hour = hours(table)
    return slice_where(table, (hour >= around[0] - 1) & (hour <= around[1] + 1))


def _without_extras(spans: pa.Table) -> pa.Table:
    """Received spans (SPAN_BATCH but for EXTRAS) with nothing where attributes and annotations were."""
    nothing = pa.array(np.zeros(spans.num_rows, np.int64))
    columns = [pa.array([[]], f.type).take(nothing) if f.name in EXTRAS else spans[f.name] for f in SPAN_BATCH]
    return pa.Table.from_arrays(columns, schema=SPAN_BATCH)
