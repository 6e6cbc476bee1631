from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import chalkmark
from chalkmark.errors import ChalkmarkError
from chalkmark.tables import TABLES


@pytest.fixture
def chalk(tmp_path: Path) -> chalkmark.Chalkmark:
    return chalkmark.open(tmp_path)


def test_sql_gives_arrow_polars_pandas_and_rows(chalk: chalkmark.Chalkmark) -> None:
    result = chalk.sql("select $x as a, $y as b", x=1, y="z")
    rows = [{"a": 1, "b": "z"}]
    assert result.arrow().to_pylist() == rows
    assert result.polars().to_dicts() == rows
    assert result.pandas().to_dict("records") == rows
    assert list(result) == rows
    assert len(result) == 1


def test_any_library_that_knows_arrow_takes_a_result(chalk: chalkmark.Chalkmark) -> None:
    result = chalk.sql("select range as n from range(5)")
    assert pa.table(result)["n"].to_pylist() == [0, 1, 2, 3, 4]
    assert pl.DataFrame(result)["n"].sum() == 10
    assert isinstance(result.pandas(), pd.DataFrame)


def test_a_notebook_shows_rows_and_hides_nothing_in_markup(chalk: chalkmark.Chalkmark) -> None:
    html = chalk.sql("select '<b>' as \"<i>\", '\\x01\\xff'::blob as id, null as none")._repr_html_()
    assert "&lt;b&gt;" in html
    assert "&lt;i&gt;" in html
    assert "<td>01ff</td><td></td>" in html
    assert "50 of 60 rows" in chalk.sql("from range(60)")._repr_html_()


def test_tables_by_name(chalk: chalkmark.Chalkmark) -> None:
    assert list(chalk.tables) == list(TABLES)
    spans = chalk.tables["spans"]
    assert spans.arrow().num_rows == 0
    assert [r["column"] for r in spans.describe()] == [c.name for c in (*TABLES["spans"].columns, *TABLES["spans"].view_columns)]
    with pytest.raises(KeyError, match="no table 'span'"):
        chalk.tables["span"]


def test_reports_by_name(chalk: chalkmark.Chalkmark) -> None:
    from chalkmark.reports.catalogue import catalogue

    assert list(chalk.reports) == list(catalogue())
    with pytest.raises(KeyError, match="no report 'nothing'"):
        chalk.reports["nothing"]
    for name, report in catalogue().items():
        assert chalk.reports[name].query == report.sql
        if not any(p.required for p in report.params):
            assert chalk.reports[name]().arrow().column_names == [c.name for c in report.columns]


def test_dependencies_of_what_does_not_occur_are_an_error(chalk: chalkmark.Chalkmark) -> None:
    with pytest.raises(ChalkmarkError, match="call path"):
        chalk.deps("cart")


def test_the_folder_comes_from_the_settings_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHALKMARK_DATA", str(tmp_path / "lake"))
    assert chalkmark.open().settings.data == tmp_path / "lake"


def test_errors_are_said_in_words(chalk: chalkmark.Chalkmark) -> None:
    with pytest.raises(ChalkmarkError):
        chalk.sql("selec 1")


def test_a_closed_one_is_closed(tmp_path: Path) -> None:
    with chalkmark.open(tmp_path) as chalk:
        pass
    with pytest.raises(ChalkmarkError):
        chalk.sql("select 1")


def test_the_package_offers_what_it_names() -> None:
    assert all(getattr(chalkmark, name) for name in chalkmark.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        chalkmark.nothing  # noqa: B018
