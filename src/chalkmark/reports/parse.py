"""Reads a report: one SQL file whose comments are its documentation.

    -- question: What does it answer?
    -- grain: one row a ...
    -- param service text: what it selects; without a default it has to be given
    -- param limit integer = 100: what it bounds
    -- note: how the numbers come about, where that is not plain
    --   (a line that begins with three blanks goes on with the one before)

    with ... as (...)
    select
        -- [ns] What the column means; the unit, where there is one, stands in brackets.
        sum(x.self_ns) as self_ns,
        ...
    from ...

The last `select` without indentation begins the columns, the next `from` without indentation ends them. Every column
has a comment above it. Names of parameters stand in the SQL as `$name`; a column of the same name is written with its
table (`p.service`), because in a DuckDB macro the bare name means the parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from chalkmark.errors import ChalkmarkError
from chalkmark.reports.parameters import COMMON, SQL_TYPES, Parameter

_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$?\w+|[^\w\s]")
_HEADER = re.compile(r"-- (question|grain|note|param (?P<name>\w+) (?P<type>\w+)(?: = (?P<default>.+?))?): +(?P<text>.+)")
_LITERAL = re.compile(r"null|true|false|-?\d+(\.\d+)?|'(?:[^']|'')*'")
_COLUMN_NAME = re.compile(r"(?:(?:\bas\s+)|(?:^(?:\w+\.)?))(\w+)$")


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """One column of a report's result."""

    name: str
    doc: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One report: what it answers, what it takes, what it gives, and the SQL, comments included."""

    name: str
    question: str
    grain: str
    note: str
    params: tuple[Parameter, ...]
    """Those of the header; `COMMON` come on top."""
    columns: tuple[ReportColumn, ...]
    sql: str

    @property
    def function(self) -> str:
        """Name in SQL: `load/causes` is `load_causes`."""
        return self.name.replace("/", "_")

    @property
    def all_params(self) -> tuple[Parameter, ...]:
        return (*self.params, *COMMON)

    @property
    def has_view(self) -> bool:
        """True where every parameter has a default, so that `from area_name` says enough."""
        return not any(p.required for p in self.params)


def parse(name: str, text: str) -> Report:
    """The report `name` (`area/name`) written as `text`. Raises ChalkmarkError with file, line and reason."""
    return _Parser(name, text).report()


def tokens(sql: str) -> Iterator[re.Match[str]]:
    """Words, signs, quoted texts and comments of SQL."""
    return _TOKEN.finditer(sql)


class _Parser:
    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = text.rstrip().splitlines()

    def fail(self, line: int, message: str, hint: str) -> NoReturn:
        raise ChalkmarkError(f"reports/{self.name}.sql:{line + 1}: {message}", hint)

    def report(self) -> Report:
        said, params, body = self.header()
        for key in ("question", "grain"):
            if key not in said:
                self.fail(0, f"the header has no {key}", f"Add a line `-- {key}: ...` at the top.")
        sql = "\n".join(self.lines[body:]) + "\n"
        self.check_params(sql, params, body)
        columns = self.columns(body)
        return Report(self.name, said["question"], said["grain"], said.get("note", ""), params, columns, sql)

    def header(self) -> tuple[dict[str, str], tuple[Parameter, ...], int]:
        entries: list[tuple[int, str]] = []
        end = next((i for i, line in enumerate(self.lines) if not line.startswith("--")), len(self.lines))
        for i, line in enumerate(self.lines[:end]):
            if line.startswith("--   ") and entries:
                entries[-1] = (entries[-1][0], entries[-1][1] + " " + line[5:].strip())
            elif line.rstrip() != "--":
                entries.append((i, line.rstrip()))
        said: dict[str, str] = {}
        params: list[Parameter] = []
        for i, entry in entries:
            found = _HEADER.fullmatch(entry)
            if not found:
                self.fail(
                    i, f"{entry!r} is no header line", "It has to be question, grain, note or `param NAME TYPE [= DEFAULT]`."
                )
            if found["name"]:
                params.append(self.param(i, found, params))
            elif found[1] in said:
                self.fail(i, f"a second {found[1]}", "Go on with a line that begins with `--   `.")
            else:
                said[found[1]] = found["text"]
        body = next((i for i in range(end, len(self.lines)) if self.lines[i].strip()), end)
        return said, tuple(params), body

    def param(self, line: int, found: re.Match[str], others: list[Parameter]) -> Parameter:
        name, type_, default = found["name"], found["type"], found["default"]
        if type_ not in SQL_TYPES:
            self.fail(line, f"parameter {name} has the unknown type {type_}", f"Types are: {', '.join(SQL_TYPES)}.")
        if name in {p.name for p in (*others, *COMMON)}:
            self.fail(line, f"parameter {name} is declared twice", "`since` and `until` are there without being declared.")
        if default is None:
            return Parameter(name, type_, found["text"], required=True)
        if not _LITERAL.fullmatch(default):
            self.fail(line, f"default {default} of parameter {name} is no literal", "null, true, 10, 0.5 or 'text'.")
        plain = Parameter(name, type_, found["text"])
        try:
            value: Any = None if default == "null" else plain.value(default.strip("'").replace("''", "'"))
        except ChalkmarkError as error:
            self.fail(line, str(error), error.hint)
        return Parameter(name, type_, found["text"], value)

    def check_params(self, sql: str, params: tuple[Parameter, ...], body: int) -> None:
        declared = {p.name for p in (*params, *COMMON)}
        used = set()
        before: str = ""
        for token in tokens(sql):
            word, line = token[0], body + sql.count("\n", 0, token.start())
            if word.startswith("$"):
                used.add(word[1:])
                if word[1:] not in declared:
                    self.fail(line, f"{word} is not declared", f"Add `-- param {word[1:]} TYPE = DEFAULT: meaning`.")
            elif word in declared and before not in (".", "as"):
                self.fail(line, f"{word} is a parameter and a column", f"Write the column with its table (`t.{word}`).")
            if not word.startswith("--"):
                before = word.lower()
        for name in sorted(declared - used):
            self.fail(0, f"parameter {name} is not used", "Every report filters on $since and $until, and on what it declares.")

    def columns(self, body: int) -> tuple[ReportColumn, ...]:
        starts = [i for i in range(body, len(self.lines)) if self.lines[i].rstrip() == "select"]
        if not starts:
            self.fail(body, "there is no `select` on a line of its own", "The last one, without indentation, begins the columns.")
        ends = (i for i in range(starts[-1], len(self.lines)) if re.match(r"from\b", self.lines[i]))
        end = next(ends, len(self.lines))
        columns: list[ReportColumn] = []
        doc: list[str] = []
        code: list[str] = []
        for i in range(starts[-1] + 1, end):
            line = self.lines[i].strip()
            if line.startswith("--"):
                if code:
                    self.fail(
                        i, "a comment in the middle of a column", "The column above lacks its comma, or move the comment up."
                    )
                doc.append(line[2:].strip())
            elif line:
                code.append(line)
                if (line.endswith(",") and _depth(code) == 0) or i == end - 1:
                    columns.append(self.column(i, doc, " ".join(code)))
                    doc, code = [], []
        if code:
            columns.append(self.column(end - 1, doc, " ".join(code)))
        return tuple(columns)

    def column(self, line: int, doc: list[str], code: str) -> ReportColumn:
        code = code.rstrip(",")
        name = _COLUMN_NAME.search(code)
        if not name:
            self.fail(line, f"column {code!r} has no name", "End it with `as name`.")
        if not doc:
            self.fail(line, f"column {name[1]} has no comment", "Say above it what it means: `-- [unit] Meaning.`")
        if any(_depth([code[:i]]) == 0 for i, sign in enumerate(code) if sign == ","):
            self.fail(line, f"column {name[1]} shares its line with another", "One column a line, each with its comment.")
        unit, text = re.fullmatch(r"(?:\[([^\]]+)\] +)?(.+)", " ".join(doc)).groups()  # type: ignore[union-attr]
        return ReportColumn(name[1], text, unit or "")


def _depth(code: list[str]) -> int:
    """How many brackets are open at the end of the code."""
    signs = [t[0] for t in tokens(" ".join(code))]
    return sum(s in "([{" for s in signs) - sum(s in ")]}" for s in signs)
