"""`rejections`: what could not become a span, counted by sender and reason, so that nothing is dropped in silence."""

import pyarrow as pa

from chalkmark.tables.spec import TIMESTAMP, Column, TableSpec

REJECTIONS = TableSpec(
    name="rejections",
    grain="one row a received batch x sender x reason",
    doc="Spans and whole requests that were refused. The sender was told at the time; this is the record of it.",
    key=("ts", "source", "service", "sdk", "reason", "example"),
    columns=(
        Column("service", pa.string(), "`service.name` of the sender; `unknown_service` where the bytes did not say."),
        Column("sdk", pa.string(), "Who made it: SDK name, language and version, or the protocol."),
        Column("source", pa.string(), "How it came in: `otlp-grpc`, `otlp-http`, `zipkin-http`, or `file:<format>`."),
        Column("reason", pa.string(), "Name of the rule; `docs/quality.md` lists them."),
        Column("spans", pa.int64(), "Spans refused; 1 where the number could not be told.", "spans"),
        Column("example", pa.string(), "The first one, in words: which field, what it held."),
        Column("ts", TIMESTAMP, "When it was received.", "us, UTC"),
    ),
)
