"""One service of the fleet as a process: `python -m demo.service NAME`. It serves until SIGTERM, then sends its last spans."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from demo import clock
from demo.blueprint import Handler, Service
from demo.calls import CallFailedError, addresses
from demo.fleet import SERVICES

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

GRACE_S = 1.0
"""How long requests that run at SIGTERM may take to end."""
LARGEST_MESSAGE = 65_536


def main(name: str) -> None:
    """Runs the service `name` of the fleet."""
    service = SERVICES[name]
    if service.host.clock_offset_ms:
        clock.shift(service.host.clock_offset_ms * 1_000_000)
    serve = {"http": serve_http, "grpc": serve_grpc, "queue": serve_queue}[service.protocol]
    if service.exports == "nothing":
        asyncio.run(_until_terminated(serve, service))
        return

    from demo import telemetry

    provider = telemetry.start(service)
    try:
        asyncio.run(_until_terminated(serve, service))
    finally:
        provider.shutdown()


async def _until_terminated(serve: Callable[[Service, asyncio.Event], Awaitable[None]], service: Service) -> None:
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    await serve(service, terminated)


async def serve_http(service: Service, terminated: asyncio.Event) -> None:
    """Serves the endpoints with uvicorn."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def responding(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            try:
                return JSONResponse(await handler(**request.path_params) or {})
            except CallFailedError as failed:
                return JSONResponse({"failed": str(failed)}, status_code=503)

        return respond

    routes = []
    for endpoint, handler in service.endpoints.items():
        method, path = endpoint.split()
        routes.append(Route(path, responding(handler), methods=[method]))
    app = Starlette(routes=routes)
    if service.exports != "nothing":
        from opentelemetry.instrumentation.starlette import StarletteInstrumentor

        StarletteInstrumentor.instrument_app(app)
    host, port = addresses()[service.name].split(":")
    config = uvicorn.Config(
        app, host, int(port), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=int(GRACE_S)
    )
    server = uvicorn.Server(config)

    async def stop() -> None:  # uvicorn heeds SIGTERM too, but not one that came before it was ready to
        await terminated.wait()
        server.should_exit = True

    stopping = asyncio.create_task(stop())
    await server.serve()
    stopping.cancel()


async def serve_grpc(service: Service, terminated: asyncio.Event) -> None:
    """Serves the endpoints as unary methods whose messages are JSON: gRPC without generated code."""
    import grpc.aio
    from opentelemetry.instrumentation.grpc import aio_server_interceptor

    def responding(handler: Handler) -> Any:
        async def respond(request: bytes, context: Any) -> bytes:
            try:
                return json.dumps(await handler(**json.loads(request)) or {}).encode()
            except CallFailedError as failed:
                await context.abort(grpc.StatusCode.UNAVAILABLE, str(failed))
                raise

        return grpc.unary_unary_rpc_method_handler(respond)

    methods = {endpoint: responding(handler) for endpoint, handler in service.endpoints.items()}
    server = grpc.aio.server(interceptors=[aio_server_interceptor()])  # type: ignore[no-untyped-call]
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.rpc_service, methods),))
    server.add_insecure_port(addresses()[service.name])
    await server.start()
    await terminated.wait()
    await server.stop(GRACE_S)


async def serve_queue(service: Service, terminated: asyncio.Event) -> None:
    """Handles the messages one at a time, in the order in which they were sent; the kernel's socket buffer is the queue."""
    from opentelemetry import propagate, trace

    async def consume(queue: socket.socket) -> None:
        tracer = trace.get_tracer("demo.queue")
        loop = asyncio.get_running_loop()
        while True:
            envelope = json.loads(await loop.sock_recv(queue, LARGEST_MESSAGE))
            name = envelope["queue"]
            attributes = {"messaging.system": "unix", "messaging.destination.name": name, "messaging.operation.type": "process"}
            with tracer.start_as_current_span(
                f"process {name}",
                context=propagate.extract(envelope["headers"]),
                kind=trace.SpanKind.CONSUMER,
                attributes=attributes,
            ):
                await service.endpoints[name](**envelope["message"])

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as queue:
        queue.setblocking(False)
        queue.bind(addresses()[service.name])
        consuming = asyncio.create_task(consume(queue))
        ended = asyncio.create_task(terminated.wait())
        await asyncio.wait([consuming, ended], return_when=asyncio.FIRST_COMPLETED)
        consuming.cancel()
        ended.cancel()
        await asyncio.gather(consuming, ended, return_exceptions=True)


if __name__ == "__main__":
    main(sys.argv[1])
