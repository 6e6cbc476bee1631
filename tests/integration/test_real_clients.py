"""Clients as their projects ship them, against `chalkmark up`: what they send must stand in the tables as they sent it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OtlpOverGrpc
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OtlpOverHttp
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from demo.processes import answers, free_ports
from integration.running import Chalkmark, chalkmark_up

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / "build" / "real-clients"
"""What a test builds or fetches stays there for the next run; git ignores it."""
JAVA_AGENT = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.22.0"
BUILD_S = 120
"""For each step: with nothing in any cache, all of them take a minute and a half on two cores."""

LINKED = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, is_remote=True)
REMOTE = SpanContext(
    0x4BF92F3577B34DA6A3CE929D0E0E4736,
    0x00F067AA0BA902B7,
    is_remote=True,
    trace_flags=TraceFlags(TraceFlags.SAMPLED),
    trace_state=TraceState([("vendor", "opaque")]),
)


@pytest.fixture(scope="module")
def chalkmark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chalkmark]:
    with chalkmark_up(tmp_path_factory.mktemp("chalkmark")) as running:
        yield running


def tool(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a step of a build; the test is skipped if that takes longer than BUILD_S."""
    try:
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=BUILD_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[0]} did not finish within {BUILD_S} s")


# -- the Python SDK

EXPORTERS = ["grpc", "grpc-gzip", "http", "http-gzip"]


def exporter_of(way: str, grpc: str, http: str) -> SpanExporter:
    """The SDK's own exporter for this way, sending to these addresses."""
    import grpc as grpcio

    match way:
        case "grpc":
            return OtlpOverGrpc(endpoint=grpc, insecure=True)
        case "grpc-gzip":
            return OtlpOverGrpc(endpoint=grpc, insecure=True, compression=grpcio.Compression.Gzip)
        case "http":
            return OtlpOverHttp(endpoint=f"http://{http}/v1/traces")
    return OtlpOverHttp(endpoint=f"http://{http}/v1/traces", compression=Compression.Gzip)


def send_with_sdk(exporter: SpanExporter, service: str) -> list[ReadableSpan]:
    """A small trace with everything that a span can hold, sent by `exporter`; returns what the SDK says it has sent."""
    said = InMemorySpanExporter()
    resource = Resource.create(
        {"service.name": service, "host.name": "box-1", "cloud.availability_zone": "north-1a", "replicas": 3, "tags": ["a", "b"]}
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.add_span_processor(SimpleSpanProcessor(said))
    tracer = provider.get_tracer("shop.orders", "1.2.3", attributes={"team": "checkout"})
    attributes: dict[str, Any] = {
        "text": "Grüße, 世界",
        "empty": "",
        "int": -(2**62),
        "double": 0.1,
        "whole double": 3.0,
        "true": True,
        "texts": ["x", "y"],
        "ints": [1, 2],
        "doubles": [0.5, 2.0],
        "bools": [True, False],
        "mixed": [1, "two", 2.5, False, []],
        "map": {"list": [1, "two", [3.5, {"deep": True}]], "empty": {}},
        "bytes": b"\x00\xff",
        "nothing": None,
    }
    with tracer.start_as_current_span(
        "order", kind=SpanKind.SERVER, attributes=attributes, links=[Link(LINKED, {"why": "retry"})]
    ) as root:
        root.add_event("validated", {"items": 3, "rules": ["a"]}, timestamp=root.start_time + 1)  # type: ignore[attr-defined]
        root.set_status(Status(StatusCode.OK))
        with pytest.raises(ValueError, match="declined"), tracer.start_as_current_span("charge", kind=SpanKind.CLIENT):
            raise ValueError("declined")
        for kind in (SpanKind.INTERNAL, SpanKind.PRODUCER, SpanKind.CONSUMER):
            tracer.start_span(kind.name.lower(), kind=kind).end()
    provider.shutdown()
    return list(said.get_finished_spans())


def value_of(text: str, letter: str) -> Any:
    """An attribute value as the tables hold it, back as a Python value."""
    return text if letter == "s" else base64.b64decode(json.loads(text)) if letter == "y" else json.loads(text)


def typed(row: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a row of `spans` as Python values."""
    return {
        key: value_of(text, letter) for (key, text), letter in zip(row["attributes"].items(), row["attribute_types"], strict=True)
    }


def letter_of(value: Any) -> str:
    """The letter that `attribute_types` has for a value of the SDK."""
    letters = {str: "s", int: "i", float: "d", bool: "b", tuple: "a", bytes: "y", type(None): "n"}
    return letters.get(type(value), "k")


def plain(value: Any) -> Any:
    """A value of the SDK, which makes everything immutable, as JSON has it."""
    match value:
        case tuple():
            return [plain(v) for v in value]
        case Mapping():
            return {key: plain(v) for key, v in value.items()}
    return value


def assert_as_sent(chalkmark: Chalkmark, sent: list[ReadableSpan], service: str, source: str) -> None:
    """Every span of `sent` stands in the tables once, with all that the SDK says about it."""
    rows = chalkmark.rows_once_curated(f"select * from spans where service = '{service}' order by start_ns", len(sent))
    assert len(rows) == len(sent)
    by_id = {row["span_id"]: row for row in rows}
    for span in sent:
        row = by_id[f"{span.context.span_id:016x}"]
        assert row["trace_id"] == f"{span.context.trace_id:032x}"
        assert row["parent_span_id"] == (f"{span.parent.span_id:016x}" if span.parent else None)
        assert row["operation"] == span.name
        assert row["kind"] == span.kind.name.lower()
        assert (row["start_ns"], row["end_ns"]) == (span.start_time, span.end_time)
        assert (row["status"], row["status_message"]) == (span.status.status_code.name.lower(), span.status.description)
        assert row["error"] == (span.status.status_code is StatusCode.ERROR)
        assert row["flags"] == 0x100  # all that this SDK says: it knows whether the parent is remote, and it is not
        assert typed(row) == plain(span.attributes)
        assert row["attribute_types"] == "".join(letter_of(value) for value in span.attributes.values())
        assert (row["scope_name"], row["scope_version"]) == ("shop.orders", "1.2.3")
        assert (row["host"], row["zone"], row["source"]) == ("box-1", "north-1a", source)
        assert row["resource"]["replicas"] == "3"
        assert json.loads(row["resource"]["tags"]) == ["a", "b"]
        assert row["resource"]["telemetry.sdk.language"] == "python"
        assert row["quality"] == []

    annotations = chalkmark.rows(
        f"select a.* from annotations a join spans s using (trace_id, span_id) where s.service = '{service}' order by at_ns"
    )
    kept = {(a["span_id"], a["kind"], a["key"], a["at_ns"]): json.loads(a["value"]) for a in annotations}
    events = {
        (f"{span.context.span_id:016x}", "event", event.name, event.timestamp): plain(event.attributes)
        for span in sent
        for event in span.events
    }
    assert {key: value for key, value in kept.items() if key[1] == "event"} == events
    links = [value for key, value in kept.items() if key[1] == "link"]
    assert links == [{"trace_id": f"{LINKED.trace_id:032x}", "span_id": f"{LINKED.span_id:016x}", "attributes": {"why": "retry"}}]
    assert {"validated", "exception"} <= {name for _, _, name, _ in events}


@pytest.mark.parametrize("way", EXPORTERS)
def test_python_sdk(chalkmark: Chalkmark, way: str) -> None:
    sent = send_with_sdk(exporter_of(way, chalkmark.otlp_grpc, chalkmark.otlp_http), f"python-{way}")
    assert_as_sent(chalkmark, sent, f"python-{way}", "otlp-grpc" if way.startswith("grpc") else "otlp-http")


def test_trace_state_of_a_remote_parent(chalkmark: Chalkmark) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "continued"}))
    provider.add_span_processor(BatchSpanProcessor(OtlpOverGrpc(endpoint=chalkmark.otlp_grpc, insecure=True)))
    context = trace.set_span_in_context(trace.NonRecordingSpan(REMOTE))
    provider.get_tracer("t").start_span("continue", context=context, kind=SpanKind.SERVER).end()
    provider.shutdown()
    (row,) = chalkmark.rows_once_curated("select * from spans where service = 'continued'")
    assert row["trace_state"] == "vendor=opaque"
    assert row["parent_span_id"] == f"{REMOTE.span_id:016x}"
    assert row["quality"] == ["parent_missing"]
    (of_trace,) = chalkmark.rows(f"select complete, quality from traces where hex(trace_id) = '{REMOTE.trace_id:032X}'")
    assert of_trace["complete"] is False
    assert "root_missing" in of_trace["quality"]


# -- the OpenTelemetry Collector, built from its project's modules


@pytest.fixture(scope="module")
def collector() -> Path:
    """A Collector with OTLP in and out."""
    if shutil.which("go") is None:
        pytest.skip("no Go toolchain is on the path, which building the Collector takes")
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}

    fetched = tool("go", "list", "-deps", ".", cwd=HERE / "collector", env=environment)
    if fetched.returncode != 0:
        pytest.skip(f"the Collector's modules cannot be had: {fetched.stderr.strip().splitlines()[-1]}")
    binary = BUILT / "collector"
    compiled = tool("go", "build", "-o", binary, ".", cwd=HERE / "collector", env=environment)
    assert compiled.returncode == 0, compiled.stderr
    return binary


@pytest.fixture(scope="module")
def forwarding(collector: Path, chalkmark: Chalkmark, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A running Collector that forwards in three ways; where each way is entered (OTLP over HTTP)."""
    exporters = {
        "otlp-grpc": {"otlp": {"endpoint": chalkmark.otlp_grpc, "tls": {"insecure": True}}},
        "otlp-http": {"otlphttp/protobuf": {"endpoint": f"http://{chalkmark.otlp_http}"}},
        "otlp-http json": {"otlphttp/json": {"endpoint": f"http://{chalkmark.otlp_http}", "encoding": "json"}},
    }
    entries = dict(zip(exporters, (f"127.0.0.1:{port}" for port in free_ports(len(exporters))), strict=True))
    names = {way: next(iter(exporter)) for way, exporter in exporters.items()}
    configuration = {
        "receivers": {f"otlp/{i}": {"protocols": {"http": {"endpoint": entry}}} for i, entry in enumerate(entries.values())},
        "processors": {"batch": {"timeout": "100ms"}},
        "exporters": {name: settings for exporter in exporters.values() for name, settings in exporter.items()},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                f"traces/{i}": {"receivers": [f"otlp/{i}"], "processors": ["batch"], "exporters": [names[way]]}
                for i, way in enumerate(entries)
            },
        },
    }
    path = tmp_path_factory.mktemp("collector") / "collector.yaml"
    path.write_text(json.dumps(configuration))  # JSON is YAML
    chalkmark.processes.start("collector", [collector, "--config", f"file:{path}"])
    chalkmark.processes.wait_until(lambda: all(map(answers, entries.values())), "the Collector", 30)
    return entries


@pytest.mark.parametrize("way", ["otlp-grpc", "otlp-http", "otlp-http json"])
def test_collector_forwards(chalkmark: Chalkmark, forwarding: dict[str, str], way: str) -> None:
    service = f"through the collector by {way}"
    sent = send_with_sdk(OtlpOverHttp(endpoint=f"http://{forwarding[way]}/v1/traces"), service)
    assert_as_sent(chalkmark, sent, service, way.split()[0])


# -- the Java agent, in front of a program that knows nothing of it


@pytest.fixture(scope="module")
def java_shop() -> list[str | Path]:
    """The command line of a Java program under the OpenTelemetry agent."""
    for program in ("java", "javac", "mvn"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program!r} is on the path, which the Java agent's test takes")
    _, artifact, version = JAVA_AGENT.split(":")
    agent = BUILT / f"{artifact}-{version}.jar"
    if not agent.exists():
        fetched = tool("mvn", "-q", "-B", "dependency:copy", f"-Dartifact={JAVA_AGENT}", f"-DoutputDirectory={BUILT}")
        if fetched.returncode != 0:
            pytest.skip(f"the Java agent cannot be had: {fetched.stdout.strip().splitlines()[0]}")
    compiled = tool("javac", "-d", BUILT, HERE / "java" / "Shop.java")
    assert compiled.returncode == 0, compiled.stderr
    return ["java", f"-javaagent:{agent}", "-cp", BUILT, "Shop"]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_java_agent(chalkmark: Chalkmark, java_shop: list[str | Path], protocol: str) -> None:
    service = f"java-{protocol}"
    environment = {
        "OTEL_SERVICE_NAME": service,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{chalkmark.otlp_grpc if protocol == 'grpc' else chalkmark.otlp_http}",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    ran = subprocess.run(java_shop, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "ERROR" not in ran.stderr

    # Shop.java: /order asks /stock three times; /broken answers 500; the first caller of each is the program itself.
    rows = chalkmark.rows_once_curated(f"select * from spans where service = '{service}' order by start_ns", 10)
    assert sorted((row["kind"], row["operation"], row["status"]) for row in rows) == [
        *[("client", "GET", "error")],
        *[("client", "GET", "unset")] * 4,
        ("server", "GET /broken", "error"),
        ("server", "GET /order", "unset"),
        *[("server", "GET /stock", "unset")] * 3,
    ]
    for row in rows:
        assert row["source"] == ("otlp-grpc" if protocol == "grpc" else "otlp-http")
        assert row["resource"]["telemetry.sdk.language"] == "java"
        assert row["host"] == row["resource"]["host.name"]
        assert row["scope_name"] == f"io.opentelemetry.java-http-{row['kind']}"
        assert set(row["quality"]) <= {"outlives_parent"}  # the caller may have its answer before the server's span ends
        assert typed(row)["http.request.method"] == "GET"
        assert typed(row)["http.response.status_code"] == (500 if row["error"] else 200)
        assert row["resource"]["process.command_args"].startswith("[")  # an array in the resource
    calls = chalkmark.rows(
        "select caller_operation, callee_operation, sum(calls)::int as calls from edges "
        f"where caller_service = '{service}' and callee_service = '{service}' and callee_operation = 'GET /stock' group by all"
    )
    assert calls == [{"caller_operation": "GET /order", "callee_operation": "GET /stock", "calls": 3}]
