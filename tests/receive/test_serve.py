"""Starting and stopping all receivers."""

from __future__ import annotations

import socket
import threading

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from chalkmark.errors import ChalkmarkError
from receive.otlp_requests import request
from receive.receivers import running


@pytest.mark.parametrize("setting", ["otlp_grpc_port", "otlp_http_port", "zipkin_port"])
def test_port_in_use_is_named_with_the_setting_that_changes_it(setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ChalkmarkError) as caught, running(**{setting: port}):
            pass
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert f"CHALKMARK_{setting.upper()}" in caught.value.hint


def test_receiver_can_be_left_out() -> None:
    with running(zipkin_port=None) as receivers:
        assert receivers.ports.zipkin is None
        assert receivers.ports.otlp_grpc


def test_stop_lets_requests_finish_that_are_under_way() -> None:
    with running() as receivers, grpc.insecure_channel(receivers.grpc) as channel:
        receivers.landing.hold = threading.Event()
        call = TraceServiceStub(channel).Export.future(request("last"))
        assert receivers.landing.holding.wait(60)
        receivers.stop()
        receivers.landing.hold.set()
        call.result(60)
        receivers.join()
        with pytest.raises(grpc.RpcError):
            TraceServiceStub(channel).Export(request("too late"), timeout=5)


def test_more_waiting_bytes_than_allowed_is_an_overload() -> None:
    with running(max_waiting_bytes=1) as receivers, grpc.insecure_channel(receivers.grpc) as channel:
        receivers.landing.hold = threading.Event()
        stub = TraceServiceStub(channel)
        first = stub.Export.future(request("first"))
        assert receivers.landing.holding.wait(60)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Export(request("second"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        receivers.landing.hold.set()
        first.result(60)
