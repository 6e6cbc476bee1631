"""Spans over HTTP: OTLP (`POST /v1/traces`, protobuf and JSON) and Zipkin v2 (`POST /api/v2/spans`).

https://opentelemetry.io/docs/specs/otlp/ is followed, section "OTLP/HTTP", and Zipkin's API, https://zipkin.io/zipkin-api/.
Both paths are served on both ports: who mixes them up is served all the same.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import grpc
import orjson
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from chalkmark.errors import ChalkmarkError, OverloadedError
from chalkmark.receive import otlp, otlp_json, zipkin
from chalkmark.receive.intake import Intake, UndecodableError, refusals
from chalkmark.tables.landing import Received

PROTOBUF, JSON = "application/x-protobuf", "application/json"
OTLP_SOURCE, ZIPKIN_SOURCE = "otlp-http", "zipkin-http"
TRACES_PATH, ZIPKIN_PATH, READY_PATH = "/v1/traces", "/api/v2/spans", "/healthz"

_LOG = logging.getLogger(__name__)
_Take: TypeAlias = Callable[[bytes, str], Awaitable[Received]]
_GZIP = 16 + zlib.MAX_WBITS


class HttpError(Exception):
    """A request that is answered with an error; `headers` go with the answer."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


def make_app(intake: Intake, *, max_request_bytes: int, cors_origins: Sequence[str] = ()) -> Starlette:
    """The application. `cors_origins` are web pages' origins that may send from a browser; `*` is all of them."""
    receivers = _Receivers(intake, max_request_bytes)
    cors = Middleware(CORSMiddleware, allow_origins=list(cors_origins), allow_methods=["POST"], allow_headers=["*"])
    return Starlette(
        routes=[
            Route(TRACES_PATH, receivers.otlp, methods=["POST"]),
            Route(ZIPKIN_PATH, receivers.zipkin, methods=["POST"]),
            Route(READY_PATH, _ready),
        ],
        middleware=[cors] if cors_origins else [],
    )


async def _ready(_request: Request) -> Response:
    return PlainTextResponse("ready\n")


class _Receivers:
    """The handlers of the two formats."""

    def __init__(self, intake: Intake, max_request_bytes: int) -> None:
        self._take_otlp: dict[str, _Take] = {
            PROTOBUF: partial(intake.take_together, otlp.decode_together),
            JSON: partial(intake.take, otlp_json.decode),
        }
        self._take_zipkin: _Take = partial(intake.take, zipkin.decode)
        self._max_request_bytes = max_request_bytes

    async def otlp(self, request: Request) -> Response:
        """An ExportTraceServiceRequest; the answer is in the encoding of the request."""
        encoding = _content_type(request)
        if encoding not in self._take_otlp:
            return PlainTextResponse(f"Content-Type has to be {PROTOBUF} or {JSON}, not {encoding or 'empty'}.\n", 415)
        try:
            received = await self._receive(request, self._take_otlp[encoding], OTLP_SOURCE)
        except HttpError as error:
            return _otlp_error(encoding, error)
        return _otlp_success(encoding, received)

    async def zipkin(self, request: Request) -> Response:
        """A list of Zipkin v2 spans; 202 and no body, as Zipkin answers."""
        encoding = _content_type(request)
        if encoding != JSON:
            return PlainTextResponse(f"Content-Type has to be {JSON}, not {encoding or 'empty'}.\n", 415)
        try:
            received = await self._receive(request, self._take_zipkin, ZIPKIN_SOURCE)
        except HttpError as error:
            return PlainTextResponse(f"{error}\n", error.status, error.headers)
        # Zipkin knows no partial success: the refused spans are counted, and who looks at the answer is told.
        return PlainTextResponse(f"refused: {refusals(received)}\n" if received.rejected else "", 202)

    async def _receive(self, request: Request, take: _Take, source: str) -> Received:
        """Raises HttpError for everything that goes wrong."""
        body = await _body(request, self._max_request_bytes)
        try:
            return await take(body, source)
        except OverloadedError as error:
            raise HttpError(429, str(error), {"Retry-After": str(math.ceil(error.retry_after_s))}) from error
        except UndecodableError as error:
            raise HttpError(400, str(error)) from error
        except (OSError, ChalkmarkError) as error:
            _LOG.exception("spans could not be stored")
            raise HttpError(503, f"spans cannot be stored: {error}") from error


def _content_type(request: Request) -> str:
    """The media type without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request, limit: int) -> bytes:
    """The request's body, unpacked. Raises HttpError 413 as soon as it is larger than `limit`, packed or unpacked."""
    packing = request.headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "gzip"):
        raise HttpError(415, f"Content-Encoding has to be gzip or none, not {packing}.")
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    except ClientDisconnect as error:
        raise HttpError(400, "The connection ended before the body did.") from error
    body = b"".join(parts)
    return _unpacked(body, limit) if packing == "gzip" else body


def _unpacked(body: bytes, limit: int) -> bytes:
    """A gzip body, member after member. No more than `limit` bytes are ever made of it, however well they are packed."""
    parts: list[bytes] = []
    size = 0
    while body:
        member = zlib.decompressobj(_GZIP)
        try:
            parts.append(member.decompress(body, limit - size + 1))
        except zlib.error as error:
            raise HttpError(400, f"The body is not gzip: {error}.") from error
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not member.eof:
            raise HttpError(400, "The body is not gzip: it ends too early.")
        body = member.unused_data
    return b"".join(parts)


def _too_large(limit: int) -> HttpError:
    return HttpError(413, f"The request is larger than {limit:,} bytes; send smaller batches or raise max_request_bytes.")


def _otlp_success(encoding: str, received: Received) -> Response:
    rejected, message = received.rejected, refusals(received)
    if encoding == PROTOBUF:
        response = ExportTraceServiceResponse()
        if rejected:
            response.partial_success.rejected_spans = rejected
            response.partial_success.error_message = message
        return Response(response.SerializeToString(), media_type=PROTOBUF)
    # 64-bit numbers are texts in protobuf's JSON.
    document: dict[str, Any] = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}} if rejected else {}
    return Response(orjson.dumps(document), media_type=JSON)


_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""google.rpc codes that say the same as the HTTP statuses."""


def _otlp_error(encoding: str, error: HttpError) -> Response:
    """The answer with a google.rpc.Status as its body."""
    code = _CODES[error.status].value[0]
    if encoding == PROTOBUF:
        body: bytes = Status(code=code, message=str(error)).SerializeToString()
    else:
        body = orjson.dumps({"code": code, "message": str(error)})
    return Response(body, error.status, error.headers, encoding)
