"""Maintenance: the lake stays small, nothing that is needed goes, and what is past its time does."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest

from chalkmark.engine.curator import Curator
from chalkmark.engine.maintenance import Maintained, maintain
from chalkmark.engine.parts import HOUR_NS, new_commit_id, parts
from chalkmark.tables import TABLES
from landed import land, rows
from spans import T0, span

DAY = 24 * HOUR_NS


def maintained(curator: Curator, *, retention_days: float = 0, retention_paths_days: float = 0, grace_s: float = 0) -> Maintained:
    return maintain(curator, retention_days=retention_days, retention_paths_days=retention_paths_days, grace_s=grace_s)


def curate(curator: Curator, data: Path, *traces: int, at: int = 0) -> None:
    """Two spans a trace, `at` ns after T0 and received at once, each trace in a part of its own."""
    for trace in traces:
        root = span(trace, trace * 10, at=(at, at + 1000), received=T0 + at)
        call = span(trace, trace * 10 + 1, trace * 10, service=f"s{trace}", at=(at, at + 500), received=T0 + at)
        land(data, [root, call])
        curator.step(flush=True)


def test_small_parts_become_one_and_the_rows_stay(tmp_path: Path) -> None:
    with Curator(tmp_path) as curator:
        curate(curator, tmp_path, 1, 2, 3, 4)
        before = {name: rows(curator.lake, name) for name in TABLES}
        assert maintained(curator).merged_parts == 4
        assert len(parts(curator.lake)) == 1
        assert {name: len(curator.lake.files(name)) for name in ("traces", "shapes", "shape_paths")} == {
            "traces": 1,
            "shapes": 1,
            "shape_paths": 1,
        }
        assert {name: rows(curator.lake, name) for name in TABLES} == before


def test_a_second_round_finds_nothing_to_do(tmp_path: Path) -> None:
    with Curator(tmp_path) as curator:
        curate(curator, tmp_path, 1, 2, 3)
        maintained(curator)
        maintained(curator)  # lets go of what the first one replaced
        assert maintained(curator) == Maintained()


def test_files_that_nobody_needs_are_removed_after_their_grace(tmp_path: Path) -> None:
    with Curator(tmp_path) as curator:
        curate(curator, tmp_path, 1, 2)
        orphan = curator.lake.folder("spans") / "data" / "2026010100-dead-0-0.parquet"
        orphan.write_bytes(b"a writer died")
        assert maintained(curator, grace_s=600).removed_files == 0
        assert orphan.exists()
        assert maintained(curator).removed_files > 0
        assert not orphan.exists()
        stored = {str(p) for name in TABLES for p in (curator.lake.folder(name) / "data").glob("*")}
        assert stored == {f for name in TABLES for f in curator.lake.files(name)}
        assert len(rows(curator.lake, "traces")) == 2


def test_metadata_does_not_pile_up(tmp_path: Path) -> None:
    with Curator(tmp_path) as curator:
        for trace in range(1, 25):
            curate(curator, tmp_path, trace)
        maintained(curator)
        assert len(curator.lake.open("spans").snapshots()) == 1
        assert len(list((curator.lake.folder("spans") / "metadata").iterdir())) < 12


def test_what_is_past_its_retention_goes_and_call_paths_stay_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    with Curator(tmp_path) as curator:
        for trace, age in ((1, 10 * DAY), (2, 3 * DAY), (3, HOUR_NS)):
            monkeypatch.setattr("chalkmark.engine.draft.new_commit_id", partial(new_commit_id, now - age))
            curate(curator, tmp_path, trace, at=now - age - T0)
        monkeypatch.undo()
        assert maintained(curator, retention_days=2, retention_paths_days=5).expired_files > 0
        assert len(rows(curator.lake, "traces")) == 1
        assert len({row[1] for row in rows(curator.lake, "call_paths")}) == 2
        assert len(rows(curator.lake, "shapes")) == 1


def test_old_traces_that_are_imported_today_stay(tmp_path: Path) -> None:
    with Curator(tmp_path) as curator:
        curate(curator, tmp_path, 1, at=-1000 * DAY)
        assert maintained(curator, retention_days=2, retention_paths_days=2).expired_files == 0
        assert len(rows(curator.lake, "traces")) == 1


def test_leftovers_of_receivers_that_died_are_removed_after_an_hour(tmp_path: Path) -> None:
    with Curator(tmp_path) as curator:
        left = tmp_path / "landing" / "0-dead.arrow.tmp"
        left.write_bytes(b"half")
        maintained(curator)
        assert left.exists()
        os.utime(left, (time.time() - 7200,) * 2)
        maintained(curator)
        assert not left.exists()


def test_maintenance_of_an_empty_lake_is_harmless(tmp_path: Path) -> None:
    with Curator(tmp_path) as curator:
        assert maintained(curator) == Maintained()
        assert all(curator.lake.files(table) == [] for table in TABLES)
