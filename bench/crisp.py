"""The critical path, beside CRISP (github.com/uber-research/CRISP): what both find in the same Jaeger JSON, and what it costs.

    git clone https://github.com/uber-research/CRISP /tmp/CRISP
    pip install -r /tmp/CRISP/requirements.in
    python -m bench.crisp --crisp /tmp/CRISP [--traces FILE.jsonl.gz ...] [--spans 10000] [--json FILE]

The job is the same for both: files of one trace each in, time on the critical path by service and operation out. CRISP looks
at one endpoint a run; here it is told the root of each trace, so that it reads every file once. It is measured as it is
(`process`, which also finds errors and possible savings) and with its critical path alone. `parsed` cases begin with
JSON that is parsed already; `lines` is one file of all traces, `landed` what a receiver left. Without --crisp only our
side is measured.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import orjson
import pyarrow as pa

from bench.generate import landing_batches
from bench.harness import Case, run
from chalkmark.curate.assemble import assemble
from chalkmark.curate.clock import evidence, solve
from chalkmark.curate.measure import Measured, measure
from chalkmark.curate.part import curate
from chalkmark.curate.raw import from_landing
from chalkmark.receive import jaeger
from chalkmark.receive.rows import SpanRows

_RECORDED = Path(__file__).parents[2] / "shared/data/traces/deathstarbench"
RECORDED = [
    _RECORDED / f"{name}.jaeger.jsonl.gz" for name in ("hotel_reservation__hotel_load25", "nodejs_microservices__node_load25")
]
KINDS = ("", "internal", "server", "client", "producer", "consumer")
SOURCE = "file:jaeger"

Totals: TypeAlias = Counter[tuple[str, str]]
"""Time on the critical path by service and operation, in us."""


@dataclass(frozen=True)
class Traces:
    """A set of traces, one file each, and once more as one file of JSON lines."""

    name: str
    files: list[Path]
    lines: Path
    documents: list[dict[str, Any]]
    spans: int


def recorded(path: Path, folder: Path) -> Traces:
    """Traces of a file of JSON lines."""
    with gzip.open(path) as lines:
        return _written(path.name.partition(".")[0].rpartition("__")[2], map(orjson.loads, lines), folder)


def generated(spans: int, minutes: int, folder: Path) -> Traces:
    """Traces of the generated fleet, whole ones only; the fewer a minute, the thinner the evidence about its clocks."""
    landed = pa.Table.from_batches(landing_batches(spans, hours=minutes / 60))
    return _written(f"generated in {minutes} min", _jaeger(landed), folder)


def _written(name: str, traces: Iterable[dict[str, Any]], folder: Path) -> Traces:
    folder = folder / name.replace(" ", "-")
    folder.mkdir()
    files, documents, spans = [], [], 0
    for trace in traces:
        document = {"data": [trace]}
        files.append(folder / f"{trace['traceID']}.json")
        files[-1].write_bytes(orjson.dumps(document))
        documents.append(document)
        spans += len(trace["spans"])
    lines = folder / "all.jsonl"
    lines.write_bytes(b"\n".join(map(orjson.dumps, documents)))
    return Traces(name, files, lines, documents, spans)


def _jaeger(landed: pa.Table) -> Iterator[dict[str, Any]]:
    """Landed spans as Jaeger's page exports them."""
    traces: dict[bytes, list[dict[str, Any]]] = {}
    for span in landed.to_pylist():
        traces.setdefault(span["trace_id"], []).append(span)
    for trace_id, spans in traces.items():
        if sum(s["parent_span_id"] is None for s in spans) != 1:
            continue
        senders = list(dict.fromkeys(s["sender"] for s in spans))
        yield {
            "traceID": trace_id.hex(),
            "spans": [_jaeger_span(trace_id.hex(), s, f"p{senders.index(s['sender'])}") for s in spans],
            "processes": {f"p{i}": _process(orjson.loads(sender)["resource"]) for i, sender in enumerate(senders)},
        }


def _jaeger_span(trace_id: str, span: dict[str, Any], process: str) -> dict[str, Any]:
    parent = span["parent_span_id"]
    tags = [*span["attributes"], *([("span.kind", KINDS[span["kind"]])] if span["kind"] else [])]
    return {
        "traceID": trace_id,
        "spanID": span["span_id"].hex(),
        "operationName": span["operation"],
        "references": [{"refType": "CHILD_OF", "traceID": trace_id, "spanID": parent.hex()}] if parent else [],
        "startTime": span["start_ns"] // 1000,
        "duration": span["end_ns"] // 1000 - span["start_ns"] // 1000,
        "tags": [{"key": key, "type": "string", "value": value} for key, value in tags],
        "logs": [],
        "processID": process,
    }


def _process(resource: dict[str, str]) -> dict[str, Any]:
    tags = [{"key": "hostname" if k == "host.name" else k, "type": "string", "value": v} for k, v in resource.items()]
    return {"serviceName": resource["service.name"], "tags": tags}


class Ours:
    """Chalkmark."""

    def __init__(self, traces: Traces) -> None:
        self.traces = traces

    def landed(self) -> pa.Table:
        now = time.time_ns()
        return _joined(jaeger.decode(file.read_bytes(), SOURCE, now).spans for file in self.traces.files)

    def landed_lines(self) -> pa.Table:
        rows = SpanRows(SOURCE, time.time_ns())
        for line in self.traces.lines.read_bytes().splitlines():
            jaeger.read(rows.load(line), rows)
        return _joined([rows.finish().spans])

    def landed_parsed(self) -> pa.Table:
        rows = SpanRows(SOURCE, time.time_ns())
        for document in self.traces.documents:
            jaeger.read(document, rows)
        return _joined([rows.finish().spans])

    def measured(self, landed: pa.Table, *, corrected: bool = False) -> Measured:
        a = assemble(from_landing(landed)[0])
        if not corrected:
            return measure(a)
        began = a.start[a.roots][a.trace]
        return measure(a, solve(evidence(a.parent, a.kind, a.host, a.hosts.to_pylist(), a.start, a.end, began)))

    def totals(self, landed: pa.Table) -> Totals:
        m = self.measured(landed)
        services, operations = m.services.to_pylist(), m.operations.to_pylist()
        key = m.service.astype(np.int64) * len(operations) + m.operation
        total = np.bincount(key, m.critical_ns / 1000, len(services) * len(operations))
        return Counter(
            {(services[i // len(operations)], operations[i % len(operations)]): float(total[i]) for i in np.flatnonzero(total)}
        )

    def by_trace(self, m: Measured) -> dict[str, Totals]:
        """Totals of each trace."""
        found: dict[str, Totals] = {}
        services, operations = m.services.to_pylist(), m.operations.to_pylist()
        ids = [f"{high:016x}{low:016x}".lstrip("0") for high, low in zip(m.trace_highs, m.trace_lows, strict=True)]
        rows = np.flatnonzero(m.critical_ns)
        for trace, service, operation, ns in zip(
            *(of[rows].tolist() for of in (m.trace, m.service, m.operation, m.critical_ns)), strict=True
        ):
            found.setdefault(ids[trace], Counter())[services[service], operations[operation]] += ns / 1000
        return found

    def cases(self) -> list[Case]:
        landed = self.landed()
        return [
            self._case("files -> all tables", lambda: curate(*from_landing(self.landed()))),
            self._case("files -> critical path", lambda: self.totals(self.landed())),
            self._case("lines -> critical path", lambda: self.totals(self.landed_lines())),
            self._case("parsed -> critical path", lambda: self.totals(self.landed_parsed())),
            self._case("landed -> critical path", lambda: self.totals(landed)),
        ]

    def _case(self, what: str, function: Callable[[], object]) -> Case:
        return _case(self.traces, f"chalkmark, {what}", function)


class Theirs:
    """CRISP, as it is in the folder `crisp`."""

    def __init__(self, crisp: Path, traces: Traces) -> None:
        sys.path.insert(0, str(crisp))
        self.graph = importlib.import_module("crisp.graph")
        self.program = importlib.import_module("crisp.process_trace")
        self.config = importlib.import_module("crisp.common").Config
        logging.getLogger().setLevel(logging.ERROR)  # it tells of every trace
        self.traces = traces
        self.roots = [_root(document["data"][0]) for document in traces.documents]

    def process(self) -> None:
        for file, (service, operation) in zip(self.traces.files, self.roots, strict=True):
            self.program.process(str(file), self.config(serviceName=service, operationName=operation, rootTrace=True))

    def totals(self, documents: Iterable[dict[str, Any]]) -> Totals:
        return sum(self.by_trace(documents).values(), Counter())

    def by_trace(self, documents: Iterable[dict[str, Any]]) -> dict[str, Totals]:
        found: dict[str, Totals] = {}
        for document, file, (service, operation) in zip(documents, self.traces.files, self.roots, strict=True):
            graph = self.graph.Graph(document, service, operation, str(file), True)
            if graph.rootNode is None:
                continue
            profile, _ = graph.accumeCPMetrics(graph.findCriticalPath(), file.stem, graph.rootNode)
            found[file.stem.lstrip("0")] = Counter()
            for path, value in profile.profile.items():
                found[file.stem.lstrip("0")][_named(path.rpartition("->")[2])] += value.excl
        return found

    def _loaded(self) -> Iterator[dict[str, Any]]:
        for file in self.traces.files:
            with file.open() as stream:
                yield json.load(stream)

    def cases(self) -> list[Case]:
        return [
            self._case("files -> its analyses of each trace", self.process),
            self._case("files -> critical path", lambda: self.totals(self._loaded())),
            self._case("parsed -> critical path", lambda: self.totals(self.traces.documents)),
        ]

    def _case(self, what: str, function: Callable[[], object]) -> Case:
        return _case(self.traces, f"CRISP, {what}", function)


def _case(traces: Traces, what: str, function: Callable[[], object]) -> Case:
    def measured() -> None:
        function()  # what it found is compared elsewhere, and is no note of the measurement

    return Case(f"{traces.name}: {what}", measured, traces.spans, "spans", runs=3)


def _joined(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    return pa.concat_tables([pa.Table.from_batches([b]) for b in batches]).unify_dictionaries().combine_chunks()


def _root(trace: dict[str, Any]) -> tuple[str, str]:
    root = next(s for s in trace["spans"] if not s["references"])
    return trace["processes"][root["processID"]]["serviceName"], root["operationName"]


def _named(node: str) -> tuple[str, str]:
    """Service and operation of `[service] operation`."""
    service, _, operation = node.removeprefix("[").partition("] ")
    return service, operation


def compared(ours: Ours, theirs: Theirs) -> dict[str, Any]:
    """Where the two agree, with the times as sent and with corrected ones. Times are us."""
    landed = ours.landed()
    mine, corrected = (ours.by_trace(ours.measured(landed, corrected=c)) for c in (False, True))
    peer = theirs.by_trace(theirs.traces.documents)
    lasted = {f.stem.lstrip("0"): _duration(d["data"][0]) for f, d in zip(ours.traces.files, ours.traces.documents, strict=True)}
    traces = {f.stem.lstrip("0"): d["data"][0] for f, d in zip(ours.traces.files, ours.traces.documents, strict=True)}
    return {
        "traces": len(mine),
        "traces_peer_analyses": len(peer),
        "peer_does_not_add_up_to_the_duration": sum(abs(peer[t].total() - lasted[t]) > 1 for t in peer),
        "us_in_all": sum(lasted[t] for t in peer),
        "as_sent": _agreement(mine, peer, traces),
        "corrected": _agreement(corrected, peer, traces),
    }


def _agreement(mine: dict[str, Totals], peer: dict[str, Totals], traces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A trace agrees where each operation's time is the same to 1 us."""
    differing = [t for t in peer if any(abs(mine[t][key] - peer[t][key]) > 1 for key in {*mine[t], *peer[t]})]
    a: Totals = sum((mine[t] for t in peer), Counter())
    b: Totals = sum(peer.values(), Counter())
    by_difference = sorted({*a, *b}, key=lambda key: -abs(a[key] - b[key]))
    return {
        "traces_that_agree": len(peer) - len(differing),
        "differing_traces_have": dict(Counter(_trait(traces[t]) for t in differing)),
        "us_laid_elsewhere": round(sum(abs(a[key] - b[key]) for key in by_difference) / 2),
        "operations": {
            f"{service} {operation}": {"ours": round(a[service, operation]), "peer": round(b[service, operation])}
            for service, operation in by_difference[:8]
        },
    }


def _trait(trace: dict[str, Any]) -> str:
    """The first thing about a trace in which two definitions of the critical path can differ."""
    spans = {s["spanID"]: s for s in trace["spans"]}
    parent = {i: spans[s["references"][0]["spanID"]] for i, s in spans.items() if s["references"]}
    ends = [(p["spanID"], _end(spans[i])) for i, p in parent.items()]
    if any({"key": "span.kind", "type": "string", "value": "consumer"} in s["tags"] for s in spans.values()):
        return "a message"
    if any(spans[i]["startTime"] < p["startTime"] or _end(spans[i]) > _end(p) for i, p in parent.items()):
        return "a child outside its parent"
    return "siblings that end together" if len(set(ends)) < len(ends) else "none of these"


def _end(span: dict[str, Any]) -> int:
    return int(span["startTime"] + span["duration"])


def _duration(trace: dict[str, Any]) -> int:
    return int(next(s for s in trace["spans"] if not s["references"])["duration"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, add_help=False)
    parser.add_argument("--crisp", type=Path, metavar="DIR")
    parser.add_argument("--traces", type=Path, metavar="FILE", nargs="*", default=[f for f in RECORDED if f.exists()])
    parser.add_argument("--spans", type=int, default=10_000)
    options, rest = parser.parse_known_args(sys.argv[1:])
    cases, results = [], {}
    with tempfile.TemporaryDirectory() as folder:
        sets = [recorded(path, Path(folder)) for path in options.traces] + [
            generated(options.spans, minutes, Path(folder)) for minutes in (1, 60)
        ]
        for traces in sets:
            ours = Ours(traces)
            cases += ours.cases()
            if options.crisp is None:
                continue
            try:
                theirs = Theirs(options.crisp, traces)
            except ImportError as error:
                sys.exit(
                    f"--crisp {options.crisp}: {error}. Clone github.com/uber-research/CRISP and install its requirements.in."
                )
            cases += theirs.cases()
            results[traces.name] = compared(ours, theirs)
        if options.crisp is None:
            print("Without --crisp DIR the peer is left out; the head of bench/crisp.py says how to get it.", file=sys.stderr)
        parameters = {"sets": {t.name: {"traces": len(t.files), "spans": t.spans} for t in sets}, "compared": results}
        run("crisp", cases, parameters=parameters, argv=rest)


if __name__ == "__main__":
    main()
