"""`clock_evidence`: what calls between hosts say about the difference of their clocks."""

import pyarrow as pa

from chalkmark.tables.spec import TIMESTAMP, Column, TableSpec

_SAMPLES = pa.list_(pa.int64())

CLOCK_EVIDENCE = TableSpec(
    name="clock_evidence",
    grain="one row a caller host x callee host x synchronous or not x minute",
    doc="Bounds on callee clock - caller clock. Rows of any batches can be merged.",
    key=("caller_host", "callee_host", "synchronous", "ts"),
    # Filed with the part of its traces; a minute may lie in the hour beside the part's.
    partitioned=False,
    columns=(
        Column("caller_host", pa.string(), "Host of the calling span."),
        Column("callee_host", pa.string(), "Host of the called span; never the caller's."),
        Column(
            "synchronous",
            pa.bool_(),
            "True where a client waited for a server, so that both the start and the end bound the difference; else only the start does.",
        ),
        Column(
            "hops", pa.int64(), "Calls seen, some of which are kept as samples: the narrowest, and some drawn by lot.", "calls"
        ),
        Column(
            "outlasting",
            pa.int64(),
            "Of these, calls whose server lasted longer than its client: it answered before its span ended.",
            "calls",
        ),
        Column("at_ns", _SAMPLES, "Samples: start of the calling span, raw, by the caller's clock.", "ns since the epoch"),
        Column(
            "low_ns",
            _SAMPLES,
            "Samples: the difference is at least this (callee's end - caller's end), unless the callee ended late; empty where the caller did not wait.",
            "ns",
        ),
        Column("high_ns", _SAMPLES, "Samples: the difference is at most this (callee's start - caller's start).", "ns"),
        Column(
            "ts", TIMESTAMP, "The minute of the samples: that in which their traces began, where curation tells it.", "us, UTC"
        ),
    ),
    # A file holds the evidence of the traces that were curated together.
    view="""
        select caller_host, callee_host, synchronous, sum(hops)::bigint as hops,
            sum(outlasting)::bigint as outlasting, flatten(list(at_ns)) as at_ns,
            flatten(list(low_ns)) as low_ns, flatten(list(high_ns)) as high_ns, ts
        from {rows} group by caller_host, callee_host, synchronous, ts
    """,
)
