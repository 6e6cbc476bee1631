"""What a fleet is made of: zones, hosts, services, and the endpoints that a service serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Handler = Callable[..., Awaitable[Json | None]]


@dataclass(frozen=True, slots=True)
class Host:
    """A simulated machine: the processes on it share its name, its zone and its clock."""

    name: str
    zone: str
    clock_offset_ms: int = 0
    """How far its clock is from the true time; negative: slow."""


@dataclass(slots=True)
class Service:
    """One process. Its endpoints are handlers, its handlers call other services."""

    name: str
    host: Host
    protocol: Literal["http", "grpc", "queue"]
    exports: Literal["otlp-grpc", "otlp-http", "zipkin", "nothing"]
    """How its spans leave it; `nothing`: a third party's service that is not instrumented."""
    endpoints: dict[str, Handler] = field(default_factory=dict)
    """By `GET /path/{parameter}` (http), by method (grpc), or by the name of the queue."""

    def serves(self, endpoint: str) -> Callable[[Handler], Handler]:
        """Registers the decorated handler; it takes the parameters of the endpoint as strings, by name."""

        def register(handler: Handler) -> Handler:
            self.endpoints[endpoint] = handler
            return handler

        return register

    @property
    def rpc_service(self) -> str:
        """Name of the gRPC service that its methods belong to."""
        return f"shop.{self.name.capitalize()}"

    def operation(self, endpoint: str) -> str:
        """Name of the server span of `endpoint`, as the instrumentation gives it."""
        return f"/{self.rpc_service}/{endpoint}" if self.protocol == "grpc" else endpoint
