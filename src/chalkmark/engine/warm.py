"""Compile the kernels ahead of time: `python -m chalkmark.engine.warm`.

Numba compiles a kernel when it is first called and keeps the result beside the source. That takes a minute or so of CPU
time once an installation, better spent during set-up than while the first spans wait.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chalkmark.engine.curator import Curator
from chalkmark.receive import otlp
from chalkmark.tables.landing_store import LandingWriter


def compile_kernels() -> None:
    """Receive and curate two small traces in a folder that is thrown away."""
    otlp.compile_decoder()
    with tempfile.TemporaryDirectory(prefix="chalkmark-") as folder:
        data = Path(folder)
        for number in (1, 2):  # the second trace is merged with the first
            writer = LandingWriter(data)
            writer.submit(otlp.decode(_request(number), "otlp-grpc", time.time_ns())).result()
            writer.close()
            with Curator(data) as curator:
                curator.step(flush=True)
                curator.merge(everything=True)


def _request(number: int) -> bytes:
    """A client on one host and its server on another."""
    request = ExportTraceServiceRequest()
    now = time.time_ns()
    for span, (host, kind) in enumerate((("a", 3), ("b", 2)), start=1):
        resource = request.resource_spans.add()
        for key, value in (("service.name", f"warm-{host}"), ("host.name", host)):
            resource.resource.attributes.add(key=key).value.string_value = value
        made = resource.scope_spans.add().spans.add(name="warm", kind=kind)
        made.trace_id = number.to_bytes(16, "big")
        made.span_id = span.to_bytes(8, "big")
        if span > 1:
            made.parent_span_id = (span - 1).to_bytes(8, "big")
        made.start_time_unix_nano = now + span
        made.end_time_unix_nano = now + 1_000_000 - span
        made.attributes.add(key="http.response.status_code").value.int_value = 200
        made.events.add(name="warm", time_unix_nano=now)
    return bytes(request.SerializeToString())


if __name__ == "__main__":
    started = time.monotonic()
    print("chalkmark: compiling kernels (once an installation) ...", file=sys.stderr, flush=True)
    compile_kernels()
    print(f"chalkmark: kernels ready after {time.monotonic() - started:.0f} s", file=sys.stderr)
