"""A draft: parts that are written but not yet committed, and the intent that will make them appear."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chalkmark.curate import part
from chalkmark.curate.assemble import Assembled, assemble
from chalkmark.curate.clock import ClockModel, solve
from chalkmark.curate.clock_evidence import evidence
from chalkmark.curate.raw import RAW_ANNOTATIONS, from_landing, from_spans
from chalkmark.engine.commits import Intent, commit
from chalkmark.engine.inbox import Rows, trace_keys
from chalkmark.engine.parts import HOUR_NS, PART_TABLES, files_of, format_hour, part_name
from chalkmark.engine.shape_index import ShapeIndex
from chalkmark.tables import TABLES
from chalkmark.tables.lake import Lake
from chalkmark.tables.landing import SPAN_BATCH

US_PER_HOUR = 3_600_000_000

EXTRAS = ("attributes", "annotations")
"""Columns of SPAN_BATCH that say nothing about clocks, and are most of its bytes."""


class Draft:
    """Collects replacements of parts; `commit` makes all of them visible together."""

    def __init__(self, lake: Lake, shapes: ShapeIndex) -> None:
        self._lake = lake
        self._shapes = shapes
        self._number = 0
        self._replaced: set[str] = set()
        self._evidence: list[pa.Table] = []
        self._models: dict[tuple[int, int], ClockModel] | None = None
        # Time first, so that files of later commits sort later; random, so that two data folders can be joined.
        self.intent = Intent(f"{time.time_ns() // 1_000_000:x}{uuid.uuid4().hex[:6]}")
        self.spans = 0
        self.traces = 0

    def observe(self, chunks: Iterable[pa.Table]) -> None:
        """Learn about clocks from received spans that are curated afterwards, in several calls.

        Otherwise the first of those calls would know less than the last, and would be done again by `settle`. Where the
        first chunk shows no clock to be wrong there is likely nothing to know, and the rest is not looked at.
        """
        seen: list[pa.Table] = []
        for spans in chunks:
            raw, _ = from_landing(without_extras(spans))
            seen.append(_seen(assemble(raw)))
            if len(seen) == 1 and not solve(seen[0]).offset_ns.any():
                return
        self._evidence += seen
        self._models = {}

    def curate(self, fresh: pa.Table | None, replaced: Iterable[str] = (), hours: tuple[int, int] | None = None) -> None:
        """Curate received spans (schema SPAN_BATCH) together with all spans of some parts, which they replace.

        `hours` are the first and last hour whose clocks matter; by default those in which the traces began.
        """
        replaced = list(replaced)
        raws, annotations = [], [RAW_ANNOTATIONS.empty_table()]
        if fresh is not None and fresh.num_rows:
            raw, notes = from_landing(fresh)
            raws.append(raw)
            annotations.append(notes)
        old = files_of(self._lake, replaced)
        raws += [from_spans(read(path, "spans")) for path in old["spans"]]
        annotations += [read(path, "annotations").drop_columns("ts") for path in old["annotations"]]
        if raws:
            assembled = assemble(pa.concat_tables(raws).unify_dictionaries())
            seen = _seen(assembled)
            around = hours_of(assembled) if hours is None else hours
            model = self._clock_model(around, seen, replaced)
            tables = part.tables(assembled, pa.concat_tables(annotations), model)
            self._write(assembled, seen, tables, model)
            if self._models is None:
                self._evidence.append(seen)
        for table, files in old.items():
            if files:
                self.intent.table(table).delete.extend(files)
        self._replaced.update(replaced)

    def _clock_model(self, hours: tuple[int, int], seen: pa.Table, replaced: Sequence[str]) -> ClockModel:
        """Clock offsets in some hours, from what is stored about them, was drafted before, and these spans show."""
        observed = self._models is not None and not replaced
        if self._models is not None and observed and hours in self._models:
            return self._models[hours]
        stored = evidence_of(self._lake, hours, without=self._replaced.union(replaced))
        drafted = [around(table, hours) for table in self._evidence]
        model = solve(pa.concat_tables([*stored, *drafted, *([] if observed else [seen])]))
        if self._models is not None and observed:
            self._models[hours] = model
        return model

    def _write(self, assembled: Assembled, seen: pa.Table, tables: dict[str, pa.Table], model: ClockModel) -> None:
        hours = {name: _hours(tables[name]) for name in PART_TABLES if name in tables}
        by_trace = dict(zip(trace_keys(tables["traces"]["trace_id"]).tolist(), hours["traces"].tolist(), strict=True))
        seen_in = np.array([by_trace[key] for key in assembled.trace_lows.tolist()])[assembled.trace]
        parts = np.unique(hours["traces"]).tolist()
        written: list[tuple[str, str]] = []
        for hour in parts:
            name = part_name(hour, self.intent.id, self._number, fingerprint(model, hour))
            self._number += 1
            rows = {table: slice_where(tables[table], of == hour) for table, of in hours.items()}
            rows["clock_evidence"] = seen if len(parts) == 1 else _seen(assembled, seen_in == hour)
            written += [(t, self._lake.write(t, name, members)) for t, members in rows.items() if members.num_rows]
        shapes = self._shapes.new(tables["shapes"])
        if shapes.num_rows:
            name = f"{self.intent.id}-{self._number}"
            paths = self._shapes.new(tables["shape_paths"])
            written += [
                ("shapes", self._lake.write("shapes", name, shapes)),
                ("shape_paths", self._lake.write("shape_paths", name, paths)),
            ]
        # Nothing is drafted before here, so that spans that cannot be curated leave the draft as it was.
        self._shapes.add(shapes)
        for table, path in written:
            self.intent.table(table).add.append(path)
        self.spans += tables["spans"].num_rows
        self.traces += tables["traces"].num_rows

    def reject(self, rejections: list[pa.Table]) -> None:
        """Record what receivers refused."""
        if not rejections:
            return
        rows = pa.concat_tables(rejections)
        hours = _hours(rows)
        for hour in np.unique(hours).tolist():
            name = f"{format_hour(hour)}-{self.intent.id}"
            members = slice_where(rows, hours == hour)
            self.intent.table("rejections").add.append(self._lake.write("rejections", name, members))

    def commit(self) -> None:
        """Make it true; nothing happens where nothing was drafted."""
        if self.intent:
            commit(self._lake, self.intent)


def read(path: str, table: str) -> pa.Table:
    """One file of a table, with the table's own schema."""
    return pq.read_table(path, partitioning=None).cast(TABLES[table].schema)


@lru_cache(maxsize=4096)
def _evidence(path: str) -> pa.Table:
    return read(path, "clock_evidence")


def evidence_of(lake: Lake, hours: tuple[int, int], without: set[str] | frozenset[str] = frozenset()) -> list[pa.Table]:
    """The clock evidence stored with the parts of the hours from `hours[0]` to `hours[1]` and the hours beside them."""
    low, high = format_hour(hours[0] - 1), format_hour(hours[1] + 1)
    stored = lake.plan("clock_evidence")
    return [_evidence(f.path) for f in stored if low <= f.part[:10] <= high and f.part not in without]


def around(evidence: pa.Table, hours: tuple[int, int]) -> pa.Table:
    """The rows of the hours from `hours[0]` to `hours[1]` and the hours beside them."""
    hour = _hours(evidence)
    return slice_where(evidence, (hour >= hours[0] - 1) & (hour <= hours[1] + 1))


def without_extras(spans: pa.Table) -> pa.Table:
    """Received spans (some columns of SPAN_BATCH) with nothing where attributes and annotations were."""
    columns = []
    for field in SPAN_BATCH:
        if field.name in EXTRAS:
            columns.append(pa.array([[]], field.type).take(pa.array(np.zeros(spans.num_rows, np.int64))))
        else:
            columns.append(spans[field.name])
    return pa.Table.from_arrays(columns, schema=SPAN_BATCH)


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


def hours_of(assembled: Assembled) -> tuple[int, int]:
    """First and last hour in which the traces began."""
    began = assembled.start[assembled.roots] // HOUR_NS
    return int(began.min()), int(began.max())


def _seen(assembled: Assembled, of: np.ndarray | None = None) -> pa.Table:
    """What the calls of the spans say about clocks; only that of the spans where `of` holds, if given."""
    parent = assembled.parent if of is None else np.where(of, assembled.parent, -1)
    began = assembled.start[assembled.roots][assembled.trace]
    return evidence(parent, assembled.kind, assembled.host, assembled.hosts.to_pylist(), assembled.start, assembled.end, began)


def _hours(table: pa.Table) -> Rows:
    hours: Rows = table["ts"].cast(pa.int64()).to_numpy() // US_PER_HOUR
    return hours


def slice_where(table: pa.Table, mask: np.ndarray) -> pa.Table:
    """The rows where `mask` holds; no copy where that is all or one run of them."""
    count = int(np.count_nonzero(mask))
    if count == 0:
        return table.slice(0, 0)
    first = int(np.argmax(mask))
    if mask[first : first + count].all():
        return table.slice(first, count)
    return table.filter(pa.array(mask))
