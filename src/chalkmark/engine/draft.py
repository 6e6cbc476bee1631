"""A draft: parts that are written but not yet committed, and the intent that will make them appear."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable
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

US_PER_HOUR = 3_600_000_000


class Draft:
    """Collects replacements of parts; `commit` makes all of them visible together."""

    def __init__(self, lake: Lake, shapes: ShapeIndex) -> None:
        self._lake = lake
        self._shapes = shapes
        self._number = 0
        self._replaced: set[str] = set()
        self._evidence: list[pa.Table] = []
        # Time first, so that files of later commits sort later; random, so that two data folders can be joined.
        self.intent = Intent(f"{time.time_ns() // 1_000_000:x}{uuid.uuid4().hex[:6]}")
        self.spans = 0
        self.traces = 0

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
            stored = evidence_of(self._lake, around, without=self._replaced.union(replaced))
            model = solve(pa.concat_tables([*stored, *self._evidence, seen]))
            tables = part.tables(assembled, pa.concat_tables(annotations), model)
            # Nothing is drafted before here: spans that cannot be curated leave the draft as it was.
            self._evidence.append(seen)
            self._write(assembled, seen, tables, model)
        for table, files in old.items():
            if files:
                self.intent.table(table).delete.extend(files)
        self._replaced.update(replaced)

    def _write(self, assembled: Assembled, seen: pa.Table, tables: dict[str, pa.Table], model: ClockModel) -> None:
        hours = {name: _hours(tables[name]) for name in PART_TABLES if name in tables}
        by_trace = dict(zip(trace_keys(tables["traces"]["trace_id"]).tolist(), hours["traces"].tolist(), strict=True))
        seen_in = np.array([by_trace[key] for key in assembled.trace_lows.tolist()])[assembled.trace]
        parts = np.unique(hours["traces"]).tolist()
        for hour in parts:
            name = part_name(hour, self.intent.id, self._number, fingerprint(model, hour))
            self._number += 1
            rows = {table: slice_where(tables[table], of == hour) for table, of in hours.items()}
            rows["clock_evidence"] = seen if len(parts) == 1 else _seen(assembled, seen_in == hour)
            for table, members in rows.items():
                if members.num_rows:
                    self.intent.table(table).add.append(self._lake.write(table, name, members))
            self.spans += rows["spans"].num_rows
            self.traces += rows["traces"].num_rows
        shapes = self._shapes.new(tables["shapes"])
        if shapes.num_rows:
            name = f"{self.intent.id}-{self._number}"
            self.intent.table("shapes").add.append(self._lake.write("shapes", name, shapes))
            paths = self._shapes.new(tables["shape_paths"])
            self.intent.table("shape_paths").add.append(self._lake.write("shape_paths", name, paths))
            self._shapes.add(shapes)

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
