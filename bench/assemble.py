"""Curation in memory, per CPU second: assembling, measuring, each table, and all of it; spans of the fleet, then one giant trace.

    python -m bench.assemble [--spans 1000000] [--json FILE]

`assemble` and `measure` are the kernels, `curate` is everything between raw columns and finished tables; reading
and writing files is not in it. The giant trace is 1,000 levels deep and has a span with 10,000 children.
"""

from __future__ import annotations

import argparse
import sys

import pyarrow as pa

from bench.generate import giant_trace, landing_batches
from bench.harness import Case, run
from chalkmark.curate import call_paths, edges, shapes, spans, traces
from chalkmark.curate.assemble import assemble
from chalkmark.curate.measure import measure
from chalkmark.curate.part import curate
from chalkmark.curate.raw import from_landing


def cases(name: str, landing: pa.Table, *, runs: int = 5) -> list[Case]:
    """What is measured of these landed spans."""
    raw, annotations = from_landing(landing)
    assembled = assemble(raw)
    measured = measure(assembled)

    def case(step: str, function: object) -> Case:
        return Case(f"{name}: {step}", function, units=len(landing), unit="spans", runs=runs)  # type: ignore[arg-type]

    return [
        case("assemble", lambda: assemble(raw)),
        case("measure", lambda: measure(assembled)),
        case("assemble and measure", lambda: measure(assemble(raw))),
        *(
            case(f"rows of {module.__name__.rsplit('.')[-1]}", lambda rows=module.rows: rows(measured))
            for module in (spans, traces, edges, shapes, call_paths)
        ),
        case("curate", lambda: curate(raw, annotations)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, add_help=False)
    parser.add_argument("--spans", type=int, default=1_000_000)
    options, rest = parser.parse_known_args(sys.argv[1:])
    fleet = pa.Table.from_batches(landing_batches(options.spans))
    giant = pa.Table.from_batches([giant_trace(options.spans)])
    every = cases("fleet", fleet) + [c for c in cases("giant", giant, runs=3) if "rows" not in c.name]
    run("assemble", every, parameters={"spans": options.spans}, argv=rest)


if __name__ == "__main__":
    main()
