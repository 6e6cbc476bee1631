from __future__ import annotations

import gzip
import json
import struct
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from chalkmark.errors import ChalkmarkError
from chalkmark.receive import files
from chalkmark.receive.files import Format, SpanFile, find
from chalkmark.receive.mapping import guess
from chalkmark.tables.quality import Reason
from shared import shared_data

NOW = 1_790_000_000_000_000_000
ZIPKIN = {"traceId": "a1", "id": "b2", "timestamp": 1_789_999_999_000_000, "duration": 5, "name": "get"}
JAEGER = {"traceID": "a1", "spans": [{"spanID": "b2", "operationName": "get", "startTime": 1, "duration": 5}], "processes": {}}
OTLP = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "a" * 32, "spanId": "b" * 16, "name": "get"}]}]}]}
CSV = "trace_id,span_id,name,start_ns,end_ns\na1,b2,get,1789999999000000000,1789999999000000005\n"


def request(spans=1):
    made = [Span(trace_id=b"t" * 16, span_id=(i + 1).to_bytes(8, "big"), name="get") for i in range(spans)]
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[s])]) for s in made])


def dumps(*documents):
    return "".join(json.dumps(d) + "\n" for d in documents).encode()


def read(path, body, format=None):
    """Format, number of spans, and the rejections as (reason, spans, example)."""
    path.write_bytes(body)
    file = SpanFile(path, NOW, guess, format)
    batches = list(file.batches())
    for batch in batches:
        batch.spans.validate(full=True)
        assert batch.spans["source"].to_pylist() == [f"file:{file.format}"] * batch.spans.num_rows
    refused = [(r["reason"], r["spans"], r["example"]) for b in batches for r in b.rejections.to_pylist()]
    return file.format, sum(b.spans.num_rows for b in batches), refused


PROTO = request(3).SerializeToString()
BODIES = {
    "zipkin": (dumps([ZIPKIN, ZIPKIN]), Format.ZIPKIN, 2),
    "zipkin, pretty": (json.dumps([ZIPKIN], indent=2).encode(), Format.ZIPKIN, 1),
    "zipkin lines": (dumps(ZIPKIN, ZIPKIN), Format.ZIPKIN, 2),
    "zipkin, empty": (b"[]", Format.ZIPKIN, 0),
    "jaeger": (dumps({"data": [JAEGER]}), Format.JAEGER, 1),
    "jaeger lines": (dumps(JAEGER, JAEGER), Format.JAEGER, 2),
    "jaeger, pretty": (json.dumps({"total": 0, "data": [JAEGER]}, indent=1).encode(), Format.JAEGER, 1),
    "otlp": (json.dumps(OTLP, indent=2).encode(), Format.OTLP_JSON, 1),
    "otlp lines": (dumps({"resourceMetrics": []}, OTLP, OTLP), Format.OTLP_JSON, 2),
    "otlp, with byte order mark": (b"\xef\xbb\xbf" + dumps(OTLP), Format.OTLP_JSON, 1),
    "protobuf": (PROTO, Format.OTLP_PROTO, 3),
    "protobuf stream": ((struct.pack(">i", len(PROTO)) + PROTO) * 2, Format.OTLP_STREAM, 6),
    "json stream": (struct.pack(">i", len(dumps(OTLP))) + dumps(OTLP), Format.OTLP_STREAM, 1),
    "csv": (CSV.encode(), Format.CSV, 1),
}
PACKED = pa.compress(PROTO, codec="zstd", asbytes=True)
BODIES["packed stream"] = (struct.pack(">i", len(PACKED)) + PACKED, Format.OTLP_STREAM, 3)
PACKINGS = {"plain": bytes, "gzip": gzip.compress, "zstd": lambda body: pa.compress(body, codec="zstd", asbytes=True)}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", BODIES)
def test_the_format_is_told_by_the_content(tmp_path, name, packing):
    body, format, spans = BODIES[name]
    assert read(tmp_path / "file.without.meaning", PACKINGS[packing](body)) == (format, spans, [])


def test_tables_are_told_by_their_content(tmp_path):
    table = pa.table({"trace_id": ["a1"], "span_id": ["b2"], "start_ns": [NOW], "end_ns": [NOW]})
    pa.parquet.write_table(table, tmp_path / "p")
    with pa.ipc.new_file(tmp_path / "a", table.schema) as out:
        out.write_table(table)
    for name, format in (("p", Format.PARQUET), ("a", Format.ARROW)):
        assert read(tmp_path / name, (tmp_path / name).read_bytes()) == (format, 1, [])


def test_the_format_can_be_said(tmp_path):
    assert read(tmp_path / "f", b"{}", Format.OTLP_JSON) == (Format.OTLP_JSON, 0, [])


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_broken_line_is_rejected_alone(tmp_path, broken):
    lines = [dumps(JAEGER)] * 3
    lines[broken] = b'{"traceID": \n'
    format, spans, refused = read(tmp_path / "f", b"".join(lines))
    assert (format, spans) == (Format.JAEGER, 2)
    ((reason, count, example),) = refused
    assert (reason, count) == (Reason.REQUEST_UNDECODABLE, 1)
    assert example.startswith(f"f, line {broken + 1}: not JSON")


def test_a_line_of_another_format_is_rejected_alone(tmp_path):
    _, spans, refused = read(tmp_path / "f", dumps(JAEGER, {"x": 1}, JAEGER))
    assert (spans, [(r, n) for r, n, _ in refused]) == (2, [(Reason.REQUEST_UNDECODABLE, 1)])


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_what_lies_before_the_end_of_a_cut_file_is_kept(tmp_path, packing):
    traces = [{**JAEGER, "traceID": f"{i:x}{i * 7919 % 65536:x}"} for i in range(1, 30_000)]
    whole = PACKINGS[packing](dumps(*traces))
    format, spans, refused = read(tmp_path / "f", whole[: len(whole) // 2])
    assert format is Format.JAEGER
    assert 0 < spans < len(traces)
    assert "the file is cut off" in refused[-1][2]


def test_a_cut_stream_keeps_its_whole_messages(tmp_path):
    message = struct.pack(">i", len(PROTO)) + PROTO
    (tmp_path / "f").write_bytes(message * 2 + message[:-1])
    batches = SpanFile(tmp_path / "f", NOW, guess).batches()
    assert [next(batches).spans.num_rows for _ in range(2)] == [3, 3]
    with pytest.raises(ChalkmarkError, match="cut off"):
        next(batches)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"\x7fELF\x02\x01", "not recognised; the file begins with b'\\\\x7fELF"),
        (b"hello world\n", "not recognised"),
        (b'{"a": 1}', "an object with 'a'"),
        (b"[1, 2]", "a list of something else"),
        (b'{"data": [', "not JSON"),
        (b"a,b,c\n1,2,3\n", "columns do not tell"),
        (gzip.compress(b""), "empty"),
        (gzip.compress(dumps([ZIPKIN]))[:20], "cannot be read"),
    ],
)
def test_unknown_content_is_refused_saying_what_was_seen(tmp_path, body, message):
    with pytest.raises(ChalkmarkError, match=message):
        read(tmp_path / "f", body)


def test_a_refused_file_is_on_record(tmp_path):
    received = SpanFile(tmp_path / "f", NOW, guess).refused(ChalkmarkError("the file is empty"))
    (row,) = received.rejections.to_pylist()
    assert (row["source"], row["reason"], row["example"]) == ("file:unknown", Reason.REQUEST_UNDECODABLE, "f: the file is empty")


def test_batches_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BATCH_SPANS", 10)
    monkeypatch.setattr(files, "REQUEST_BYTES", 200)
    for body in (dumps([ZIPKIN] * 35), dumps(*[JAEGER] * 35), request(35).SerializeToString()):
        (tmp_path / "f").write_bytes(body)
        sizes = [b.spans.num_rows for b in SpanFile(tmp_path / "f", NOW, guess).batches()]
        assert sum(sizes) == 35
        assert max(sizes) <= 10


def test_find(tmp_path):
    for name in ("b/2.json", "b/1.json", "a.json", "b/.hidden", ".git/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find([tmp_path]) == [tmp_path / n for n in ("a.json", "b/1.json", "b/2.json")]
    assert find([tmp_path / "b" / "2.json", tmp_path / "b"]) == [tmp_path / "b" / "2.json", tmp_path / "b" / "1.json"]
    with pytest.raises(ChalkmarkError, match="no such file or folder"):
        find([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ChalkmarkError, match="no file in this folder"):
        find([tmp_path / "empty"])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"{", b"[", b"PAR1", b"ARROW1", b"\x0a\x05\x0a", b"\0\0\0\x05\x0a", b"a,b\n", b"\x1f\x8b\x08"]),
)
def test_garbage_is_read_or_refused(tmp_path, body, beginning):
    with suppress(ChalkmarkError):
        read(tmp_path / "f", beginning + body)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(BODIES)), st.sampled_from(sorted(PACKINGS)), st.data())
def test_damaged_files_are_read_or_refused(tmp_path, name, packing, data):
    body = bytearray(PACKINGS[packing](BODIES[name][0]))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ChalkmarkError):
        read(tmp_path / "f", bytes(body[: data.draw(st.integers(0, len(body)))]))


def count(path):
    file = SpanFile(path, NOW, guess)
    batches = list(file.batches())
    return file.format, sum(b.spans.num_rows for b in batches), sum(b.rejected for b in batches)


def test_recorded_files_lose_nothing():
    root = shared_data("traces")
    for path in sorted((root / "zipkin").glob("*.json")):
        assert count(path) == (Format.ZIPKIN, len(json.loads(path.read_bytes())), 0)
    for path in sorted((root / "crisp").rglob("*.json")):
        sent = sum(len(t["spans"]) for t in json.loads(path.read_bytes())["data"])
        assert count(path) == (Format.JAEGER, sent, 0)
    path = root / "deathstarbench" / "nodejs_microservices__node_load25.jaeger.jsonl.gz"
    assert count(path) == (Format.JAEGER, 6000, 0)
    path = root / "onlineboutique" / "2022-08-22" / "trace" / "03_53_trace.csv.gz"
    with gzip.open(path) as lines:
        sent = sum(1 for _ in lines) - 1
    assert count(path) == (Format.CSV, sent, 0)
