"""The HTTP receivers against real clients."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import httpx
import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from chalkmark.tables.quality import Reason
from receive.otlp_requests import request
from receive.receivers import Running, running

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}
GZIP = {"content-encoding": "gzip"}


@pytest.fixture
def receivers() -> Iterator[Running]:
    with running() as receivers:
        yield receivers


def post(receivers: Running, content: bytes, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{receivers.http}/v1/traces", content=content, headers=headers, timeout=60)


def as_json(message: ExportTraceServiceRequest) -> bytes:
    """OTLP/JSON: protobuf's JSON with identifiers in hexadecimal."""
    document = MessageToDict(message)
    for resource_spans in document["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                span |= {"traceId": (b"t" * 16).hex(), "spanId": (b"s" * 8).hex()}
    return orjson.dumps(document)


@pytest.mark.parametrize("packed", [False, True])
def test_protobuf_is_kept(receivers: Running, packed: bool) -> None:
    body = request("one").SerializeToString()
    response = post(receivers, gzip.compress(body) if packed else body, PROTOBUF | (GZIP if packed else {}))
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-protobuf")
    assert not ExportTraceServiceResponse.FromString(response.content).HasField("partial_success")
    assert receivers.landing.operations == ["one"]
    assert receivers.landing.kept[0].spans["source"].to_pylist() == ["otlp-http"]


@pytest.mark.parametrize("packed", [False, True])
def test_json_is_kept(receivers: Running, packed: bool) -> None:
    body = as_json(request("one"))
    response = post(receivers, gzip.compress(body) if packed else body, JSON | (GZIP if packed else {}))
    assert (response.status_code, response.json()) == (200, {})
    assert receivers.landing.operations == ["one"]


def test_refused_spans_are_named_in_the_encoding_of_the_request(receivers: Running) -> None:
    message = request("good")
    message.MergeFrom(request("bad", trace_id=b""))
    partial = ExportTraceServiceResponse.FromString(
        post(receivers, message.SerializeToString(), PROTOBUF).content
    ).partial_success
    assert partial.rejected_spans == 1
    assert Reason.TRACE_ID_MISSING in partial.error_message
    document = orjson.loads(as_json(request("good", "bad")))
    del document["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["traceId"]
    response = post(receivers, orjson.dumps(document), JSON)
    assert response.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert receivers.landing.operations == ["good", "good"]


def test_garbage_is_a_bad_request_that_is_counted(receivers: Running) -> None:
    response = post(receivers, b"\x0a\x7fgarbage", PROTOBUF)
    assert response.status_code == 400
    assert Reason.REQUEST_UNDECODABLE in Status.FromString(response.content).message
    response = post(receivers, b"{not json", JSON)
    assert response.status_code == 400
    assert "JSON" in response.json()["message"]
    assert [received.rejected for received in receivers.landing.kept] == [1, 1]


def test_overload_tells_when_to_come_back(receivers: Running) -> None:
    receivers.landing.refuse = 1
    response = post(receivers, request("one").SerializeToString(), PROTOBUF)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert Status.FromString(response.content).code == 8


def test_disk_that_fails_is_unavailable(receivers: Running) -> None:
    receivers.landing.fail = 1
    assert post(receivers, request("one").SerializeToString(), PROTOBUF).status_code == 503


@pytest.mark.parametrize("headers", [{"content-type": "text/plain"}, {}, PROTOBUF | {"content-encoding": "br"}])
def test_other_types_are_refused(receivers: Running, headers: dict[str, str]) -> None:
    assert post(receivers, b"x", headers).status_code == 415
    assert receivers.landing.asked == 0


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"x" * 100)[:-9]])
def test_broken_gzip_is_a_bad_request(receivers: Running, body: bytes) -> None:
    assert post(receivers, body, PROTOBUF | GZIP).status_code == 400


def test_gzip_may_have_several_members(receivers: Running) -> None:
    body = request("one").SerializeToString()
    assert post(receivers, gzip.compress(body[:20]) + gzip.compress(body[20:]), PROTOBUF | GZIP).status_code == 200
    assert receivers.landing.operations == ["one"]


def test_too_large_a_body_is_refused_packed_or_not() -> None:
    with running(max_request_bytes=10_000) as receivers:
        assert post(receivers, bytes(10_001), PROTOBUF).status_code == 413
        bomb = gzip.compress(bytes(100 << 20))
        # A bomb that is small itself, so that it is refused for what it becomes.
        assert post(receivers, bomb[:9_000], PROTOBUF | GZIP).status_code == 413
        assert receivers.landing.asked == 0


def test_zipkin_is_kept(receivers: Running) -> None:
    spans = [
        {"traceId": "a" * 16, "id": "b" * 16, "name": "get", "timestamp": time.time_ns() // 1000, "duration": 5},
        {"id": "c" * 16},
    ]
    response = httpx.post(f"{receivers.zipkin}/api/v2/spans", json=spans, timeout=60)
    assert response.status_code == 202
    assert Reason.TRACE_ID_MISSING in response.text
    assert receivers.landing.operations == ["get"]
    assert receivers.landing.kept[0].spans["source"].to_pylist() == ["zipkin-http"]
    assert httpx.post(f"{receivers.zipkin}/api/v2/spans", content=b"{", headers=JSON, timeout=60).status_code == 400
    assert httpx.post(f"{receivers.zipkin}/api/v2/spans", content=b"x", timeout=60).status_code == 415


def test_browsers_may_send_from_configured_origins_only() -> None:
    asking = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    with running(cors_origins=("https://shop.example",)) as receivers:
        url = f"{receivers.http}/v1/traces"
        allowed = httpx.options(url, headers=asking, timeout=60)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        other = httpx.options(url, headers=asking | {"origin": "https://other.example"}, timeout=60)
        assert "access-control-allow-origin" not in other.headers


def test_browsers_may_not_send_by_default(receivers: Running) -> None:
    asking = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in httpx.options(f"{receivers.http}/v1/traces", headers=asking, timeout=60).headers


def test_readiness(receivers: Running) -> None:
    assert httpx.get(f"{receivers.http}/healthz", timeout=60).status_code == 200


def test_sdk_exports_and_comes_back_after_an_overload(receivers: Running) -> None:
    receivers.landing.refuse = 1
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{receivers.http}/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.get_tracer("tests").start_span("buy").end()
    assert provider.force_flush(60_000)
    provider.shutdown()
    assert receivers.landing.asked == 2
    assert receivers.landing.operations == ["buy"]
