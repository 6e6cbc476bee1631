"""A part: a set of whole traces that are curated together. Pure: the same traces give the same rows, byte for byte."""

import pyarrow as pa

from chalkmark.curate import annotations, call_paths, edges, shapes, spans, traces
from chalkmark.curate.assemble import Assembled, assemble
from chalkmark.curate.clock import ClockModel
from chalkmark.curate.measure import measure


def curate(raw: pa.Table, said: pa.Table, clock: ClockModel | None = None) -> dict[str, pa.Table]:
    """Tables by name from raw spans (schema raw.RAW) and annotations, times corrected by `clock` (None: left alone).

    The rows of a trace lie side by side. Neither the order of the input's rows nor how they were batched matters, and
    curating some spans first and the result together with the rest gives what curating them all at once gives.
    """
    return tables(assemble(raw), said, clock)


def tables(assembled: Assembled, said: pa.Table, clock: ClockModel | None = None) -> dict[str, pa.Table]:
    """The second half of `curate`, for callers that estimate the clocks from what was assembled."""
    measured = measure(assembled, clock)
    shape_rows, shape_path_rows = shapes.rows(measured)
    return {
        "spans": spans.rows(measured),
        "traces": traces.rows(measured),
        "edges": edges.rows(measured),
        "shapes": shape_rows,
        "shape_paths": shape_path_rows,
        "call_paths": call_paths.rows(measured),
        "annotations": annotations.rows(measured, said),
    }
