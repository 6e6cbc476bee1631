"""Documentation is tested: what exists is described, and what is described exists."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest

import chalkmark
from chalkmark.cli import reference
from chalkmark.cli.main import VERBS
from chalkmark.tables import TABLES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", reference.PAGES)
def test_generated_pages_are_current(page: str) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == reference.PAGES[page](), "run `make docs`"


def test_every_table_and_column_is_described() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", (DOCS / "tables.md").read_text(), re.MULTILINE | re.DOTALL))
    for name, spec in TABLES.items():
        for column in (*spec.columns, *spec.view_columns):
            assert f"| `{column.name}` |" in sections[name]


def test_every_command_and_option_is_described() -> None:
    page = (DOCS / "cli.md").read_text()
    for name in VERBS:
        command = import_module(VERBS[name][0]).command
        section = page.partition(f"## chalkmark {name}\n")[2].partition("\n## chalkmark ")[0]
        assert section, name
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[0] in section, (name, option.name)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[<>=]", d)[0] for d in project["dependencies"]}
    reasons = re.findall(r"^\| ([\w-]+) \|", (DOCS / "dependencies.md").read_text(), re.MULTILINE)
    assert set(reasons) - {"library"} == names


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", re.sub(r"`[^`]+`", "", page.read_text(encoding="utf-8"))):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        assert set(re.findall(r"`?make ([a-z]+)`?  #|`make ([a-z]+)`", page.read_text())) <= {
            pair for t in targets for pair in ((t, ""), ("", t))
        }, page


def test_every_command_that_is_mentioned_exists() -> None:
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        code = " ".join(re.findall(r"```(?:sh)?\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text))
        for verb in re.findall(r"(?:^|\s)chalkmark ([a-z]+)\b", code):
            assert verb in VERBS, (page, verb)


def _queries() -> list[str]:
    pages = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    return [q for p in pages for q in re.findall(r'chalkmark sql "([^"]+)"', p.read_text(encoding="utf-8"))]


def test_every_query_that_is_shown_runs(tmp_path: Path) -> None:
    queries = _queries()
    assert len(queries) >= 3
    with chalkmark.open(tmp_path) as chalk:
        for query in queries:
            chalk.sql(query)
