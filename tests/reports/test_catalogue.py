from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from chalkmark.errors import ChalkmarkError
from chalkmark.reports.catalogue import bound, catalogue, definitions, report
from chalkmark.reports.docs import page
from chalkmark.tables import TABLES
from chalkmark.tables.session import Session
from reports.harness import Files

TESTS = Path(__file__).parent
NAMES = sorted(catalogue())


def test_a_report_is_two_files() -> None:
    """The SQL and its test: nothing else has to know of a report."""
    folder = Path(str(files("chalkmark.reports")))
    written = {f"{path.parent.name}/{path.stem}" for path in folder.glob("*/*.sql")}
    tested = {f"{path.parent.name}/{path.stem.removeprefix('test_')}" for path in TESTS.glob("*/test_*.py")}
    assert written == tested == set(catalogue())


def test_names_in_sql_are_unique_and_no_tables() -> None:
    functions = [r.function for r in catalogue().values()]
    assert len(set(functions)) == len(functions)
    assert not set(functions) & set(TABLES)


@pytest.mark.parametrize("name", NAMES)
def test_runs_on_empty_tables_with_the_documented_columns(name: str, tmp_path: Path) -> None:
    wanted = report(name)
    required = {p.name: "x" for p in wanted.params if p.required}
    with Session(Files(tmp_path, {}), definitions=definitions()) as session:
        rows = session.sql(wanted.sql, bound(wanted, required))
    assert (rows.num_rows, rows.column_names) == (0, [c.name for c in wanted.columns])


@pytest.mark.parametrize("name", NAMES)
def test_is_in_the_portable_subset(name: str) -> None:
    [tree] = sqlglot.parse(catalogue()[name].sql, read="duckdb")
    assert tree is not None
    [spark] = sqlglot.transpile(catalogue()[name].sql, read="duckdb", write="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)
    sqlglot.parse_one(spark, read="spark")
    for select in tree.find_all(exp.Select):
        assert len([u for u in select.find_all(exp.Unnest, exp.Explode) if u.parent_select is select]) <= 1, (
            "two unnest in one SELECT"
        )
    assert not list(tree.find_all(exp.PercentileCont, exp.PercentileDisc)), "a quantile that engines compute differently"
    assert not [j for j in tree.find_all(exp.Join) if j.args.get("method") == "ASOF"], "an ASOF join"
    read = {t.name for t in tree.find_all(exp.Table)} - {c.alias for c in tree.find_all(exp.CTE)}
    assert read <= set(TABLES)


def test_docs_are_current() -> None:
    path = TESTS.parents[1] / "docs" / "reports.md"
    assert path.read_text() == page() + "\n", "run: python -m chalkmark.reports.docs > docs/reports.md"


def test_an_unknown_report_is_answered_with_the_nearest() -> None:
    with pytest.raises(ChalkmarkError, match="'load/cause'") as raised:
        report("load/cause")
    assert "load/causes" in raised.value.hint


def test_parameters_are_checked() -> None:
    wanted = report("load/causes")
    with pytest.raises(ChalkmarkError, match="needs service"):
        bound(wanted, {})
    with pytest.raises(ChalkmarkError, match="no parameter 'servise'"):
        bound(wanted, {"servise": "x"})
    values = bound(wanted, {"service": "x", "since": "2026-11-01"})
    assert (values["service"], values["operation"], values["since"].isoformat()) == ("x", None, "2026-11-01T00:00:00+00:00")
