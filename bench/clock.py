"""Clock correction on a fleet whose clocks are known: the error, beside the peers' pairwise rule, and what it costs.

python -m bench.clock [--json FILE]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bench.clock_fleet import Fleet, judge, pairwise, simulate, skewed_fleet
from bench.harness import Case, run
from chalkmark.curate import clock, clock_evidence

TRACES, SECONDS = 20_000, 600


def compare(fleet: Fleet, corrupt: float) -> dict[str, Any]:
    """The same spans left alone, corrected by host, and corrected span by span."""
    spans = simulate(fleet, TRACES, SECONDS, corrupt)
    model = clock.solve(clock.evidence(spans.parent, spans.kind, spans.host, fleet.hosts, spans.start, spans.end))
    offset, uncertain = model.offsets((spans.host, fleet.hosts), spans.start)
    return {
        "spans": len(spans.start),
        "uncertain": int(uncertain.sum()),
        "raw": judge(fleet, spans, np.zeros_like(offset)),
        "by_host": judge(fleet, spans, -offset),
        "pairwise": judge(fleet, spans, pairwise(spans.parent, spans.host, spans.start, spans.end)),
    }


def main() -> None:
    """Prints the comparison and the costs."""
    fleet = skewed_fleet()
    spans = simulate(fleet, TRACES, SECONDS)

    def collect() -> object:
        return clock.evidence(spans.parent, spans.kind, spans.host, fleet.hosts, spans.start, spans.end)

    rows = collect()
    right = simulate(Fleet(), TRACES, SECONDS)
    good = clock.evidence(right.parent, right.kind, right.host, fleet.hosts, right.start, right.end)
    model = clock.solve(rows)
    count = len(spans.start)
    fleets = {
        "skewed": (fleet, 0.0),
        "skewed, 1 % corrupt": (fleet, 0.01),
        "skewed, 7 % end late": (replace(fleet, late=0.07), 0.0),
        "all right": (Fleet(), 0.0),
        "all right, 1 % corrupt": (Fleet(), 0.01),
        "all right, 7 % end late": (Fleet(late=0.07), 0.0),
        "all right, 40 % end late": (Fleet(late=0.4), 0.0),
    }
    run(
        "clock",
        [
            Case("evidence", collect, units=count, unit="spans"),
            Case("solve", lambda: clock.solve(rows), units=len(fleet.hosts) * SECONDS // 60, unit="host minutes"),
            Case("solve: all right", lambda: clock.solve(good), units=len(fleet.hosts) * SECONDS // 60, unit="host minutes"),
            Case("offsets", lambda: model.offsets((spans.host, fleet.hosts), spans.start), units=count, unit="spans"),
            *(
                Case(f"error: {name}", partial(compare, some, corrupt), units=count, unit="spans", runs=1, warm_up=False)
                for name, (some, corrupt) in fleets.items()
            ),
        ],
        parameters={"traces": TRACES, "seconds": SECONDS, "hosts": len(fleet.hosts), "kept": clock_evidence.KEPT},
        argv=sys.argv[1:],
    )


if __name__ == "__main__":
    main()
