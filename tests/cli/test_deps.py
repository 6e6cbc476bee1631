from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chalkmark.cli.main import run
from chalkmark.models.dependencies import dependencies
from chalkmark.reports.catalogue import definitions
from chalkmark.tables.lake import Lake
from chalkmark.tables.session import Session
from paths import ACCEPTANCE, HOUR, call_paths

NEXT_HOUR = HOUR + timedelta(hours=1)
HOURS = [
    call_paths(ACCEPTANCE),
    pa.concat_tables(
        [call_paths(ACCEPTANCE, ts=NEXT_HOUR), call_paths({("Web:GET /",): 4, ("Web:GET /", "Sleepy:nap"): 1}, ts=NEXT_HOUR)]
    ),
]
ROWS = pa.concat_tables(HOURS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that holds ROWS, the acceptance example in each of two hours."""
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake(folder)
    lake.open("call_paths")
    lake.commit("call_paths", "test", add=[lake.write("call_paths", f"part{i}", rows) for i, rows in enumerate(HOURS)], delete=[])
    return folder


def deps(data: Path, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = run(["deps", *args, "--data", str(data)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def rows(data: Path, capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, object]]:
    code, out, _ = deps(data, capsys, *args, "--format", "json")
    assert code == 0
    return json.loads(out)


@pytest.mark.parametrize("focus", ["E", "D", "D:call4", "B"])
def test_the_command_the_model_and_sql_agree(data: Path, capsys: pytest.CaptureFixture[str], focus: str) -> None:
    by_command = rows(data, capsys, focus)
    by_model = dependencies(ROWS, focus)
    assert by_command == by_model.neighbours.to_pylist()
    service, _, operation = focus.partition(":")
    asked = "service := $service, operation := $operation"
    params = {"service": service, "operation": operation or None}
    with Session(Lake(data), definitions=definitions()) as session:
        callees = session.sql(f"from load_callees({asked})", params).to_pylist()
        causes = session.sql(f"from load_causes({asked})", params).to_pylist()
    direct = {"direct": "callee", "indirect": "indirect callee"}
    assert {
        (direct[r["relation"]], r["callee_service"], r["callee_operation"]): (
            r["calls"],
            r["amplification"],
            r["errors"],
            r["paths"],
        )
        for r in callees
    } == {
        (r["relation"], r["service"], r["operation"]): (r["calls"], r["amplification"], r["errors"], r["paths"])
        for r in by_command
        if "callee" in str(r["relation"])
    }
    by_path = {r["path"]: r for r in rows(data, capsys, focus, "--paths") if r["relation"] == "focus"}
    assert {r["path"]: (r["calls"], r["amplification"]) for r in causes} == {
        path: (r["calls"], r["per_root_call"]) for path, r in by_path.items()
    }


def test_who_calls_e_and_whom_e_calls(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {(r["relation"], r["service"], r["operation"]): r for r in rows(data, capsys, "E")}
    assert found["caller", "B", "b"]["share"] == 1
    assert found["callee", "C", "c"]["amplification"] == 20
    assert found["indirect callee", "D", "call4"]["amplification"] == 4


def test_time_and_root_select(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sum(r["calls"] for r in rows(data, capsys, "D", "--operations")) == 220
    # An hour is read whole: the time within it is not known.
    late = rows(data, capsys, "D", "--operations", "--since", (NEXT_HOUR + timedelta(minutes=30)).isoformat())
    assert sum(r["calls"] for r in late) == 110
    early = rows(data, capsys, "D", "--operations", "--until", NEXT_HOUR.isoformat())
    assert sum(r["calls"] for r in early) == 110
    assert rows(data, capsys, "D", "--root", "A:a", "--roots")[0]["touched_at_least"] == 1


def test_the_picture_names_callers_and_callees(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = deps(data, capsys, "E")
    assert code == 0
    assert "E: 20 calls; p50 1.02 ms" in out
    assert "reached by 100.0 % of 20 requests, along 1 call paths" in out
    for part in ("B:b  100 % ──▶ │ E │", "── ×20 ──▶ C:c", "┄┄ 1 indirect ┄┄▶"):
        assert part in out
    callees = next(line.split() for line in out.splitlines() if line.startswith("D:call4"))
    assert callees[:6] == ["D:call4", "2", "80", "16.7", "%", "4"]


@pytest.mark.parametrize("format", ["jsonl", "csv", "markdown", "parquet", "arrow"])
def test_every_format_holds_every_row(data: Path, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"deps.{format}"
    assert run(["deps", "E", "--data", str(data), "--format", format, "-o", str(path)]) == 0
    if format == "parquet":
        assert pq.read_table(path)["amplification"].to_pylist() == [1, 1, 20, 4]
    else:
        assert b"call4" in path.read_bytes()


@pytest.mark.parametrize(
    ("args", "said", "hint"),
    [
        (["sleep"], "no service or operation 'sleep'", "Nearest: Sleepy, Sleepy:nap"),
        (["D:call"], "no service or operation 'D:call'", "D:call3, D:call4, D:call5"),
        (["D", "--root", "B:b"], "no root endpoint 'B:b'", "A:a"),
        (["Sleepy", "--root", "A"], "begins at 'A' reaches 'Sleepy'", "chalkmark deps"),
        (["E", "--since", "2030-01-01"], "no call paths in this time range", "--since"),
        (["E", "--since", "soon"], "--since 'soon' is no time", "1h"),
    ],
)
def test_a_question_without_answer_is_met_with_a_hint(
    data: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str, hint: str
) -> None:
    code, out, err = deps(data, capsys, *args)
    assert (code, out) == (2, "")
    assert said in err
    assert hint in err
