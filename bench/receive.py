"""OTLP/gRPC end to end: clients in one process, receiver in another; decoded, durable on disk, acknowledged.

The rate is spans a CPU second of the receiving process, its kernel time included.

    python -m bench.receive [--json FILE]
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.generate import otlp_requests
from bench.harness import commit, machine, versions

SPANS, PER_REQUEST, SEED, IN_FLIGHT, RUNS = 100_000, 500, 1, 32, 5


def receive(pipe: Connection, folder: str) -> None:
    """The receiving process: sends its port, then its CPU seconds whenever it is asked, until it is told to stop."""
    from chalkmark.receive.serve import Ports, ReceiverConfig, serve
    from chalkmark.tables.landing_store import LandingWriter

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def answer() -> None:
            if pipe.recv() == "stop":
                stop.set()
            else:
                pipe.send(time.process_time())

        def started(ports: Ports) -> None:
            loop.add_reader(pipe.fileno(), answer)
            pipe.send(ports.otlp_grpc)

        landing = LandingWriter(Path(folder))
        config = ReceiverConfig(otlp_grpc_port=0, otlp_http_port=None, zipkin_port=None)
        await serve(config, landing, stop, started)
        landing.close()

    asyncio.run(main())


async def send(port: int, bodies: list[bytes]) -> None:
    """Sends all of `bodies` with IN_FLIGHT of them under way at any time."""
    import grpc

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        waiting = iter(bodies)

        async def client() -> None:
            for body in waiting:
                await export(body)

        await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))


def main() -> None:
    bodies = list(otlp_requests(SPANS, per_request=PER_REQUEST, seed=SEED))
    context = get_context("spawn")
    runs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = context.Pipe()
        process = context.Process(target=receive, args=(theirs, folder))
        process.start()
        port: int = ours.recv()
        asyncio.run(send(port, bodies[:20]))
        for _ in range(RUNS):
            ours.send("cpu")
            cpu, wall = ours.recv(), time.perf_counter()
            asyncio.run(send(port, bodies))
            wall = time.perf_counter() - wall
            ours.send("cpu")
            runs.append({"cpu_s": ours.recv() - cpu, "wall_s": wall})
        ours.send("stop")
        process.join()
    cpu_s = statistics.median(r["cpu_s"] for r in runs)
    document: dict[str, Any] = {
        "benchmark": "receive",
        "commit": commit(),
        "machine": machine(),
        "versions": versions() | {"os": platform.platform()},
        "parameters": {"spans": SPANS, "per_request": PER_REQUEST, "in_flight": IN_FLIGHT, "cpus": os.cpu_count()},
        "runs": runs,
        "cpu_s": cpu_s,
        "spans_per_cpu_s": SPANS / cpu_s,
    }
    text = json.dumps(document, indent=2)
    if sys.argv[1:2] == ["--json"]:
        Path(sys.argv[2]).write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
