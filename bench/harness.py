"""Runs a benchmark's cases and says what they cost: medians of several runs, on a named machine, of a named commit.

A script hands its cases to `run`; the table goes to stderr, the JSON to stdout or to `--json FILE`:

    from bench.harness import Case, run

    run("decode", [Case("otlp", lambda: decode(request), units=500, unit="spans")])

Memory is a property of a whole process that earlier cases raise for later ones, so a case whose memory matters asks for
a process of its own (`isolated=True`).
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("chalkmark", "numpy", "numba", "pyarrow", "duckdb", "pyiceberg", "grpcio")
SAMPLE_S = 0.01


@dataclass(frozen=True)
class Case:
    """One thing to measure. `function` is called once to warm up (compile, fill caches) and then `runs` times."""

    name: str
    function: Callable[[], object]
    units: int = 1
    """How much one call gets done, in `unit`; the rate is units / CPU second."""
    unit: str = "calls"
    runs: int = 5
    warm_up: bool = True
    setup: Callable[[], object] | None = None
    """Called before each call of `function`, not measured."""
    isolated: bool = False
    """True runs the case in a forked process of its own, so that its memory is measured alone."""


@dataclass(frozen=True)
class Result:
    """What one case cost. Times are medians over the runs; CPU is user + system, of this process and of its finished children."""

    name: str
    units: int
    unit: str
    runs: int
    wall_s: float
    cpu_s: float
    wall_s_all: list[float]
    cpu_s_all: list[float]
    peak_anon_bytes: int
    """Highest RssAnon of this process while the case ran: memory without mapped files."""
    max_rss_bytes: int
    """Highest resident size in the life of the process, mapped files included."""
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def units_per_cpu_s(self) -> float:
        return self.units / max(self.cpu_s, 1e-9)


def cpu_seconds() -> float:
    """User + system time of this process, its threads, and its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def anon_bytes() -> int:
    """RssAnon of this process now."""
    with Path("/proc/self/status").open() as f:
        for line in f:
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
    return 0


class PeakMemory:
    """Watches RssAnon every 10 ms while it is entered; `peak` is the highest value seen, in bytes."""

    def __enter__(self) -> PeakMemory:
        self.peak = anon_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.peak = max(self.peak, anon_bytes())

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_S):
            self.peak = max(self.peak, anon_bytes())


def measure(case: Case) -> Result:
    """Runs one case here and now. Numbers and texts in a dict that the function returns are kept as the result's notes."""
    if case.warm_up:
        if case.setup:
            case.setup()
        case.function()
    walls, cpus = [], []
    notes: object = None
    peak = 0
    for _ in range(case.runs):
        if case.setup:
            case.setup()
        gc.collect()
        with PeakMemory() as memory:
            wall, cpu = time.perf_counter(), cpu_seconds()
            notes = case.function()
            cpus.append(cpu_seconds() - cpu)
            walls.append(time.perf_counter() - wall)
        peak = max(peak, memory.peak)
    return Result(
        name=case.name,
        units=case.units,
        unit=case.unit,
        runs=case.runs,
        wall_s=statistics.median(walls),
        cpu_s=statistics.median(cpus),
        wall_s_all=walls,
        cpu_s_all=cpus,
        peak_anon_bytes=peak,
        max_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        notes={k: v for k, v in notes.items() if isinstance(v, str | int | float)} if isinstance(notes, dict) else {},
    )


def _measure_apart(case: Case) -> Result:
    """`measure` in a forked child, which inherits the case's closures; a failure there is a failure here."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        sender.send(measure(case))

    process = context.Process(target=child)
    process.start()
    sender.close()
    try:
        result: Result = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the process of case {case.name!r} ended with exit status {process.exitcode}") from None
    process.join()
    return result


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    cpu_models = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "cpu": cpu_models[0] if cpu_models else platform.processor(),
        "cpus": os.cpu_count(),
        "memory_bytes": memory[0] if memory else None,
        "kernel": platform.release(),
        "load_average": list(os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the figures depend on, those that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of the checkout, with `+changes` where the working tree differs from it; empty outside a checkout."""
    here = Path(__file__).parent
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    if head.returncode:
        return ""
    status = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def run(name: str, cases: Sequence[Case], *, parameters: dict[str, Any] | None = None, argv: Sequence[str] = ()) -> list[Result]:
    """Measures `cases` one after another and reports them.

    `parameters` says what was measured (sizes, seeds) and is kept in the JSON. `argv` takes `--json FILE` and
    `--case TEXT` (only cases whose name holds TEXT); a script with options of its own passes on what it did not use.
    """
    options = _options(name).parse_args(argv)
    results = []
    for case in cases:
        if options.case and not any(text in case.name for text in options.case):
            continue
        result = _measure_apart(case) if case.isolated else measure(case)
        results.append(result)
        _print_line(result, header=len(results) == 1)
    document = {
        "benchmark": name,
        "commit": commit(),
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "versions": versions(),
        "parameters": parameters or {},
        "results": [asdict(r) | {"units_per_cpu_s": r.units_per_cpu_s} for r in results],
    }
    text = json.dumps(document, indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n")
    else:
        print(text)
    return results


def _options(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--json", metavar="FILE", help="write the JSON here and not to stdout")
    parser.add_argument("--case", metavar="TEXT", action="append", help="only cases whose name holds TEXT; may be repeated")
    return parser


def _print_line(result: Result, *, header: bool) -> None:
    if header:
        print(f"{'case':44} {'wall':>10} {'cpu':>10} {'rate a CPU second':>24} {'anon peak':>10}", file=sys.stderr)
    rate = f"{_short(result.units_per_cpu_s)} {result.unit}"
    peak = f"{result.peak_anon_bytes / 2**20:.0f} MiB"
    line = f"{result.name:44} {_seconds(result.wall_s):>10} {_seconds(result.cpu_s):>10} {rate:>24} {peak:>10}"
    print(line, file=sys.stderr, flush=True)


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value >= 1 else f"{value * 1e3:.2f} ms"


def _short(value: float) -> str:
    for scale, sign in ((1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.2f} {sign}"
    return f"{value:.2f}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
