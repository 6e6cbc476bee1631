"""The reports of this package: found by their files, run by name, and offered to SQL as functions and views."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol

from chalkmark.errors import ChalkmarkError
from chalkmark.reports.parameters import SQL_TYPES
from chalkmark.reports.parse import Report, parse, tokens

if TYPE_CHECKING:
    import pyarrow as pa


class Sql(Protocol):
    """Something that answers SQL over the lake."""

    def sql(self, query: str, params: Mapping[str, Any] | None = None) -> pa.Table: ...


@cache
def catalogue() -> dict[str, Report]:
    """Every report by name (`area/name`), sorted. Raises ChalkmarkError where a file is not well-formed."""
    found = {}
    for area in files("chalkmark.reports").iterdir():
        if area.is_dir():
            for file in area.iterdir():
                if file.name.endswith(".sql"):
                    name = f"{area.name}/{file.name.removesuffix('.sql')}"
                    found[name] = parse(name, file.read_text(encoding="utf-8"))
    return dict(sorted(found.items()))


def report(name: str) -> Report:
    """The report `name`: `area/name`, or `area_name` as SQL says it. Raises ChalkmarkError with the nearest names."""
    for found in catalogue().values():
        if name in (found.name, found.function):
            return found
    nearest = difflib.get_close_matches(name, catalogue(), n=2, cutoff=0.4)
    hint = f"Did you mean {' or '.join(nearest)}?" if nearest else f"Reports are: {', '.join(catalogue())}."
    raise ChalkmarkError(f"There is no report {name!r}.", hint)


def bound(report: Report, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every parameter: those given (texts are converted), else the defaults.

    Raises ChalkmarkError for an unknown or missing parameter, or a value of the wrong type.
    """
    known = {p.name: p for p in report.all_params}
    for name in given:
        if name not in known:
            raise ChalkmarkError(f"Report {report.name} has no parameter {name!r}.", f"It has: {', '.join(known)}.")
    missing = [p.name for p in report.params if p.required and given.get(p.name) is None]
    if missing:
        raise ChalkmarkError(f"Report {report.name} needs {', '.join(missing)}.", known[missing[0]].doc)
    return {p.name: p.value(given[p.name]) if p.name in given else p.default for p in known.values()}


def run(lake: Sql, name: str, **given: Any) -> pa.Table:
    """The rows of report `name`; units of its columns stand in the fields' metadata. Errors as `report` and `bound`."""
    import pyarrow as pa

    wanted = report(name)
    rows = lake.sql(wanted.sql, bound(wanted, given))
    fields = [
        field.with_metadata({"unit": column.unit}) if column.unit else field
        for field, column in zip(rows.schema, wanted.columns, strict=True)
    ]
    return rows.cast(pa.schema(fields))


def definitions() -> dict[str, str]:
    """SQL that makes each report callable: `from load_causes(service := 'cart')`, and `from quality_by_sender`.

    By name in SQL. The statements may be run again; they need the tables that they name.
    """
    return {r.function: definition(r) for r in catalogue().values()}


def definition(report: Report) -> str:
    """The table macro of one report, and a view of the same name where it can do without parameters."""
    types = {p.name: SQL_TYPES[p.type] for p in report.all_params}
    sql, end = "", 0
    for token in tokens(report.sql):
        word = token[0]
        if word.startswith("--"):
            word = ""
        elif word.startswith("$"):
            word = f"{word[1:]}::{types[word[1:]]}"
        sql += report.sql[end : token.start()] + word
        end = token.end()
    heads = [p.name if p.required else f"{p.name} := {p.literal()}" for p in report.all_params]
    statements = f"create or replace macro {report.function}({', '.join(heads)}) as table {sql};"
    if report.has_view:
        statements += f"\ncreate or replace view {report.function} as from {report.function}();"
    return statements
