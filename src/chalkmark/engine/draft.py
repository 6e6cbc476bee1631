"""A draft: parts that are written but not yet committed, and the intent that will make them appear."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chalkmark.curate import part
from chalkmark.curate.assemble import Assembled, assemble
from chalkmark.curate.clock import ClockModel
from chalkmark.curate.raw import RAW_ANNOTATIONS, from_landing, from_spans
from chalkmark.engine.clocks import Clocks, Span, began_within, fingerprint, shown_by
from chalkmark.engine.commits import Intent, commit
from chalkmark.engine.files import hours, read, slice_where
from chalkmark.engine.inbox import trace_keys
from chalkmark.engine.parts import PART_TABLES, files_of, format_hour, new_commit_id, part_name
from chalkmark.engine.shape_index import ShapeIndex
from chalkmark.tables.lake import Lake


class Draft:
    """Collects replacements of parts; `commit` makes all of them visible together."""

    def __init__(self, lake: Lake, shapes: ShapeIndex) -> None:
        self._lake = lake
        self._shapes = shapes
        self._number = 0
        self._replaced: set[str] = set()
        self.clocks = Clocks(lake)
        self.intent = Intent(new_commit_id())
        self.spans = 0
        self.traces = 0

    def curate(self, fresh: pa.Table | None, replaced: Iterable[str] = (), clock_hours: Span | None = None) -> None:
        """Curate received spans (schema SPAN_BATCH) together with all spans of some parts, which they replace.

        `clock_hours` are those whose clocks matter; by default those in which the traces began.
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
            seen = shown_by(assembled)
            without = self._replaced.union(replaced)
            model = self.clocks.model(clock_hours or began_within(assembled), seen, fresh=not replaced, without=without)
            tables = part.tables(assembled, pa.concat_tables(annotations), model)
            self._write(assembled, seen, tables, model)
            self.clocks.add(seen)
        for table, files in old.items():
            if files:
                self.intent.table(table).delete.extend(files)
        self._replaced.update(replaced)

    def _write(self, assembled: Assembled, seen: pa.Table, tables: dict[str, pa.Table], model: ClockModel) -> None:
        hour_of = {name: hours(tables[name]) for name in PART_TABLES if name in tables}
        distinct = np.unique(hour_of["traces"]).tolist()
        written: list[tuple[str, str]] = []
        for hour in distinct:
            name = part_name(hour, self.intent.id, self._number, fingerprint(model, hour))
            self._number += 1
            rows = {table: slice_where(tables[table], of == hour) for table, of in hour_of.items()}
            rows["clock_evidence"] = seen if len(distinct) == 1 else shown_by(assembled, _spans_of(assembled, rows["traces"]))
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
        hour_of = hours(rows)
        for hour in np.unique(hour_of).tolist():
            name = f"{format_hour(hour)}-{self.intent.id}"
            members = slice_where(rows, hour_of == hour)
            self.intent.table("rejections").add.append(self._lake.write("rejections", name, members))

    def commit(self) -> None:
        """Make it true; nothing happens where nothing was drafted."""
        if self.intent:
            commit(self._lake, self.intent)


def _spans_of(assembled: Assembled, traces: pa.Table) -> npt.NDArray[np.bool_]:
    """Where the assembled spans belong to these traces."""
    return np.isin(assembled.trace_lows, trace_keys(traces["trace_id"]))[assembled.trace]
