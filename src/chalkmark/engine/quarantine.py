"""Spans that curation fails on are set aside, so that they are neither lost nor in the way."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa

from chalkmark.curate.senders import protocol, read_sender
from chalkmark.tables.landing import Received
from chalkmark.tables.landing_store import publish, write_landing
from chalkmark.tables.quality import Reason
from chalkmark.tables.rejections import REJECTIONS


def quarantine_folder(data: Path) -> Path:
    """Where such spans lie, as landing files: moved into the landing folder, they are tried again."""
    return data / "quarantine"


def set_aside(data: Path, spans: pa.Table, error: Exception) -> pa.Table:
    """Keep the spans in the quarantine folder; returns the row of `rejections` that tells of it."""
    folder = quarantine_folder(data)
    folder.mkdir(exist_ok=True)
    nothing = Received.nothing().rejections
    path = publish(write_landing(folder, [Received(batch, nothing) for batch in spans.to_batches()]))
    sender, source = read_sender(spans["sender"][0].as_py()), spans["source"][0].as_py()
    row = {
        "service": sender.service,
        "sdk": sender.sdk or protocol(source),
        "source": source,
        "reason": Reason.CURATION_FAILED,
        "spans": spans.num_rows,
        "example": f"{type(error).__name__}: {error}; kept in {folder.name}/{path.name}",
        "ts": time.time_ns() // 1000,
    }
    return pa.Table.from_pylist([row], schema=REJECTIONS.schema)
