"""Chalkmark as its users run it, `chalkmark up` in a process of its own, for tests that speak to it from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.processes import Processes, answers, free_ports

CHALKMARK = Path(sys.executable).with_name("chalkmark")
START_S = 200.0
"""The first time, it compiles its kernels."""
CURATED_S = 60.0
"""Far beyond what it takes: the machine may be busy with other things."""


@dataclass(frozen=True, slots=True)
class Chalkmark:
    """A running instance; its tables are asked by the command line."""

    data: Path
    otlp_grpc: str
    """`127.0.0.1:port`, as are the other two."""
    otlp_http: str
    zipkin: str
    processes: Processes
    """It runs in this group; clients that a test starts in it are stopped with it."""

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The result of an SQL query; identifiers are hexadecimal."""
        line = [CHALKMARK, "sql", query, "--format", "json", "--data", self.data]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def rows_once_curated(self, query: str, at_least: int = 1) -> list[dict[str, Any]]:
        """The result as soon as it has `at_least` rows. Fails if it has fewer after CURATED_S."""
        deadline = time.monotonic() + CURATED_S
        while len(found := self.rows(query)) < at_least:
            self.processes.check()
            assert time.monotonic() < deadline, f"{len(found)} of {at_least} rows after {CURATED_S} s: {query}"
            time.sleep(0.5)
        return found


@contextmanager
def chalkmark_up(folder: Path) -> Iterator[Chalkmark]:
    """Runs `chalkmark up` with its data in `folder` and ports that nobody uses; at the end it must stop by itself."""
    ports = free_ports(3)
    settings = {
        "CHALKMARK_OTLP_GRPC_PORT": str(ports[0]),
        "CHALKMARK_OTLP_HTTP_PORT": str(ports[1]),
        "CHALKMARK_ZIPKIN_PORT": str(ports[2]),
        "CHALKMARK_QUIET_S": "1",
    }
    addresses = [f"127.0.0.1:{port}" for port in ports]
    processes = Processes(folder / "logs")
    data = folder / "data"
    processes.start("chalkmark", [CHALKMARK, "up", "--data", data], settings)
    try:
        processes.wait_until(lambda: all(map(answers, addresses)), "chalkmark up", START_S)
        yield Chalkmark(data, *addresses, processes)
        processes.check()
    finally:
        clients = [name for name in processes.names() if name != "chalkmark"]
        processes.stop(*clients, grace_s=10)
        killed = processes.stop("chalkmark", grace_s=60)
    assert not killed, "chalkmark up did not stop on SIGTERM"
