"""The demo keeps its promises: the fleet's own definition (demo/fleet.py, demo/faults.py) says what must come out."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo import fleet
from demo.blueprint import Service
from demo.faults import FAULTS
from demo.fleet import BASKET, CARRIERS, FOUND, PAGE, RECOMMENDED, SKEWED
from demo.processes import free_ports

ROOT = Path(__file__).parents[2]
CHALKMARK = Path(sys.executable).with_name("chalkmark")
SECONDS = 40
CLOCK_ERROR_MS = 20
"""The clock of a host is known to about half a round trip of its fastest calls: some milliseconds here."""
MEMORY_MB = 1500
GONE_S = 30

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the demo uses Linux's process and socket facilities")


@dataclass(frozen=True, slots=True)
class Demo:
    data: Path
    shown: str
    left_over: list[str]

    def ask(self, *arguments: str) -> Any:
        line = [CHALKMARK, *arguments, "--format", "json", "--data", self.data]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def sql(self, query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ask("sql", query)
        return rows


def environment(mark: str) -> dict[str, str]:
    """Ports that nobody uses, and a mark that every process of the demo inherits."""
    variables = ("CHALKMARK_OTLP_GRPC_PORT", "CHALKMARK_OTLP_HTTP_PORT", "CHALKMARK_ZIPKIN_PORT")
    return {**os.environ, "DEMO_MARK": mark, **dict(zip(variables, map(str, free_ports(3)), strict=True))}


def marked(mark: str) -> list[str]:
    """Command lines of the processes that carry the mark."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and f"DEMO_MARK={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    data = tmp_path_factory.mktemp("demo")
    mark = uuid.uuid4().hex
    line = [sys.executable, "-m", "demo", "--data", data, "--seconds", str(SECONDS)]
    ran = subprocess.run(line, cwd=ROOT, env=environment(mark), capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return Demo(data, ran.stdout, marked(mark))


def test_leaves_no_process_behind(demo: Demo) -> None:
    assert demo.left_over == []
    assert "Killed" not in demo.shown


def test_shows_its_answers_with_the_commands_that_gave_them(demo: Demo) -> None:
    answers = demo.shown.partition("The first traces are in the tables.")[2].partition("Ctrl-C ends the demo")[0]
    for command in ("deps checkout", "sql", "report run quality/by_sender"):
        assert f"chalkmark {command}" in answers
    for found in ("payments", "/shop.Pricing/Price", SKEWED.name, "billing", "end_before_start"):
        assert found in answers


def test_stays_within_its_memory(demo: Demo) -> None:
    said = re.search(r"at most ([\d,]+) MB", demo.shown)
    assert said is not None
    assert int(said[1].replace(",", "")) < MEMORY_MB


def calls(demo: Demo, endpoint: str) -> dict[tuple[str, str], float]:
    """Calls by service and operation for each call of a frontend endpoint."""
    rows = demo.sql(
        "select service, operation, sum(calls)::bigint as calls from call_paths "
        f"where root_service = 'frontend' and root_operation = '{endpoint}' and not partial group by all"
    )
    counted = {(row["service"], row["operation"]): row["calls"] for row in rows}
    pages = counted["frontend", endpoint]
    assert pages > 0
    return {key: count / pages for key, count in counted.items()}


def key(service: Service, endpoint: str) -> tuple[str, str]:
    return service.name, service.operation(endpoint)


def test_load_amplification_is_the_fleets_own(demo: Demo) -> None:
    price = key(fleet.pricing, "Price")

    home = calls(demo, "GET /")
    assert home[key(fleet.catalogue, "GET /products")] == 1
    assert home[key(fleet.recommendations, "GET /recommendations")] == 1
    assert home[key(fleet.catalogue, "GET /products/{sku}")] == RECOMMENDED
    assert home[price] == PAGE + RECOMMENDED

    page = calls(demo, "GET /products/{sku}")
    assert page[key(fleet.catalogue, "GET /products/{sku}")] == page[price] == 1 + RECOMMENDED
    assert 0 < page[key(fleet.stock, "GET /stock/{sku}")] < 1 + RECOMMENDED  # the cache spares some

    search = calls(demo, "GET /search")
    assert search[price] == FOUND

    order = calls(demo, "POST /orders")
    assert order[key(fleet.checkout, "PlaceOrder")] == 1
    assert order[price] == order[key(fleet.stock, "POST /reservations/{sku}")] == BASKET
    assert order[key(fleet.payments, "Charge")] >= 1


def test_a_charge_that_succeeds_is_shipped_and_confirmed_once(demo: Demo) -> None:
    rows = demo.sql(
        "select callee_service as service, sum(calls)::bigint as calls, sum(errors)::bigint as errors from edges "
        "where caller_service in ('checkout', 'shipping') group by all"
    )
    by_service = {row["service"]: row for row in rows}
    charged = by_service["payments"]["calls"] - by_service["payments"]["errors"]
    assert by_service["shipping"]["calls"] == by_service["mailer"]["calls"] == charged
    assert by_service["carrier"]["calls"] == CARRIERS * charged  # it sends no spans: its caller's are counted


def test_deps_names_callers_and_callees(demo: Demo) -> None:
    text = json.dumps(demo.ask("deps", "checkout"))
    for service in ("frontend", "cart", "pricing", "stock", "payments", "shipping", "carrier", "mailer"):
        assert service in text


def test_every_fault_is_named_and_laid_at_the_right_door(demo: Demo) -> None:
    rows = demo.ask("report", "run", "quality/by_sender")
    senders: dict[str, set[str]] = {}
    for row in rows:
        senders.setdefault(row["reason"], set()).add(row["service"])
    assert set(FAULTS) - set(senders) == set()
    # On a busy machine spans of good services truly contradict each other by fractions of a millisecond.
    for reason in FAULTS.keys() - {"outlives_parent", "starts_before_parent"}:
        assert senders[reason] <= {"billing", "unknown_service"}, reason
    assert "billing" in senders["outlives_parent"]


def test_the_wrong_clock_is_found_and_corrected(demo: Demo) -> None:
    rows = demo.sql(
        "select host, median(adj_start_ns - start_ns) / 1e6 as ms from spans where service in "
        f"({', '.join(repr(name) for name in fleet.SERVICES)}) and host is not null group by all"
    )
    corrections = {row["host"]: row["ms"] for row in rows}
    assert corrections.pop(SKEWED.name) == pytest.approx(-SKEWED.clock_offset_ms, abs=CLOCK_ERROR_MS)
    assert set(corrections) == {s.host.name for s in fleet.SERVICES.values() if s.exports != "nothing"} - {SKEWED.name}
    assert set(corrections.values()) == {0}


def test_spans_come_from_both_zones_in_every_protocol(demo: Demo) -> None:
    rows = demo.sql("select distinct service, zone, source from spans")
    seen = {(row["service"], row["zone"], row["source"]) for row in rows}
    sources = {"otlp-grpc": "otlp-grpc", "otlp-http": "otlp-http", "zipkin": "zipkin-http"}
    for service in fleet.SERVICES.values():
        if service.exports != "nothing":
            assert (service.name, service.host.zone, sources[service.exports]) in seen


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A demo that runs until it is stopped, with its fleet up, and the mark of its processes."""
    mark = uuid.uuid4().hex
    line = [sys.executable, "-m", "demo", "--data", tmp_path]
    with (tmp_path / "shown").open("wb") as shown:
        process = subprocess.Popen(line, cwd=ROOT, env=environment(mark), stdout=shown, stderr=subprocess.STDOUT)
    try:
        while "Shoppers" not in (tmp_path / "shown").read_text():
            assert process.poll() is None, (tmp_path / "shown").read_text()
            time.sleep(0.1)
        yield process, mark
    finally:
        process.kill()
        process.wait()


def assert_gone(mark: str) -> None:
    deadline = time.monotonic() + GONE_S
    while left := marked(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_ctrl_c_stops_everything(endless: tuple[subprocess.Popen[bytes], str]) -> None:
    process, mark = endless
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert_gone(mark)


def test_nothing_outlives_a_killed_demo(endless: tuple[subprocess.Popen[bytes], str]) -> None:
    process, mark = endless
    process.kill()
    process.wait()
    assert_gone(mark)
