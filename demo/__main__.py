"""`python -m demo`: starts Chalkmark and the fleet, shows the first answers, and runs until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from demo import story, telemetry
from demo.calls import ADDRESSES
from demo.faults import SERVICE as BILLING
from demo.fleet import SERVICES
from demo.processes import DemoError, Footprint, Processes, answers, footprint, free_ports, is_free

PORTS = {
    "otlp-grpc": ("CHALKMARK_OTLP_GRPC_PORT", 4317),
    "otlp-http": ("CHALKMARK_OTLP_HTTP_PORT", 4318),
    "zipkin": ("CHALKMARK_ZIPKIN_PORT", 9411),
}
"""Where Chalkmark listens, by protocol: what the variable says, else the usual port, else (it is taken) any other."""
START_S, ANSWER_S = 300.0, 300.0
"""How long Chalkmark or the fleet may take to start, and then the first traces to become queryable: seconds, but the first
time Chalkmark compiles its kernels."""
GRACE_S, CHALKMARK_GRACE_S = 10.0, 60.0
"""How long a service may take to stop; Chalkmark makes tables of what it has received first."""
LOOK_S = 2.0
"""Time between looks at the tables while the first traces are awaited; each costs half a CPU second."""
MEASURE_S = 2.0
ENOUGH = "select count(distinct root_operation) as pages from traces where root_service = 'frontend' and start_ns >= {since}"
ENOUGH_PAGES = 4
COUNTED = "select count(*) as traces, sum(spans)::bigint as spans from traces where start_ns >= {since}"

console = Console(highlight=False)


def main() -> int:
    """Runs the demo. Exit code 0: it ran as long as it was asked to; 2: it could not."""
    options = _options()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    demo = Demo(options.data, options.rate, stopped)
    try:
        with contextlib.suppress(_StoppedError), contextlib.closing(demo):
            demo.start()
            demo.show()
            demo.run(options.seconds)
        demo.summary()
    except DemoError as error:
        console.print(f"demo: {error}", style="red", markup=False)
        return 2
    return 0


class _StoppedError(Exception):
    """The user does not want to wait for what is awaited."""


class Demo:
    """Chalkmark, the fleet, the one that sends bad spans, and the shoppers."""

    def __init__(self, data: Path, rate: float, stopped: threading.Event) -> None:
        self._data = data
        self._rate = rate
        self._stopped = stopped
        self._processes = Processes(data / "logs")
        self._began = self._load_began = self._measured = time.monotonic()
        self._began_ns = time.time_ns()
        self._at_start = self._latest = Footprint(0, 0.0)
        self._peak_bytes = 0

    def start(self) -> None:
        """Starts everything, and waits for each part before the next one needs it."""
        ports = _ports()
        settings = {PORTS[protocol][0]: str(port) for protocol, port in ports.items()}
        self._say(f"Chalkmark: OTLP/gRPC on {ports['otlp-grpc']}, OTLP/HTTP on {ports['otlp-http']}, Zipkin on {ports['zipkin']}")
        self._processes.start("chalkmark", story.command(self._data, "up"), settings)
        self._wait(lambda: all(answers(f"127.0.0.1:{port}") for port in ports.values()), "Chalkmark", START_S)

        where = _addresses()
        endpoints = {
            "otlp-grpc": f"http://127.0.0.1:{ports['otlp-grpc']}",
            "otlp-http": f"http://127.0.0.1:{ports['otlp-http']}",
            "zipkin": f"http://127.0.0.1:{ports['zipkin']}/api/v2/spans",
        }
        self._say(f"Fleet: {', '.join(SERVICES)}")
        shared = {ADDRESSES: json.dumps(where)}
        for service in SERVICES.values():
            environment = shared | telemetry.environment(service, endpoints)
            self._processes.start(service.name, [sys.executable, "-m", "demo.service", service.name], environment)
        self._wait(lambda: all(map(answers, where.values())), "The fleet", START_S)

        self._say(f"Shoppers: {self._rate:g} requests a second; {BILLING}: two bad requests a second")
        self._processes.start(BILLING, [sys.executable, "-m", "demo.faults", endpoints["otlp-http"] + "/v1/traces"])
        self._processes.start("shoppers", [sys.executable, "-m", "demo.load", str(self._rate)], shared)
        self._at_start = footprint()
        self._load_began = time.monotonic()

    def show(self) -> None:
        """Waits until there is something to show, then prints where to look and the first answers."""
        next_look = 0.0

        def enough() -> bool:
            nonlocal next_look
            if time.monotonic() < next_look:
                return False
            next_look = time.monotonic() + LOOK_S
            return bool(story.rows(self._data, ENOUGH.format(since=self._began_ns))[0]["pages"] >= ENOUGH_PAGES)

        self._wait(enough, "The first traces in the tables", ANSWER_S)
        self._say("The first traces are in the tables.")
        for question, arguments in story.STORY:
            if self._stopped.is_set():
                raise _StoppedError
            console.print(f"\n[bold]{question}[/bold]")
            console.print(story.shown(story.command(self._data, *arguments)), style="cyan", markup=False, soft_wrap=True)
            console.print(story.ask(self._data, *arguments), markup=False, soft_wrap=True, end="")
        console.print("\n[bold]More to ask[/bold]")
        for question, arguments in story.MORE:
            console.print(
                f"{question}\n  [cyan]{escape(story.shown(story.command(self._data, *arguments)))}[/cyan]", soft_wrap=True
            )
        console.print()
        self._say("Ctrl-C ends the demo; the tables stay.")

    def run(self, seconds: float | None) -> None:
        """Goes on until the user stops it, or `seconds` after its start; watches and measures the processes."""
        while not self._stopped.wait(MEASURE_S):
            self._processes.check()
            self._latest = footprint()
            self._measured = time.monotonic()
            self._peak_bytes = max(self._peak_bytes, self._latest.memory_bytes)
            if seconds is not None and self._measured - self._began >= seconds:
                return

    def close(self) -> None:
        """Stops those who send before those who receive, so that nothing is lost."""
        running = self._processes.names()
        killed = self._processes.stop("shoppers", BILLING, grace_s=GRACE_S)
        killed += self._processes.stop(*(name for name in running if name in SERVICES), grace_s=GRACE_S)
        killed += self._processes.stop("chalkmark", grace_s=CHALKMARK_GRACE_S)
        if killed:
            self._say(f"Killed, because they did not stop when told to: {', '.join(killed)}")

    def summary(self) -> None:
        """Prints what has come into the tables, and what it all took."""
        if not self._peak_bytes:
            return
        story.ask(self._data, "curate")  # the last traces were still young
        counted = story.rows(self._data, COUNTED.format(since=self._began_ns))[0]
        cores = (self._latest.cpu_s - self._at_start.cpu_s) / (self._measured - self._load_began)
        self._say(
            f"{counted['traces']:,} new traces, {counted['spans'] or 0:,} spans in {self._data}. "
            f"All processes together took at most {self._peak_bytes / 1e6:,.0f} MB, "
            f"and on average {cores:.2f} of {os.cpu_count()} cores."
        )

    def _wait(self, ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        def ready_or_stopped() -> bool:
            if self._stopped.is_set():
                raise _StoppedError
            return ready()

        self._processes.wait_until(ready_or_stopped, what, timeout_s)

    def _say(self, text: str) -> None:
        console.print(f"[{time.monotonic() - self._began:5.1f} s] {text}", markup=False, soft_wrap=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Chalkmark and a small real fleet that it watches.")
    parser.add_argument("--data", type=Path, default=Path(".demo"), help="folder for the tables and logs (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second (default: %(default)g)")
    parser.add_argument("--seconds", type=float, help="end after this long (default: run until Ctrl-C)")
    options = parser.parse_args()
    if options.rate <= 0:
        parser.error("--rate has to be more than 0")
    return options


def _ports() -> dict[str, int]:
    """The port of each protocol; says so where it is not the one that was wished for."""
    chosen = {}
    for (protocol, (variable, usual)), spare in zip(PORTS.items(), free_ports(len(PORTS)), strict=True):
        wished = int(os.environ.get(variable, usual))
        chosen[protocol] = wished if is_free(wished) else spare
        if chosen[protocol] != wished:
            console.print(f"Port {wished} is taken: {protocol} uses {spare} instead.")
    return chosen


def _addresses() -> dict[str, str]:
    """Where each service listens. A name that begins with a zero byte is a socket without a file, gone with its process."""
    ports = iter(free_ports(len(SERVICES)))
    return {
        s.name: f"\0chalkmark-demo-{os.getpid()}-{s.name}" if s.protocol == "queue" else f"127.0.0.1:{next(ports)}"
        for s in SERVICES.values()
    }


if __name__ == "__main__":
    sys.exit(main())
