"""`chalkmark up`: receivers, curation and tables, until stopped."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from chalkmark.cli.options import data_option, settings


@click.command(short_help="Receive spans, curate them and keep the tables, until stopped.")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--otlp-grpc-port", type=int, help="Port for OTLP over gRPC; 0 for none.  [default: 4317]")
@click.option("--otlp-http-port", type=int, help="Port for OTLP over HTTP; 0 for none.  [default: 4318]")
@click.option("--zipkin-port", type=int, help="Port for Zipkin v2 JSON; 0 for none.  [default: 9411]")
@click.option("--quiet-s", type=float, help="Curate a trace when no span of it came for this long.  [default: 5]")
@click.option("-v", "--verbose", is_flag=True, help="Say what is curated, step by step.")
@data_option
def command(verbose: bool, **flags: Any) -> None:
    """Receive spans from OpenTelemetry and Zipkin clients, curate them, and keep the tables in good order.

    A span is acknowledged when it is on disk, and its trace can be queried some seconds after its last span. Ctrl-C or
    SIGTERM stops it cleanly; what was received and not yet curated is curated at the next start.

    \b
    Examples:
      chalkmark up
      OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 python app.py     (in another terminal)
      chalkmark up --data /srv/chalkmark --zipkin-port 0
    """
    from chalkmark.engine.receiving import ReceivingConfig
    from chalkmark.engine.receiving import serve as receive
    from chalkmark.engine.service import CurationConfig
    from chalkmark.engine.service import serve as curate
    from chalkmark.engine.supervisor import Child, configure_logging, supervise
    from chalkmark.receive.serve import ReceiverConfig

    chosen = settings(**flags)
    receivers = ReceiverConfig(
        host=chosen.host,
        otlp_grpc_port=chosen.otlp_grpc_port or None,
        otlp_http_port=chosen.otlp_http_port or None,
        zipkin_port=chosen.zipkin_port or None,
        max_request_bytes=chosen.max_request_bytes,
        max_waiting_bytes=chosen.max_waiting_bytes,
    )
    curation = CurationConfig(
        data=chosen.data,
        quiet_s=chosen.quiet_s,
        late_s=chosen.late_s,
        retention_days=chosen.retention_days,
        retention_paths_days=chosen.retention_paths_days,
    )
    level = logging.INFO if verbose else logging.WARNING
    configure_logging(level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    click.echo("chalkmark: starting (the first time takes half a minute: kernels are compiled) ...", err=True)
    children = (
        Child("receive", receive, ReceivingConfig(chosen.data, receivers)),
        Child("curate", curate, curation),
    )
    supervise(children, stop, lambda said: _greet(chosen.data, chosen.host, said["receive"]), log_level=level)
    click.echo("chalkmark: stopped", err=True)


def _greet(data: Path, host: str, ports: Any) -> None:
    """Say where to send spans and where to look."""
    lines = [f"chalkmark: up, with its tables in {data}"]
    for what, port in (
        ("OTLP over gRPC", ports.otlp_grpc),
        ("OTLP over HTTP", ports.otlp_http),
        ("Zipkin v2 JSON", ports.zipkin),
    ):
        if port is not None:
            lines.append(f"  {what:15} http://{host}:{port}")
    lines.append(f"  ask it          chalkmark tables --data {data}")
    click.echo("\n".join(lines), err=True)
    sys.stderr.flush()
