import json
from pathlib import Path

import pytest

from chalkmark.cli.main import run
from chalkmark.tables import TABLES


@pytest.mark.parametrize("verb", [["tables", "list"], ["tables"]])
def test_every_table_is_listed(
    verb: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHALKMARK_DATA", str(tmp_path))
    assert run(verb) == 0
    out = capsys.readouterr().out
    for name, spec in TABLES.items():
        assert f"\n{name} " in out
        assert spec.grain in out


def test_list_may_be_left_out_before_options_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["tables", "--data", str(tmp_path), "--format", "json"]) == 0
    assert [r["table"] for r in json.loads(capsys.readouterr().out)] == list(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_described(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tables", "describe", name, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    columns = (*TABLES[name].columns, *TABLES[name].view_columns)
    assert [(r["column"], r["unit"], r["meaning"]) for r in rows] == [(c.name, c.unit, c.doc) for c in columns]


def test_an_unknown_table_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tables", "describe", "span"]) == 2
    assert "Did you mean spans?" in capsys.readouterr().err
