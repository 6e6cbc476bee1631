"""The official OpenTelemetry SDK and instrumentation of a service, set up as their users do: by `OTEL_*` variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from demo.blueprint import Service
from demo.calls import addresses

if TYPE_CHECKING:
    from opentelemetry.instrumentation.httpx import RequestInfo


def start(service: Service) -> TracerProvider:
    """Makes this process's tracer provider and instruments HTTP clients; the caller shuts it down, which sends the rest."""
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    provider = TracerProvider()  # its resource: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    provider.add_span_processor(BatchSpanProcessor(_exporter(service)))
    trace.set_tracer_provider(provider)
    HTTPXClientInstrumentor().instrument(async_request_hook=_name_the_peer)
    return provider


def environment(service: Service, endpoints: dict[str, str], version: str = "1.0.0") -> dict[str, str]:
    """The variables that make the SDK of `service` send to `endpoints` (URL by protocol), from its host."""
    resource = {
        "host.name": service.host.name,
        "cloud.availability_zone": service.host.zone,
        "service.namespace": "shop",
        "service.version": version,
        "service.instance.id": f"{service.name}-0",
        "deployment.environment.name": "demo",
    }
    return {
        "OTEL_SERVICE_NAME": service.name,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in resource.items()),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoints.get(service.exports, ""),
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT": endpoints["zipkin"],
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
    }


async def _name_the_peer(span: trace.Span, request: RequestInfo) -> None:
    # The only way to tell who was called where the other side sends no span.
    called = request.headers["host"] if request.headers else ""
    span.set_attribute("peer.service", next(name for name, address in addresses().items() if address == called))


def _exporter(service: Service) -> SpanExporter:
    match service.exports:
        case "otlp-grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc

            return OverGrpc(insecure=True)
        case "otlp-http":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

            return OverHttp()
        case "zipkin":
            from demo.zipkin import ZipkinExporter

            return ZipkinExporter()
        case "nothing":
            raise ValueError(f"{service.name} sends no spans")
