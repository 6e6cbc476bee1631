"""The tables: one module each. `TABLES` is the list that the command line, the docs and the lake go by."""

from chalkmark.tables.annotations import ANNOTATIONS
from chalkmark.tables.call_paths import CALL_PATHS
from chalkmark.tables.clock_evidence import CLOCK_EVIDENCE
from chalkmark.tables.edges import EDGES
from chalkmark.tables.rejections import REJECTIONS
from chalkmark.tables.shape_paths import SHAPE_PATHS
from chalkmark.tables.shapes import SHAPES
from chalkmark.tables.spans import SPANS
from chalkmark.tables.spec import Column, TableSpec
from chalkmark.tables.traces import TRACES

TABLES: dict[str, TableSpec] = {
    t.name: t for t in (SPANS, TRACES, EDGES, SHAPES, SHAPE_PATHS, CALL_PATHS, ANNOTATIONS, CLOCK_EVIDENCE, REJECTIONS)
}

__all__ = ["TABLES", "Column", "TableSpec"]
