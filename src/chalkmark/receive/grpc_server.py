"""OTLP over gRPC: `opentelemetry.proto.collector.trace.v1.TraceService/Export`.

https://opentelemetry.io/docs/specs/otlp/ is followed, sections "OTLP/gRPC" and "OTLP/gRPC Throttling". The request stays
bytes: no protobuf class is made of it. Metrics and logs are services that are not here, so gRPC answers UNIMPLEMENTED.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage  # type: ignore[import-untyped]
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from chalkmark.errors import ChalkmarkError, OverloadedError
from chalkmark.receive import otlp
from chalkmark.receive.intake import Intake, UndecodableError, refusals

SOURCE = "otlp-grpc"
SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"

_LOG = logging.getLogger(__name__)
_ACCEPTED: bytes = ExportTraceServiceResponse().SerializeToString()


def make_server(intake: Intake, max_request_bytes: int) -> grpc.aio.Server:
    """A server with the trace service and no port yet."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.so_reuseport", 0),  # two receivers on one port would share its clients in silence
        ]
    )
    export = grpc.unary_unary_rpc_method_handler(_Traces(intake).export, request_deserializer=None, response_serializer=None)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": export}),))
    return server


class _Traces:
    """The service; gRPC knows by its type that the method is a coroutine."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def export(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        try:
            received = await self._intake.take_together(otlp.decode_together, request, SOURCE)
        except OverloadedError as error:
            await _refuse_for_now(context, error)
        except UndecodableError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except (OSError, ChalkmarkError) as error:
            _LOG.exception("spans could not be stored")
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"spans cannot be stored: {error}")
        if not received.rejected:
            return _ACCEPTED
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = received.rejected
        response.partial_success.error_message = refusals(received)
        return bytes(response.SerializeToString())


async def _refuse_for_now(context: grpc.aio.ServicerContext[Any, Any], error: OverloadedError) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo; without that, clients take it as final and drop the spans."""
    retry = RetryInfo()
    retry.retry_delay.seconds = math.floor(error.retry_after_s)
    retry.retry_delay.nanos = round(error.retry_after_s % 1 * 1e9)
    details = AnyMessage()
    details.Pack(retry)
    status = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message=str(error), details=[details])
    trailers = (
        ("grpc-status-details-bin", status.SerializeToString()),
        ("google.rpc.retryinfo-bin", retry.SerializeToString()),  # where OpenTelemetry's Python SDK looks
    )
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), trailers)
