"""What curation costs: each stage by itself, the whole from landing files to committed tables, and one giant trace.

    python -m bench.curate                      # 1 M spans: the stages, the whole, the giant trace
    python -m bench.curate --spans 10_000_000 --case whole

The stages get as many spans as the engine curates at a time. The whole runs in a process of its own, so that its peak
memory is its own, on landing files of requests of 500 spans each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.generate import giant_trace, landing_batches
from bench.harness import Case, run
from chalkmark.curate import part, spans
from chalkmark.curate.assemble import Assembled, assemble
from chalkmark.curate.measure import Measured, measure
from chalkmark.curate.raw import from_landing, from_spans
from chalkmark.engine.curator import Curator
from chalkmark.engine.inbox import CHUNK_ROWS
from chalkmark.tables.lake import Lake
from chalkmark.tables.landing import Received
from chalkmark.tables.landing_store import landing_folder, publish, write_landing

REQUEST_SPANS = 500
FILE_REQUESTS = 100
"""Requests in one landing file: about as many as arrive while the one before is synced."""


class Stages:
    """The input of each stage: what the stage before it made."""

    def __init__(self, rows: int, folder: Path) -> None:
        self.rows = rows
        self.lake = Lake(folder)
        self._names = count()

    @cached_property
    def landed(self) -> pa.Table:
        # Within one hour, for a file of a table holds one.
        return pa.Table.from_batches(list(landing_batches(self.rows, rows=REQUEST_SPANS, hours=0.25)))

    @cached_property
    def raw(self) -> tuple[pa.Table, pa.Table]:
        return from_landing(self.landed)

    @cached_property
    def assembled(self) -> Assembled:
        return assemble(self.raw[0])

    @cached_property
    def measured(self) -> Measured:
        return measure(self.assembled)

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        return part.tables(self.assembled, self.raw[1])

    def write(self) -> list[tuple[str, str]]:
        """Writes the tables as files; returns table and path of each."""
        name = f"2026092114-{next(self._names):06}"
        return [(table, self.lake.write(table, name, rows)) for table, rows in self.tables.items() if rows.num_rows]

    def commit(self, files: list[tuple[str, str]]) -> None:
        for table, path in files:
            self.lake.commit(table, Path(path).stem, add=[path], delete=[])

    def cases(self) -> list[Case]:
        written: list[list[tuple[str, str]]] = []

        def case(name: str, function: Callable[[], object], setup: Callable[[], object]) -> Case:
            return Case(name, function, units=self.rows, unit="spans", runs=3, setup=setup)

        return [
            case("raw: landing -> raw", lambda: from_landing(self.landed), lambda: self.landed),
            case("raw: spans -> raw", lambda: from_spans(self.tables["spans"]), lambda: self.tables),
            case("assembly", lambda: assemble(self.raw[0]), lambda: self.raw),
            case("measure: times, calls, paths", lambda: measure(self.assembled), lambda: self.assembled),
            case("output: table spans", lambda: spans.rows(self.measured), lambda: self.measured),
            case("measure and output, all tables", lambda: part.tables(self.assembled, self.raw[1]), lambda: self.assembled),
            case("parquet write, synced", self.write, lambda: self.tables),
            case("commit", lambda: self.commit(written.pop()), lambda: written.append(self.write())),
        ]


def whole(folder: Path, size: int) -> Case:
    """Landing files to committed tables, as `chalkmark curate` does it, clocks settled and small parts merged."""
    master = folder / f"landing-{size}"
    data = folder / f"whole-{size}"

    def setup() -> None:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(master, landing_folder(data), copy_function=_link)

    def function() -> dict[str, Any]:
        with Curator(data) as curator:
            step = curator.step(flush=True)
            settled = curator.settle()
            curator.merge()
        stored = sum(f.bytes for table in ("spans", "traces", "edges", "call_paths") for f in curator.lake.plan(table))
        return {"spans": step.spans, "traces": step.traces, "parts_settled": settled, "bytes_a_span": stored / size}

    # Generating takes memory that the measured process must not inherit.
    generator = multiprocessing.get_context("fork").Process(target=_write_landing, args=(master, size))
    generator.start()
    generator.join()
    return Case(f"whole: {size:_} spans", function, size, "spans", runs=1 if size > 2_000_000 else 3, setup=setup,
                warm_up=size <= 2_000_000, isolated=True)  # fmt: skip


def giant(folder: Path, size: int) -> Case:
    """One trace of `size` spans, 1,000 deep, one span with 10,000 children."""
    landed = folder / f"giant-{size}"
    data = folder / f"giant-data-{size}"

    def generate() -> None:
        landed.mkdir()
        publish(write_landing(landed, [_received(giant_trace(size))]))

    def setup() -> None:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(landed, landing_folder(data), copy_function=_link)

    def function() -> dict[str, Any]:
        with Curator(data) as curator:
            step = curator.step(flush=True)
        return {"spans": step.spans, "traces": step.traces}

    generator = multiprocessing.get_context("fork").Process(target=generate)
    generator.start()
    generator.join()
    return Case(f"giant trace: {size:_} spans", function, size, "spans", runs=3, setup=setup, isolated=True)


def _write_landing(folder: Path, size: int) -> None:
    folder.mkdir()
    requests = landing_batches(size, rows=REQUEST_SPANS)
    while group := list(islice(requests, FILE_REQUESTS)):
        publish(write_landing(folder, [_received(batch) for batch in group], durable=False))


def _received(batch: pa.RecordBatch) -> Received:
    return Received(batch, Received.nothing().rejections)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, add_help=False)
    parser.add_argument("--spans", type=int, default=1_000_000, help="spans of the whole")
    parser.add_argument("--giant", type=int, default=1_000_000, help="spans of the giant trace")
    options, rest = parser.parse_known_args(argv)
    wanted = [rest[i + 1] for i, text in enumerate(rest) if text == "--case"]

    def want(name: str) -> bool:
        return not wanted or any(text in name for text in wanted)

    with tempfile.TemporaryDirectory(prefix="chalkmark-bench-") as temporary:
        folder = Path(temporary)
        cases = [whole(folder, options.spans)] if want("whole") else []
        cases += [giant(folder, options.giant)] if want("giant") else []
        cases += Stages(CHUNK_ROWS, folder / "stages").cases()
        run("curate", cases, parameters=vars(options) | {"stage_spans": CHUNK_ROWS}, argv=rest)


if __name__ == "__main__":
    main(sys.argv[1:])
