"""Spans like those of a real fleet, at any size: 24 services on 96 hosts, 400 operations, requests of 1 to 200 spans.

Requests follow templates, as real ones do: an endpoint calls the same things most of the time, so a few thousand
call paths cover any number of traces. Calls are client and server spans properly paired, some clients call a database
that sends no spans, some calls are messages that outlive their sender. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from chalkmark.tables.landing import ANNOTATION, SPAN_BATCH

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SERVICES, OPERATIONS, HOSTS, ENDPOINTS = 24, 400, 96, 40
HOSTS_A_SERVICE = HOSTS // SERVICES
TEMPLATES = 600
SKEWED_HOSTS = {5: 3_000_000, 40: -8_000_000, 77: 250_000}
"""Hosts whose clock is off, by how many ns."""
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
BLOCK = 500_000
BEGINNING_NS = 1_790_000_000 * 10**9
PATHS = 1 << 14
"""Distinct values of `url.path`."""


@dataclass(frozen=True)
class Templates:
    """The spans of all templates, one template after another; template t has spans first[t] to first[t + 1]."""

    first: Ints
    parent: Ints  # position within the template, -1 for the root
    kind: Ints
    operation: Ints
    service: Ints
    process: Ints  # position of the span that began the process this span runs in
    database: npt.NDArray[np.bool_]
    start: Floats  # as a fraction of the root's duration
    end: Floats
    popularity: Floats


def templates(rng: np.random.Generator) -> Templates:
    """Call trees of TEMPLATES kinds of requests; sizes are lognormal (median 13), cut to 1 .. 200 spans."""
    sizes = np.clip(np.exp(rng.normal(2.6, 1.1, TEMPLATES)), 1, 200).astype(int)
    rows: list[tuple[int, int, int, int, int, bool, float, float]] = []
    first = [0]
    for t, size in enumerate(sizes):
        rows += _template(rng, int(size), t % ENDPOINTS)
        first.append(len(rows))
    parent, kind, operation, service, process, database, start, end = (np.array(c) for c in zip(*rows, strict=True))
    popularity = 1.0 / np.arange(1, TEMPLATES + 1)
    popularity /= popularity.sum()
    return Templates(np.array(first), parent, kind, operation, service, process, database, start, end, popularity)


def _template(rng: np.random.Generator, size: int, endpoint: int) -> list[tuple[int, int, int, int, int, bool, float, float]]:
    # parent, kind, operation, service, process, database, start, end
    spans = [(-1, SERVER, endpoint, endpoint % SERVICES, 0, False, 0.0, 1.0)]
    open_at = [0.02]  # where each span's next child may start
    while len(spans) < size:
        inner = [i for i in range(max(0, len(spans) - 14), len(spans)) if spans[i][1] in (INTERNAL, SERVER, CONSUMER)]
        p = int(rng.choice(inner)) if inner else 0
        _, _, operation, service, process, _, start, end = spans[p]
        begin = max(open_at[p], start)
        room = end - begin
        if room < 1e-4 * (end - start):
            begin, room = start + 0.1 * (end - start), 0.8 * (end - start)  # runs beside its siblings
        length = room * rng.uniform(0.1, 0.6)
        begin += 0.05 * length
        finish = begin + length
        open_at[p] = finish if rng.random() < 0.7 else begin
        callee = (operation * 7 + 13 * (1 + int(rng.integers(0, 4)))) % OPERATIONS
        draw = rng.random()
        here = len(spans)
        if size - here == 1 or draw < 0.15:
            if draw < 0.1:
                spans.append((p, INTERNAL, operation, service, process, False, begin, finish))
            else:
                spans.append((p, CLIENT, callee, service, process, True, begin, finish))
            open_at.append(begin)
            continue
        message = draw > 0.95
        margin = 0.08 * length
        spans.append((p, PRODUCER if message else CLIENT, callee, service, process, False, begin, finish))
        if message:
            spans.append((here, CONSUMER, callee, callee % SERVICES, here + 1, False, finish, finish + 2 * length))
        else:
            spans.append((here, SERVER, callee, callee % SERVICES, here + 1, False, begin + margin, finish - margin))
        open_at += [begin, spans[-1][6]]
    return spans


def landing_batches(spans: int, seed: int = 1, *, rows: int = 50_000, hours: float = 1.0) -> Iterator[pa.RecordBatch]:
    """`spans` received spans (SPAN_BATCH) in order of arrival, so that traces interleave, in batches of `rows`.

    They spread over `hours` from BEGINNING_NS. Memory is that of BLOCK spans; a trace does not cross a block.
    """
    rng = np.random.default_rng(seed)
    kinds = templates(rng)
    blocks = max(1, -(-spans // BLOCK))
    block_ns = int(hours * 3600e9 / blocks)
    texts = _Texts()
    for block in range(blocks):
        count = min(BLOCK, spans - block * BLOCK)
        batch = _block(rng, kinds, texts, count, BEGINNING_NS + block * block_ns, block_ns)
        for start in range(0, count, rows):
            yield batch.slice(start, rows)


def _block(
    rng: np.random.Generator, kinds: Templates, texts: _Texts, count: int, begin_ns: int, length_ns: int
) -> pa.RecordBatch:
    sizes = np.diff(kinds.first)
    chosen = rng.choice(TEMPLATES, count // 4 + 10, p=kinds.popularity)
    while sizes[chosen].sum() < count:
        chosen = np.concatenate([chosen, rng.choice(TEMPLATES, count // 4 + 10, p=kinds.popularity)])
    ends = np.cumsum(sizes[chosen])
    traces = int(np.searchsorted(ends, count)) + 1
    chosen, ends = chosen[:traces], ends[:traces]
    lengths = sizes[chosen].copy()
    lengths[-1] -= ends[-1] - count  # the last trace is cut off: its parents come first, so it stays whole
    first = np.cumsum(lengths) - lengths
    trace = np.repeat(np.arange(traces), lengths)
    row = np.arange(count) - first[trace] + kinds.first[chosen][trace]

    # Bending the template's times by a power keeps their order and nesting, and makes every trace differ.
    bend = rng.uniform(0.7, 1.4, traces)[trace]
    duration = np.exp(rng.normal(17.5, 0.8, traces))[trace]
    base = (begin_ns + rng.random(traces) * length_ns).astype(np.int64)[trace]
    start = base + (kinds.start[row] ** bend * duration).astype(np.int64)
    end = base + (kinds.end[row] ** bend * duration).astype(np.int64)

    parent = np.where(kinds.parent[row] >= 0, kinds.parent[row] + first[trace], -1)
    process = kinds.process[row] + first[trace]
    host = kinds.service[row] * HOSTS_A_SERVICE + rng.integers(0, HOSTS_A_SERVICE, count)[process]
    return _batch(rng, texts, _Rows(trace, parent, kinds.kind[row], kinds.operation[row], host, kinds.database[row], start, end))


@dataclass(frozen=True)
class _Rows:
    trace: Ints
    parent: Ints  # row of the parent, -1 for none
    kind: Ints
    operation: Ints
    host: Ints
    database: npt.NDArray[np.bool_]
    start: Ints
    end: Ints


class _Texts:
    """The texts that spans are made of; spans hold positions in them until the end."""

    def __init__(self) -> None:
        self.operations = [f"GET /v1/items-{o}/{{id}}" for o in range(OPERATIONS)]
        self.senders = [_sender(host) for host in range(HOSTS)]
        self.http_keys = (
            "http.request.method",
            "http.route",
            "http.response.status_code",
            "url.path",
            "server.address",
            "server.port",
            "network.protocol.version",
            "http.response.body.size",
        )
        self.database_keys = (
            "db.system.name",
            "db.collection.name",
            "db.response.status_code",
            "db.query.text",
            "server.address",
            "server.port",
            "network.transport",
            "db.response.returned_rows",
        )
        self.types = "ssissisi"
        pool: list[str] = []

        def add(values: list[str]) -> int:
            pool.extend(values)
            return len(pool) - len(values)

        self.method = add(["GET"])
        self.route = add([f"/v1/items-{o}/{{id}}" for o in range(OPERATIONS)])
        self.status = add(["200", "503"])
        self.path = add([f"/v1/items-{i % OPERATIONS}/{i * 7919 % 1_000_003}" for i in range(PATHS)])
        self.address = add([f"svc-{s:02}.prod.svc" for s in range(SERVICES)])
        self.port = add(["8443"])
        self.protocol = add(["1.1"])
        self.size = add([str(64 + i * 37 % 65_536) for i in range(4096)])
        self.system = add(["postgresql"])
        self.collection = add([f"table_{o}" for o in range(OPERATIONS)])
        self.query = add([f"SELECT * FROM table_{o} WHERE id = $1 AND tenant = $2" for o in range(OPERATIONS)])
        self.transport = add(["tcp"])
        self.store = add([f"db-{o % 6}.prod.internal" for o in range(OPERATIONS)])
        self.pool = pa.array(pool)
        self.keys = pa.array(self.http_keys + self.database_keys)


def _sender(host: int) -> str:
    service = host // HOSTS_A_SERVICE
    document = {
        "resource": {
            "service.name": f"svc-{service:02}",
            "service.version": f"1.{service}.0",
            "service.instance.id": f"svc-{service:02}-7b9f{host:04x}",
            "host.name": f"ip-10-0-{host}-7.internal",
            "k8s.pod.name": f"svc-{service:02}-7b9f{host:04x}",
            "cloud.availability_zone": f"eu-west-1{'abc'[host % 3]}",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.language": "java",
            "telemetry.sdk.version": "1.49.0",
        },
        "scope": {"name": "io.opentelemetry.netty-4.1", "version": "2.15.0"},
    }
    return orjson.dumps(document).decode()


def _batch(rng: np.random.Generator, texts: _Texts, rows: _Rows) -> pa.RecordBatch:
    """The rows as SPAN_BATCH, in order of arrival."""
    n = len(rows.trace)
    skew = np.zeros(HOSTS, np.int64)
    skew[list(SKEWED_HOSTS)] = list(SKEWED_HOSTS.values())
    traces = int(rows.trace[-1]) + 1
    trace_ids = rng.integers(1, 2**63, (traces, 2), np.int64)
    span_ids = rng.integers(1, 2**63, n, np.int64)
    parent_ids = np.where(rows.parent >= 0, span_ids[rows.parent], 0)
    received = rows.end + rng.integers(10_000_000, 2_000_000_000, n)
    order = np.argsort(received, kind="stable")
    error = (rng.random(n) < 0.01)[order]
    kind, operation, host, database = rows.kind[order], rows.operation[order], rows.host[order], rows.database[order]
    parent_ids = parent_ids[order]
    offset = skew[host]

    values = np.empty((n, 8), np.int32)
    callee = operation % SERVICES
    values[:, 0] = np.where(database, texts.system, texts.method)
    values[:, 1] = np.where(database, texts.collection, texts.route) + operation
    values[:, 2] = texts.status + error
    values[:, 3] = np.where(database, texts.query + operation, texts.path + rng.integers(0, PATHS, n))
    values[:, 4] = np.where(database, texts.store + operation, texts.address + callee)
    values[:, 5] = texts.port
    values[:, 6] = np.where(database, texts.transport, texts.protocol)
    values[:, 7] = texts.size + rng.integers(0, 4096, n)
    keys = np.arange(8, dtype=np.int32) + np.where(database, 8, 0).astype(np.int32)[:, None]
    eights = np.arange(n + 1, dtype=np.int32) * 8
    columns: dict[str, Any] = {
        "trace_id": _binary(trace_ids[rows.trace[order]], 16),
        "span_id": _binary(span_ids[order], 8),
        "parent_span_id": _binary(parent_ids, 8, parent_ids != 0),
        "operation": pa.array(texts.operations).take(pa.array(operation)),
        "kind": pa.array(kind.astype(np.int8)),
        "start_ns": rows.start[order] + offset,
        "end_ns": rows.end[order] + offset,
        "status": (error * 2).astype(np.int8),
        "status_message": pa.array(["upstream did not answer"]).take(pa.array(np.zeros(n, np.int32), mask=~error)),
        "flags": np.full(n, 257, np.int32),
        "trace_state": pa.nulls(n, pa.string()),
        "attributes": pa.MapArray.from_arrays(
            eights, texts.keys.take(pa.array(keys.ravel())), texts.pool.take(pa.array(values.ravel()))
        ),
        "attribute_types": pa.array([texts.types]).take(pa.array(np.zeros(n, np.int32))),
        "annotations": _exceptions(error, rows.end[order] + offset),
        "sender": pa.DictionaryArray.from_arrays(pa.array(host.astype(np.int32)), pa.array(texts.senders)),
        "source": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array(["otlp-grpc"])),
        "quality": pa.array([[]], pa.list_(pa.string())).take(pa.array(np.zeros(n, np.int32))),
        "received_ns": received[order],
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in SPAN_BATCH.names], schema=SPAN_BATCH)


def _exceptions(error: npt.NDArray[np.bool_], at: Ints) -> pa.ListArray:
    """One event for each span that failed, none for the others."""
    failed = np.flatnonzero(error)
    texts = {"kind": "event", "key": "exception", "value": '{"exception.type":"UpstreamError"}'}
    columns = {name: pa.array([text]).take(pa.array(np.zeros(len(failed), np.int32))) for name, text in texts.items()}
    columns["at_ns"] = pa.array(at[failed])
    events = pa.StructArray.from_arrays([columns[f.name] for f in ANNOTATION], fields=list(ANNOTATION))
    offsets = np.concatenate([[0], np.cumsum(error)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), events, type=SPAN_BATCH.field("annotations").type)


def _binary(values: Ints, width: int, valid: npt.NDArray[np.bool_] | None = None) -> pa.FixedSizeBinaryArray:
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    data = np.ascontiguousarray(values)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), data.nbytes // width, [bitmap, pa.py_buffer(data)])


def giant_trace(spans: int = 1_000_000, depth: int = 1_000, fan_out: int = 10_000, seed: int = 1) -> pa.RecordBatch:
    """One trace (SPAN_BATCH): a chain of `depth` calls, a root with `fan_out` children, and below each of these its share
    of the rest, one after another."""
    if spans < depth + fan_out + 1:
        raise ValueError(f"{spans} spans cannot hold a chain of {depth} and {fan_out} children")
    rng = np.random.default_rng(seed)
    row = np.arange(spans)
    chain = row < depth
    child = ~chain & (row < depth + fan_out)
    leaf = ~chain & ~child
    parent = np.where(chain, row - 1, 0)
    parent[leaf] = depth + (row[leaf] - depth - fan_out) % fan_out
    second = 10**9
    start = np.zeros(spans, np.int64)
    end = np.zeros(spans, np.int64)
    # The chain takes the first half of 100 s, each child its turn in the second half, each leaf its turn within the child.
    start[chain] = row[chain] * 1_000
    end[chain] = 50 * second - row[chain] * 1_000
    end[0] = 100 * second
    turn = 50 * second // fan_out
    start[child] = 50 * second + (row[child] - depth) * turn
    end[child] = start[child] + turn - 1_000
    of = row[leaf] - depth - fan_out
    per_child = -(-int(leaf.sum()) // fan_out)
    slot = (turn - 10_000) // max(per_child, 1)
    start[leaf] = start[parent[leaf]] + (of // fan_out) * slot
    end[leaf] = start[leaf] + max(slot - 100, 1)
    kind = np.where(row % 2 == 0, SERVER, CLIENT)
    kind[leaf] = INTERNAL
    host = parent % HOSTS
    trace, database = np.zeros(spans, np.int64), np.zeros(spans, np.bool_)
    rows = _Rows(trace, parent, kind, row % OPERATIONS, host, database, start + BEGINNING_NS, end + BEGINNING_NS)
    return _batch(rng, _Texts(), rows)


def otlp_requests(spans: int, per_request: int = 500, seed: int = 1) -> list[bytes]:
    """`spans` spans as serialised ExportTraceServiceRequest, `per_request` each, as SDKs batch them: nearly every request
    is of one sender. about 345 bytes a span, 8 attributes."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    rng = np.random.default_rng(seed)
    table = pa.Table.from_batches(landing_batches(spans, seed)).unify_dictionaries().combine_chunks()
    table = table.take(np.argsort(table["sender"].chunk(0).indices.to_numpy(), kind="stable"))
    requests = []
    for start in range(0, spans, per_request):
        request = ExportTraceServiceRequest()
        sender, scope_spans = None, None
        for span in table.slice(start, per_request).to_pylist(maps_as_pydicts=None):
            if span["sender"] != sender or scope_spans is None:
                sender = span["sender"]
                scope_spans = _otlp_scope(request, orjson.loads(sender))
            _otlp_span(scope_spans.spans.add(), span)
        requests.append(request.SerializeToString())
    return [requests[i] for i in rng.permutation(len(requests))]


def _otlp_scope(request: Any, sender: dict[str, Any]) -> Any:
    resource_spans = request.resource_spans.add()
    for key, value in sender["resource"].items():
        resource_spans.resource.attributes.add(key=key).value.string_value = value
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = sender["scope"]["name"]
    scope_spans.scope.version = sender["scope"]["version"]
    return scope_spans


def _otlp_span(out: Any, span: dict[str, Any]) -> None:
    out.trace_id, out.span_id, out.parent_span_id = span["trace_id"], span["span_id"], span["parent_span_id"] or b""
    out.name, out.kind, out.flags = span["operation"], span["kind"], span["flags"]
    out.start_time_unix_nano, out.end_time_unix_nano = span["start_ns"], span["end_ns"]
    for (key, value), letter in zip(span["attributes"], span["attribute_types"], strict=True):
        attribute = out.attributes.add(key=key)
        if letter == "i":
            attribute.value.int_value = int(value)
        else:
            attribute.value.string_value = value
    if span["status"]:
        out.status.code, out.status.message = span["status"], span["status_message"]
    for event in span["annotations"]:
        said = out.events.add(name=event["key"], time_unix_nano=event["at_ns"])
        for key, value in orjson.loads(event["value"]).items():
            said.attributes.add(key=key).value.string_value = value
