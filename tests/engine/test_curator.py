"""The curator: from the landing folder to tables, whatever the order and the grouping of arrivals."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from chalkmark.curate.assemble import assemble
from chalkmark.engine.curator import Curator
from chalkmark.engine.lock import BusyError
from chalkmark.engine.parts import parts
from chalkmark.engine.run_once import Done, run_once
from chalkmark.tables import TABLES
from chalkmark.tables.lake import Lake
from chalkmark.tables.landing import Received
from chalkmark.tables.landing_store import LandingWriter, landing_files
from landed import land, rows
from spans import T0, batch, span

HOUR = 3_600_000_000_000


def everything(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    """All tables; shapes that traces had before late spans came stay until maintenance, and do not count."""
    found = {name: rows(lake, name) for name in TABLES if name != "clock_evidence"}
    live = {row[TABLES["traces"].schema.get_field_index("shape_id")] for row in found["traces"]}
    return found | {name: [r for r in found[name] if r[0] in live] for name in ("shapes", "shape_paths")}


def fleet(seed: int, traces: int = 60) -> list[dict[str, Any]]:
    """Spans of traces over two hours with retries, duplicates, orphans, a skewed host and events."""
    chance = random.Random(seed)
    spans = []
    for trace in range(1, traces + 1):
        t0 = chance.randrange(0, 2 * HOUR)
        first = trace * 100
        spans.append(span(trace, first, at=(t0, t0 + 50_000_000), service="front", operation="GET /", host="h1"))
        for n in range(1, chance.randrange(2, 9)):
            parent = first if n < 3 else first + chance.randrange(0, n)
            start = t0 + chance.randrange(0, 20_000_000)
            skew = 3_600_000 * (n % 2)
            host, service = ("h2", f"back{n % 3}") if n % 2 else ("h1", "front")
            kind = "server" if n % 2 else "client"
            made = span(
                trace, first + n, parent, at=(start + skew, start + skew + 10_000_000), service=service, host=host,
                kind=kind, operation=f"op{n % 4}", events=[("seen", start)] if n == 2 else (), status=2 * (n == 5),
            )  # fmt: skip
            spans.append(made)
            if chance.random() < 0.1:
                spans.append(made)
        if chance.random() < 0.1:
            spans.append(span(trace, first + 50, first + 99, at=(t0, t0 + 10), service="orphan"))
    return spans


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """The tables when all spans come in one request."""
    data = tmp_path_factory.mktemp("at_once")
    land(data, fleet(1))
    with Curator(data) as curator:
        curator.step(flush=True)
        curator.settle()
        return everything(curator.lake)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_and_grouping_of_arrivals_do_not_matter(
    tmp_path: Path, at_once: dict[str, list[tuple[Any, ...]]], seed: int
) -> None:
    chance = random.Random(seed)
    spans = fleet(1)
    chance.shuffle(spans)
    with Curator(tmp_path) as curator:
        while spans:
            count = chance.randrange(1, 120)
            land(tmp_path, spans[:count])
            spans = spans[count:]
            curator.step(flush=True)
            if chance.random() < 0.3:
                curator.merge(everything=True)
        curator.settle()
        found = everything(curator.lake)
    for name, expected in at_once.items():
        assert found[name] == expected, name


def test_merging_and_settling_again_change_nothing(tmp_path: Path, at_once: dict[str, list[tuple[Any, ...]]]) -> None:
    land(tmp_path, fleet(1)[:150], fleet(1)[150:])
    with Curator(tmp_path) as curator:
        curator.step(flush=True)
        for _ in range(2):
            curator.merge(everything=True)
            curator.settle()
        assert curator.settle() == 0
        assert everything(curator.lake) == at_once


def test_nothing_new_means_nothing_done(tmp_path: Path) -> None:
    land(tmp_path, fleet(2))
    with Curator(tmp_path) as curator:
        curator.step(flush=True)
        before = {name: curator.lake.open(name).metadata_location for name in TABLES}
        assert curator.step(flush=True).traces == 0
        assert {name: curator.lake.open(name).metadata_location for name in TABLES} == before


def test_the_same_spans_again_change_only_the_mark(tmp_path: Path) -> None:
    with Curator(tmp_path) as curator:
        for _ in range(2):
            land(tmp_path, [span(1, 1), span(1, 2, 1)])
            curator.step(flush=True)
        found = [(len(r), r) for r in rows(curator.lake, "traces")]
        assert len(found) == 1
        assert duckdb.execute(
            "select span_id, quality from read_parquet($1) order by 1", [curator.lake.files("spans")]
        ).fetchall() == [
            ((1).to_bytes(8, "big"), ["duplicate"]),
            ((2).to_bytes(8, "big"), ["duplicate"]),
        ]


def test_a_late_span_mends_its_trace(tmp_path: Path) -> None:
    with Curator(tmp_path) as curator:
        land(tmp_path, [span(1, 2, 1, at=(100, 200)), span(2, 5)])
        curator.step(flush=True)
        complete = "select trace_id, complete, spans from read_parquet($1) order by 1"
        assert duckdb.execute(complete, [curator.lake.files("traces")]).fetchall()[0][1:] == (False, 1)
        land(tmp_path, [span(1, 1, at=(0, 1000))])
        curator.step(flush=True)
        assert [r[1:] for r in duckdb.execute(complete, [curator.lake.files("traces")]).fetchall()] == [(True, 2), (True, 1)]
        assert len(parts(curator.lake)) == 1


def test_traces_that_may_grow_wait_and_are_not_lost(tmp_path: Path) -> None:
    import time

    now = time.time_ns()
    land(tmp_path, [span(1, 1, received=now - 60 * 10**9), span(2, 1, received=now + 10**9)])
    with Curator(tmp_path, quiet_s=5) as curator:
        step = curator.step()
        assert (step.traces, step.waiting) == (1, 1)
        assert curator.step().traces == 0
        assert len(landing_files(tmp_path)) == 1
        assert curator.step(flush=True).traces == 1
        assert landing_files(tmp_path) == []
        assert sorted(r[0] for r in rows(curator.lake, "traces")) == [(1).to_bytes(16, "big"), (2).to_bytes(16, "big")]


def test_a_trace_that_never_falls_quiet_is_curated_and_replaced(tmp_path: Path) -> None:
    import time

    now = time.time_ns()
    with Curator(tmp_path, quiet_s=5, longest_wait_s=30) as curator:
        land(tmp_path, [span(1, 1, received=now - 40 * 10**9), span(1, 2, 1, received=now)])
        assert curator.step().spans == 2
        land(tmp_path, [span(1, 3, 1, received=now - 31 * 10**9)])
        assert curator.step().spans == 3
        assert len(rows(curator.lake, "traces")) == 1


def test_rejections_are_recorded_once(tmp_path: Path) -> None:
    writer = LandingWriter(tmp_path)
    rejection = pa.RecordBatch.from_pylist(
        [
            {
                "service": "s", "sdk": "x", "source": "otlp-grpc", "reason": "trace_id_missing", "spans": 3,
                "example": "trace_id is empty", "ts": T0 // 1000,
            }
        ],
        schema=TABLES["rejections"].schema,
    )  # fmt: skip
    writer.submit(Received(batch([]), rejection)).result()
    writer.close()
    with Curator(tmp_path) as curator:
        for _ in range(2):
            curator.step()
        assert [r[3:5] for r in rows(curator.lake, "rejections")] == [("trace_id_missing", 3)]


def test_only_one_process_curates_a_folder(tmp_path: Path) -> None:
    with Curator(tmp_path), pytest.raises(BusyError, match="curates"):
        Curator(tmp_path)
    with Curator(tmp_path):
        pass


@pytest.fixture(scope="module")
def absurd() -> list[dict[str, Any]]:
    """A trace from 1970 and one from 2200, in one request with a good one."""
    century = 100 * 365 * 24 * HOUR
    return [span(1, 1), span(2, 1, at=(-T0, 1000 - T0)), span(3, 1, at=(2 * century, 2 * century + 1000))]


def test_absurd_times_are_filed_under_their_arrival(tmp_path: Path, absurd: list[dict[str, Any]]) -> None:
    land(tmp_path, absurd)
    with Curator(tmp_path) as curator:
        curator.step(flush=True)
        assert {p.hour for p in parts(curator.lake)} == {T0 // HOUR}
        land(tmp_path, [span(2, 2, 1, at=(-T0, 500 - T0))])
        curator.step(flush=True)
        assert [r[5] for r in rows(curator.lake, "traces")] == [1, 2, 1]


def test_run_once_waits_for_the_process_that_curates(tmp_path: Path) -> None:
    """Spans of a trace that still may grow count as waiting, wherever in the landing folder they are moved."""
    land(tmp_path, [span(1, 1), span(2, 1)])
    seen: list[tuple[int, int]] = []
    with Curator(tmp_path) as curator:
        curated = threading.Timer(0.5, lambda: curator.step(flush=True))
        curated.start()
        assert run_once(tmp_path, progress=lambda what, done, total: seen.append((done, total))) == Done()
        curated.join()
        assert len(rows(curator.lake, "traces")) == 2
    assert seen[0] == (0, 2)


def test_a_trace_that_cannot_be_curated_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No input is known to do this, so a fault is planted: the kernels refuse one service."""

    def faulty(raw: pa.Table) -> Any:
        if "cursed" in raw["service"].to_pylist():
            raise ValueError("a defect")
        return assemble(raw)

    monkeypatch.setattr("chalkmark.engine.draft.assemble", faulty)
    land(tmp_path, [span(1, 1), span(2, 1, service="cursed"), span(3, 1)], [span(2, 2, 1, service="cursed"), span(4, 1)])
    with Curator(tmp_path) as curator:
        assert curator.step(flush=True).traces == 3
        assert landing_files(tmp_path) == []
        (told,) = rows(curator.lake, "rejections")
        assert told[0] == "cursed"
        assert told[3:5] == ("curation_failed", 2)
        monkeypatch.undo()
        (kept,) = (tmp_path / "quarantine").iterdir()
        kept.rename(tmp_path / "landing" / kept.name)
        assert curator.step(flush=True).spans == 2
        assert len(rows(curator.lake, "traces")) == 4


@pytest.mark.parametrize("skewed", [True, False])
def test_chunks_know_the_clocks_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skewed: bool) -> None:
    """What does not fit in memory at once is curated in chunks, each with what all of them say about clocks."""
    monkeypatch.setattr("chalkmark.engine.inbox.CHUNK_ROWS", 60)
    spans = fleet(1) if skewed else [s | {"sender": s["sender"].replace("h2", "h1")} for s in fleet(1)]
    land(tmp_path, spans)
    with Curator(tmp_path) as curator:
        curator.step(flush=True)
        assert len(parts(curator.lake)) > 4
        assert any(p.clock != "0" for p in parts(curator.lake)) == skewed
        before = everything(curator.lake)
        assert curator.settle() == 0 or skewed
        assert everything(curator.lake) == before
