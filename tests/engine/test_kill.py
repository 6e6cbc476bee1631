"""Killed at any point, Chalkmark loses nothing that it acknowledged and shows nothing twice."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from pathlib import Path

import duckdb

from chalkmark.engine.curator import Curator
from chalkmark.engine.maintenance import maintain
from chalkmark.engine.run_once import run_once
from chalkmark.tables.lake import Lake
from chalkmark.tables.landing_store import LandingWriter
from spans import received, span

ROUNDS = 25


def receive_and_curate(data: Path, acknowledged: Path, seed: int) -> None:
    """Receive traces (some of whose spans come late), curate, merge and maintain, for ever; note what was acknowledged."""
    chance = random.Random(seed)
    writer = LandingWriter(data)
    with acknowledged.open("a", buffering=1) as notes, Curator(data) as curator:
        while True:
            for _ in range(chance.randrange(1, 6)):
                trace = chance.randrange(1, 400)
                spans = [
                    span(trace, trace * 1000 + n, None if n == 0 else trace * 1000, at=(n, 1000 - n), service=f"s{n % 3}")
                    for n in {0, *(chance.randrange(1, 9) for _ in range(4))}
                ]
                writer.submit(received(spans)).result()
                notes.writelines(f"{s['span_id'].hex()}\n" for s in spans)
            curator.step(flush=True)
            if chance.random() < 0.3:
                curator.merge(everything=True)
            if chance.random() < 0.1:
                maintain(curator, retention_days=0, retention_paths_days=0, grace_s=0)


def test_kill_at_any_point(tmp_path: Path) -> None:
    data, acknowledged = tmp_path / "data", tmp_path / "acknowledged"
    chance = random.Random(4)
    run_once(data)  # compiles, so that the children below start with everything loaded
    warm = LandingWriter(data)
    warm.submit(received([span(1, 1000)])).result()
    warm.close()
    run_once(data)
    for round_ in range(ROUNDS):
        child = os.fork()
        if child == 0:
            try:
                receive_and_curate(data, acknowledged, round_)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        time.sleep(chance.uniform(0.05, 1.2))
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the child ended by itself"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if chance.random() < 0.3:
            check(data, acknowledged, complete=False)
    run_once(data)
    check(data, acknowledged, complete=True)


def check(data: Path, acknowledged: Path, *, complete: bool) -> None:
    """What is in the tables is there once and fits together; with `complete`, all that was acknowledged is there."""
    lake = Lake(data)

    def rows(table: str) -> str:
        return f"read_parquet({lake.files(table)})"

    ids = [r[0] for r in duckdb.sql(f"select lower(hex(span_id)) from {rows('spans')}").fetchall()]
    assert len(ids) == len(set(ids))
    traces = duckdb.sql(f"select count(*), count(distinct trace_id) from {rows('traces')}").fetchall()[0]
    assert traces[0] == traces[1]
    if not complete:  # a reader between two tables' commits sees them one apart; each by itself is right
        return
    promised = {line for line in acknowledged.read_text().split("\n") if len(line) == 16}
    assert promised <= set(ids), f"{len(promised - set(ids))} acknowledged spans are missing"
    assert len(promised) > 100
    assert duckdb.sql(f"select sum(spans) from {rows('traces')}").fetchall() == [(len(ids),)]
    assert duckdb.sql(f"select count(distinct trace_id) from {rows('spans')}").fetchall() == [(traces[0],)]
    shapes = duckdb.sql(f"select count(*), count(distinct shape_id) from {rows('shapes')}").fetchall()[0]
    assert shapes[0] == shapes[1]
    missing = f"select count(*) from {rows('traces')} where shape_id not in (select shape_id from {rows('shapes')})"
    assert duckdb.sql(missing).fetchall() == [(0,)]
    counted = duckdb.sql(f"select sum(traces) from {rows('call_paths')} where parent_path_id is null").fetchall()
    assert counted == [(traces[0],)]
