"""The notebook, run headless on a small lake and on an empty one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from chalkmark.tables.lake import Lake
from paths import ACCEPTANCE, call_paths, path_id
from reports.harness import fill

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "first_look.py"

NUMBERS = """
import json, runpy
_, found = runpy.run_path("notebooks/first_look.py")["app"].run()
tables = ("endpoints", "services", "causes", "cost", "distribution", "quality", "clocks")
print(json.dumps({"busiest": found["busiest"], "calls": found["found"].calls, **{name: len(found[name]) for name in tables}}))
"""


def run(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CHALKMARK_DATA": str(data)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def small_lake(folder: Path) -> None:
    lake = Lake(folder)
    traces = [
        {"trace_id": bytes([n]) * 16, "root_service": "A", "root_operation": "a", "shape_id": 1, "complete": True, "spans": 7}
        for n in range(1, 11)
    ]
    spans = [{"trace_id": bytes([1]) * 16, "service": "A", "host": "h", "quality": ["clock_corrected"], "adj_start_ns": 5}]
    shape = [{"shape_id": 1, "path_id": path_id(path), "multiplicity": n // 10} for path, n in ACCEPTANCE.items()]
    for table, rows in {
        "call_paths": call_paths(ACCEPTANCE),
        "traces": fill("traces", traces),
        "spans": fill("spans", spans),
        "shape_paths": fill("shape_paths", shape),
    }.items():
        lake.open(table)
        lake.commit(table, "test", add=[lake.write(table, "part", rows)], delete=[])


def test_it_tells_the_story_of_a_small_lake(tmp_path: Path) -> None:
    small_lake(tmp_path)
    done = run(tmp_path, "-c", NUMBERS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "busiest": "C",
        "calls": 200,
        "endpoints": 1,
        "services": 4,
        "causes": 1,
        "cost": 5,
        "distribution": 6,
        "quality": 1,
        "clocks": 1,
    }


def test_it_runs_as_a_script_on_an_empty_lake(tmp_path: Path) -> None:
    done = run(tmp_path, str(NOTEBOOK))
    assert done.returncode == 0, done.stderr
