"""What a handler of the fleet can do: work, call other services, publish to a queue, remember, annotate its span."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate, trace

from demo.blueprint import Json, Service

if TYPE_CHECKING:
    import httpx

ADDRESSES = "DEMO_ADDRESSES"
"""Environment variable: JSON of service name -> `127.0.0.1:port`, or the name of its queue's socket."""
CALL_TIMEOUT_S = 10.0


class CallFailedError(Exception):
    """A call did not succeed. A handler that lets it pass fails too, with the same message."""


async def work(ms: float) -> None:
    """Waits for about `ms` milliseconds (log-normal, a fifth wide): a service of the demo computes nothing."""
    await asyncio.sleep(ms / 1000 * random.lognormvariate(0, 0.2))


async def call(service: Service, endpoint: str, **parameters: str) -> Json:
    """Calls `endpoint` of `service` over the network and returns its answer. Raises CallFailedError."""
    if service.protocol == "grpc":
        return await _call_grpc(service, endpoint, parameters)
    return await _call_http(service, endpoint, parameters)


async def together(*calls: Awaitable[Json]) -> list[Json]:
    """Calls in parallel; raises the first failure once all have ended, so that none is left behind."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]


async def retry(attempts: int, attempt: Callable[[], Awaitable[Json]]) -> Json:
    """Attempts up to `attempts` times, with a short and growing pause between; each failure is an event of the span."""
    for failures in range(1, attempts):
        try:
            return await attempt()
        except CallFailedError as failed:
            trace.get_current_span().add_event("retry", {"attempt": failures, "reason": str(failed)})
            await asyncio.sleep(0.01 * 2**failures)
    return await attempt()


async def publish(service: Service, queue: str, **message: str) -> None:
    """Puts a message into the queue of `service` and does not wait for it to be handled."""
    attributes = {"messaging.system": "unix", "messaging.destination.name": queue, "messaging.operation.type": "send"}
    with trace.get_tracer("demo.queue").start_as_current_span(
        f"send {queue}", kind=trace.SpanKind.PRODUCER, attributes=attributes
    ):
        headers: dict[str, str] = {}
        propagate.inject(headers)
        text = json.dumps({"queue": queue, "headers": headers, "message": message})
        await asyncio.get_running_loop().sock_sendall(_queue(service.name), text.encode())


def annotate(**attributes: str | int | bool) -> None:
    """Sets attributes of the running span; `cache_hit` becomes `cache.hit`."""
    span = trace.get_current_span()
    for name, value in attributes.items():
        span.set_attribute(name.replace("_", "."), value)


class Cache:
    """Answers by key, each forgotten after `lifetime_s` seconds."""

    def __init__(self, lifetime_s: float) -> None:
        self._lifetime_s = lifetime_s
        self._answers: dict[str, tuple[float, Json]] = {}

    def get(self, key: str) -> Json | None:
        """The answer, or None if there is none or it is too old."""
        until, answer = self._answers.get(key, (0.0, {}))
        return answer if time.monotonic() < until else None

    def put(self, key: str, answer: Json) -> None:
        """Remembers `answer`."""
        self._answers[key] = (time.monotonic() + self._lifetime_s, answer)


@cache
def addresses() -> dict[str, str]:
    """Where each service of this fleet listens, as the supervisor has decided."""
    found: dict[str, str] = json.loads(os.environ[ADDRESSES])
    return found


async def _call_http(service: Service, endpoint: str, parameters: dict[str, str]) -> Json:
    import httpx

    method, path = endpoint.split()
    try:
        response = await _http().request(method, f"http://{addresses()[service.name]}{path.format(**parameters)}")
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise CallFailedError(f"{service.name}: {str(error) or type(error).__name__}") from error
    answer: Json = response.json()
    return answer


async def _call_grpc(service: Service, endpoint: str, parameters: dict[str, str]) -> Json:
    import grpc

    method = _channel(service.name).unary_unary(service.operation(endpoint))
    try:
        answer: Json = json.loads(await method(json.dumps(parameters).encode(), timeout=CALL_TIMEOUT_S))
    except grpc.aio.AioRpcError as error:
        raise CallFailedError(f"{service.name}: {error.details()}") from error
    return answer


@cache
def _http() -> httpx.AsyncClient:
    import httpx

    # The fleet talks to itself on this machine: a proxy that the environment names is for others.
    return httpx.AsyncClient(timeout=CALL_TIMEOUT_S, trust_env=False)


@cache
def _channel(service: str) -> Any:  # grpc.aio.Channel; grpcio carries no types
    import grpc.aio
    from opentelemetry.instrumentation.grpc import aio_client_interceptors

    options = [("grpc.enable_http_proxy", 0)]
    interceptors = aio_client_interceptors()  # type: ignore[no-untyped-call]
    return grpc.aio.insecure_channel(addresses()[service], options=options, interceptors=interceptors)


@cache
def _queue(service: str) -> socket.socket:
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)
    sender.connect(addresses()[service])
    return sender
