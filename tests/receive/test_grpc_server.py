"""The gRPC receiver against real clients: bare channels, and OpenTelemetry's own exporter."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from chalkmark.tables.quality import Reason
from receive.otlp_requests import request
from receive.receivers import Running, running

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def receivers() -> Iterator[Running]:
    with running() as receivers:
        yield receivers


@pytest.fixture
def channel(receivers: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(receivers.grpc) as channel:
        yield channel


def test_request_is_kept(receivers: Running, channel: grpc.Channel) -> None:
    response = TraceServiceStub(channel).Export(request("one", "two"), compression=grpc.Compression.Gzip)
    assert not response.HasField("partial_success")
    assert receivers.landing.operations == ["one", "two"]
    assert receivers.landing.kept[0].spans["source"].to_pylist() == ["otlp-grpc"] * 2


def test_answer_waits_until_the_request_is_durable(receivers: Running, channel: grpc.Channel) -> None:
    receivers.landing.hold = threading.Event()
    call = TraceServiceStub(channel).Export.future(request("one"))
    assert receivers.landing.holding.wait(60)
    assert not call.done()
    receivers.landing.hold.set()
    call.result(60)


def test_refused_spans_are_named(receivers: Running, channel: grpc.Channel) -> None:
    message = request("good")
    message.MergeFrom(request("bad", trace_id=b""))
    response = TraceServiceStub(channel).Export(message)
    assert response.partial_success.rejected_spans == 1
    assert Reason.TRACE_ID_MISSING in response.partial_success.error_message
    assert receivers.landing.operations == ["good"]


def test_garbage_is_an_invalid_argument_that_is_counted(receivers: Running, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(EXPORT)(b"\x0a\x7fgarbage")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert Reason.REQUEST_UNDECODABLE in caught.value.details()
    assert receivers.landing.kept[0].rejected == 1


def test_overload_tells_when_to_come_back(receivers: Running, channel: grpc.Channel) -> None:
    receivers.landing.refuse = 1
    with pytest.raises(grpc.RpcError) as caught:
        TraceServiceStub(channel).Export(request("one"))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    assert details.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    retry = RetryInfo()
    assert details.details[0].Unpack(retry)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 0.25


def test_disk_that_fails_is_unavailable(receivers: Running, channel: grpc.Channel) -> None:
    receivers.landing.fail = 1
    with pytest.raises(grpc.RpcError) as caught:
        TraceServiceStub(channel).Export(request("one"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "No space left" in caught.value.details()


def test_too_large_a_request_is_refused() -> None:
    with running(max_request_bytes=1_000) as receivers, grpc.insecure_channel(receivers.grpc) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            TraceServiceStub(channel).Export(request("x" * 2_000))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert receivers.landing.asked == 0


def test_metrics_are_not_implemented(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        MetricsServiceStub(channel).Export(ExportMetricsServiceRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_sdk_exports_and_comes_back_after_an_overload(receivers: Running, compression: grpc.Compression) -> None:
    receivers.landing.refuse = 1
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    exporter = OTLPSpanExporter(endpoint=receivers.grpc, insecure=True, compression=compression)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    with provider.get_tracer("tests", "1.0").start_as_current_span("buy", attributes={"items": 3}) as span:
        span.add_event("paid", {"amount": 9.5})
    assert provider.force_flush(60_000)
    provider.shutdown()
    assert receivers.landing.asked == 2
    (row,) = receivers.landing.kept[0].spans.to_pylist()
    assert (row["operation"], row["attributes"], row["attribute_types"]) == ("buy", [("items", "3")], "i")
    assert row["annotations"][0]["value"] == '{"amount":9.5}'
    assert '"service.name":"shop"' in row["sender"]
