from __future__ import annotations

import json
from pathlib import Path

import pytest

from chalkmark.cli.main import run
from chalkmark.reports.catalogue import catalogue, report
from chalkmark.tables.lake import Lake
from paths import ACCEPTANCE, call_paths


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake(folder)
    lake.open("call_paths")
    lake.commit("call_paths", "test", add=[lake.write("call_paths", "part", call_paths(ACCEPTANCE))], delete=[])
    return folder


def test_list_names_every_report_and_its_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "list", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(r["report"], r["question"]) for r in listed] == [(r.name, r.question) for r in catalogue().values()]
    assert run(["report"]) == 0
    assert "load/causes" in capsys.readouterr().out


def test_describe_says_what_it_takes_and_gives(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "describe", "load/causes"]) == 0
    shown = capsys.readouterr().out
    wanted = report("load/causes")
    for text in (
        wanted.question,
        wanted.grain,
        wanted.note,
        *(p.doc for p in wanted.all_params),
        *(c.doc for c in wanted.columns),
    ):
        assert text in shown
    assert run(["report", "describe", "load/causes", "--sql"]) == 0
    assert capsys.readouterr().out == wanted.sql


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_parameters_are_options_with_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "run", name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for parameter in report(name).all_params:
        assert f"--{parameter.name.replace('_', '-')} {parameter.type.upper()} {parameter.doc[:20]}" in shown


def test_run_gives_the_rows(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["report", "run", "load/causes", "--service", "D", "--operation", "call4", "--data", str(data)]
    assert run([*args, "--format", "jsonl"]) == 0
    [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["path"], row["amplification"]) == ("A:a > B:b > E:e > C:c > D:call4", 4.0)
    assert run([*args, "--since", "2030-01-01", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_units_stand_in_the_headings(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "run", "cost/endpoints", "--data", str(data), "--format", "markdown"]) == 0
    assert "| requests (calls) | work ns per request (ns) |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "load/causes"], "Missing option '--service'"),
        (["run", "load/cause", "--service", "D"], "Did you mean load/causes"),
        (["describe", "loads"], "There is no report 'loads'"),
        (["run", "quality/by_sender", "--since", "soon"], "Parameter since: 'soon' is not a time"),
        (["run", "quality/by_sender", "--limit", "3"], "No such option"),
    ],
)
def test_wrong_usage_is_named(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", *args]) == 2
    assert said in capsys.readouterr().err
