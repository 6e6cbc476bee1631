"""Conservation laws on traces that real systems sent, with their skew, shared identifiers and children outside parents."""

import gzip
from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
import pytest

from chalkmark.curate.part import curate
from chalkmark.curate.raw import from_landing
from chalkmark.receive import jaeger, zipkin
from raw_spans import EPOCH_NS, number
from shared import shared_data

ZIPKIN = ("ascend", "envoy", "messaging", "messaging2", "messaging-kafka", "simple-db-p6", "skew", "yelp")
JAEGER = ("hotel_reservation__hotel_load25", "media_microservices__media_load100", "nodejs_microservices__node_load25")


def conserved(landed: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Curated rows, after checking that no span, no time and no call is lost or counted twice."""
    tables = {name: rows.to_pylist() for name, rows in curate(*from_landing(landed)).items()}
    sent = {(t, s) for t, s in zip(landed["trace_id"].to_pylist(), landed["span_id"].to_pylist(), strict=True)}
    halves = sum("shared_id" in s["quality"] for s in tables["spans"])
    assert len(tables["spans"]) == len(sent) + halves
    assert sum(t["spans"] for t in tables["traces"]) == len(tables["spans"])
    critical: Counter[int | None] = Counter()
    for s in tables["spans"]:
        critical[number(s["trace_id"])] += s["critical_ns"]
    assert critical == {number(t["trace_id"]): t["duration_ns"] for t in tables["traces"]}
    assert sum(p["critical_ns"] for p in tables["call_paths"]) == critical.total()
    called: dict[str, Counter[str]] = defaultdict(Counter)
    for e in tables["edges"]:
        called["edges"][f"{e['callee_service']}.{e['callee_operation']}"] += e["calls"]
    for p in tables["call_paths"]:
        if p["parent_path_id"] is not None:
            called["paths"][f"{p['service']}.{p['operation']}"] += p["calls"]
        assert sum(p["latency_counts"]) == p["calls"]
    assert called["edges"] == called["paths"]
    return tables


@pytest.mark.parametrize("name", ZIPKIN)
def test_zipkin(name: str) -> None:
    body = (shared_data("traces/zipkin") / f"{name}.json").read_bytes()
    conserved(pa.Table.from_batches([zipkin.decode(body, "file:zipkin", EPOCH_NS).spans]))


@pytest.mark.parametrize("name", JAEGER)
def test_jaeger(name: str) -> None:
    path = shared_data("traces/deathstarbench") / f"{name}.jaeger.jsonl.gz"
    with gzip.open(path) as file:
        lines = [line for _, line in zip(range(100), file, strict=False)]
    batches = [jaeger.decode(line, "file:jaeger", EPOCH_NS).spans for line in lines]
    tables = conserved(pa.concat_tables(pa.Table.from_batches([b]) for b in batches))
    assert len(tables["traces"]) == 100
