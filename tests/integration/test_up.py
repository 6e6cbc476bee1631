"""`chalkmark up` outlives the death of its own processes, and loses nothing by it."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from demo.processes import answers
from integration.running import chalkmark_up

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc")

RESTART_S = 60.0


def processes_of(data: Path) -> dict[str, int]:
    """Children of the `chalkmark up` that runs on `data`, by whether they listen (`receive`) or hold the lock (`curate`)."""
    up = next(p for p in Path("/proc").glob("[0-9]*") if _line(p).endswith(f"\0up\0--data\0{data}\0"))
    children = [p for p in Path("/proc").glob("[0-9]*") if _parent(p) == int(up.name) and "spawn_main" in _line(p)]
    curator = int((data / "curator.lock").read_text())
    return {"curate" if int(p.name) == curator else "receive": int(p.name) for p in children}


def _line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def send(address: str) -> bytes:
    """Sends a trace of one span, again until it is acknowledged, as an SDK does; returns its identifier."""
    trace_id = secrets.token_bytes(16)
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=b"12345678", name="kept")
    span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
    headers = {"Content-Type": "application/x-protobuf"}
    post = urllib.request.Request(f"http://{address}/v1/traces", request.SerializeToString(), headers)
    deadline = time.monotonic() + RESTART_S
    while True:
        try:
            with urllib.request.urlopen(post, timeout=5):
                return trace_id
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "the receiver did not come back"
            time.sleep(0.2)


def test_it_goes_on_after_its_processes_are_killed(tmp_path: Path) -> None:
    with chalkmark_up(tmp_path) as up:
        sent = [send(up.otlp_http)]
        for name in ("curate", "receive"):
            os.kill(processes_of(up.data)[name], signal.SIGKILL)
            sent.append(send(up.otlp_http))
        assert answers(up.otlp_grpc)
        found = up.rows_once_curated("select hex(trace_id) as id from traces", at_least=len(sent))
        assert sorted(row["id"].lower() for row in found) == sorted(trace_id.hex() for trace_id in sent)
