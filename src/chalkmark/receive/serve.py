"""All receivers on their ports, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn

from chalkmark.errors import ChalkmarkError
from chalkmark.receive import otlp
from chalkmark.receive.grpc_server import make_server
from chalkmark.receive.http_server import make_app
from chalkmark.receive.intake import Intake, Landing

BACKLOG = 2048
"""Connections that wait to be accepted; the kernel's own limit may be lower."""


@dataclass(frozen=True, slots=True)
class ReceiverConfig:
    """Where to listen and how much to take. A port is None to leave that receiver out, and 0 for any free port."""

    host: str = "127.0.0.1"
    otlp_grpc_port: int | None = 4317
    otlp_http_port: int | None = 4318
    zipkin_port: int | None = 9411
    max_request_bytes: int = 64 << 20
    """Larger requests, unpacked, are refused."""
    max_waiting_bytes: int = 256 << 20
    """Requests that are not durable yet; beyond it senders are told to try later."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages that may send from a browser; `*` is all of them."""
    decode_threads: int = 0
    """0 for one a CPU."""
    grace_s: float = 10.0
    """How long requests that are under way may take when the receivers stop."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that are listened on; None where a receiver was left out."""

    otlp_grpc: int | None
    otlp_http: int | None
    zipkin: int | None


async def serve(
    config: ReceiverConfig, landing: Landing, stop: asyncio.Event, ready: Callable[[Ports], None] = lambda _: None
) -> None:
    """Receives until `stop` is set; then takes nothing new, finishes what is under way and returns.

    `ready` is called with the real ports once requests are taken. Raises ChalkmarkError where a port cannot be had.
    """
    otlp.compile_decoder()
    threads = config.decode_threads or os.cpu_count() or 1
    intake = Intake(landing, threads=threads, max_waiting_bytes=config.max_waiting_bytes)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(intake.close)
        http_socket = _bound(cleanup, config.host, config.otlp_http_port, "otlp_http_port", "OTLP over HTTP")
        zipkin_socket = _bound(cleanup, config.host, config.zipkin_port, "zipkin_port", "Zipkin")
        grpc_server = make_server(intake, config.max_request_bytes)
        grpc_port = None
        if config.otlp_grpc_port is not None:
            try:
                grpc_port = grpc_server.add_insecure_port(_address(config.host, config.otlp_grpc_port))
            except RuntimeError as error:
                raise _no_port(config.host, config.otlp_grpc_port, "otlp_grpc_port", "OTLP over gRPC", error) from error
        await grpc_server.start()
        sockets = [s for s in (http_socket, zipkin_socket) if s is not None]
        app = make_app(intake, max_request_bytes=config.max_request_bytes, cors_origins=config.cors_origins)
        http_server = _HttpServer(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=max(1, round(config.grace_s)),
            )
        )
        http_task = asyncio.create_task(http_server.serve(sockets))
        try:
            await http_server.wait_until_started(http_task)
            ready(Ports(grpc_port, _port_of(http_socket), _port_of(zipkin_socket)))
            await stop.wait()
        finally:
            http_server.should_exit = True
            await asyncio.gather(grpc_server.stop(config.grace_s), http_task)


class _HttpServer(uvicorn.Server):
    """uvicorn that leaves signals to the program around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def wait_until_started(self, task: asyncio.Task[None]) -> None:
        """Returns when connections are accepted; raises what `task`, which serves, ended with before that."""
        while not self.started:
            if task.done():
                await task
                raise ChalkmarkError("The HTTP receiver ended while it started.")
            await asyncio.sleep(0.005)


def _bound(cleanup: contextlib.ExitStack, host: str, port: int | None, setting: str, what: str) -> socket.socket | None:
    if port is None:
        return None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    cleanup.callback(bound.close)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        raise _no_port(host, port, setting, what, error) from error
    return bound


def _port_of(bound: socket.socket | None) -> int | None:
    return None if bound is None else bound.getsockname()[1]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _no_port(host: str, port: int, setting: str, what: str, error: Exception) -> ChalkmarkError:
    reason = error.strerror if isinstance(error, OSError) else "Address already in use, or not this machine's"
    return ChalkmarkError(
        f"Cannot listen on {_address(host, port)} for {what}: {reason}.",
        f"Stop the program that uses the port, or choose another with --{setting.replace('_', '-')} "
        f"or CHALKMARK_{setting.upper()}.",
    )
