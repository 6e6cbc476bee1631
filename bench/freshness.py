"""How soon a trace can be queried after its last span: python -m bench.freshness [--traces N] [--json FILE]

`chalkmark up` with its default settings, traces sent by OTLP over HTTP one at a time, asked for by `chalkmark sql` until
they are there. Most of the time is the quiet window (5 s by default), in which more spans may come.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.harness import Case, run
from chalkmark.tables.lake import Lake
from chalkmark.tables.session import Session
from demo.processes import Processes, answers, free_ports

START_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="freshness", add_help=False)
    parser.add_argument("--traces", type=int, default=7)
    options, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        grpc, http, zipkin = free_ports(3)
        line: list[str | Path] = [Path(sys.executable).with_name("chalkmark"), "up", "--data", data]
        ports = {"OTLP_GRPC": grpc, "OTLP_HTTP": http, "ZIPKIN": zipkin}
        processes = Processes(Path(folder) / "logs")
        processes.start("chalkmark", line, {f"CHALKMARK_{name}_PORT": str(port) for name, port in ports.items()})
        try:
            processes.wait_until(lambda: answers(f"127.0.0.1:{http}"), "chalkmark up", START_S)
            case = Case("last span to first answer", lambda: _once(data, http), unit="traces", runs=options.traces)
            run("freshness", [case], argv=rest)
        finally:
            processes.stop("chalkmark", grace_s=60)


def _once(data: Path, port: int) -> None:
    """Send one trace and return when a new SQL session finds it."""
    trace_id = secrets.token_bytes(16)
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=b"12345678", name="fresh")
    span.start_time_unix_nano = time.time_ns() - 1_000_000
    span.end_time_unix_nano = time.time_ns()
    headers = {"Content-Type": "application/x-protobuf"}
    post = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", request.SerializeToString(), headers)
    urllib.request.urlopen(post).read()
    while True:
        with Session(Lake(data)) as session:
            if session.sql("select 1 from traces where trace_id = $id", {"id": trace_id}).num_rows:
                return
        time.sleep(0.05)


if __name__ == "__main__":
    main()
