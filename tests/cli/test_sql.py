import io
import json
from pathlib import Path

import pytest

from chalkmark.cli.main import run


def test_a_query_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["sql", "--data", str(tmp_path), "--format", "json", "select 40 + 2 as answer"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"answer": 42}]
    assert list(tmp_path.iterdir()) == []  # looking changes nothing


def test_a_query_from_stdin(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("select 1 as one"))
    assert run(["sql", "--data", str(tmp_path), "--format", "csv", "-"]) == 0
    assert capsys.readouterr().out == "one\n1\n"


def test_parameters(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    args = ["sql", "--data", str(tmp_path), "--format", "csv", "-p", "a=x=y", "-p", "b=2"]
    assert run([*args, "select $a as a, $b::int + 1 as b"]) == 0
    assert capsys.readouterr().out == "a,b\nx=y,3\n"
    assert run([*args, "-p", "nothing", "select 1"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def test_an_empty_lake_is_explained_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["sql", "--data", str(tmp_path), "--format", "csv", "select service from spans"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "service\n"
    assert "chalkmark import" in shown.err


def test_other_files_need_the_flag(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a\n7\n")
    args = ["sql", "--data", str(tmp_path / "lake"), "--format", "csv", f"select a from read_csv('{other}')"]
    assert run(args) == 2
    assert "--files" in capsys.readouterr().err
    assert run([*args, "--files"]) == 0
    assert capsys.readouterr().out == "a\n7\n"


def test_a_result_goes_to_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run(["sql", "--data", str(tmp_path), "--format", "jsonl", "-o", str(out), "select 1 as a"]) == 0
    assert capsys.readouterr().out == ""
    assert out.read_text() == '{"a":1}\n'
