"""`docs/reports.md`, made of the reports themselves: `python -m chalkmark.reports.docs > docs/reports.md`."""

from __future__ import annotations

from chalkmark.reports.catalogue import catalogue
from chalkmark.reports.parameters import COMMON, Parameter
from chalkmark.reports.parse import Report

_HEAD = """# Reports

Each is one SQL file in `src/chalkmark/reports/<area>/<name>.sql`; this page is made of their comments. Run one by
`chalkmark report run AREA/NAME`, in SQL by `from area_name(parameter := value)`, where every parameter has a default
also by `from area_name`, and in Python by `chalkmark.open().reports["area/name"](parameter=value)`.

Every report takes {common}.
"""


def page() -> str:
    """The whole page as Markdown."""
    common = " and ".join(f"`{p.name}` ({p.type})" for p in COMMON)
    contents = "\n".join(f"- [{r.name}](#{r.name.replace('/', '')}): {r.question}" for r in catalogue().values())
    return "\n".join([_HEAD.format(common=common), contents, *map(_section, catalogue().values())])


def _section(report: Report) -> str:
    lines = [f"\n## {report.name}\n", f"**{report.question}**\n", f"Grain: {report.grain}.\n"]
    if report.note:
        lines.append(f"{report.note}\n")
    if report.params:
        lines += ["| parameter | type | default | meaning |", "| --- | --- | --- | --- |", *map(_parameter, report.params), ""]
    lines += ["| column | unit | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{c.name}` | {c.unit} | {_cell(c.doc)} |" for c in report.columns]
    return "\n".join(lines) + f"\n\n<details><summary>SQL</summary>\n\n```sql\n{report.sql}```\n\n</details>"


def _parameter(parameter: Parameter) -> str:
    default = "required" if parameter.required else parameter.literal().partition("::")[0]
    return f"| `{parameter.name}` | {parameter.type} | {default} | {_cell(parameter.doc)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page())
