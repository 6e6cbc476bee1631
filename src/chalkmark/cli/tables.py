"""`chalkmark tables`: what can be queried."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from chalkmark.cli.options import ListingGroup, data_option, output_options, settings
from chalkmark.errors import ChalkmarkError


@click.group(cls=ListingGroup, short_help="List the tables, or describe one.")
def command() -> None:
    """List the tables, or describe one: columns, types, units, meaning.

    \b
    Examples:
      chalkmark tables
      chalkmark tables describe spans
      chalkmark tables describe call_paths --format markdown
    """


@command.command("list", short_help="Every table: what a row is, and how many there are.")
@data_option
@output_options
def list_tables(data: Path | None, format: str, output: Path | None) -> None:
    """Every table: what a row is, how many rows and files there are, and their size.

    \b
    Examples:
      chalkmark tables list
      chalkmark tables list --format json
    """
    import pyarrow as pa

    from chalkmark.cli.output import write
    from chalkmark.tables import TABLES
    from chalkmark.tables.lake import Lake

    lake = Lake(settings(data=data).data)
    plans = {name: lake.plan(name) for name in TABLES}
    schema = pa.schema(
        [
            pa.field("table", pa.string()),
            pa.field("rows", pa.int64(), metadata={"unit": "rows"}),
            pa.field("files", pa.int64(), metadata={"unit": "files"}),
            pa.field("bytes", pa.int64(), metadata={"unit": "bytes"}),
            pa.field("grain", pa.string()),
        ]
    )
    rows = [
        {
            "table": name,
            "rows": sum(f.rows for f in plans[name]),
            "files": len(plans[name]),
            "bytes": sum(f.bytes for f in plans[name]),
            "grain": spec.grain,
        }
        for name, spec in TABLES.items()
    ]
    write(pa.Table.from_pylist(rows, schema), format, output)


@command.command("describe", short_help="The columns of one table.")
@click.argument("name")
@output_options
def describe(name: str, format: str, output: Path | None) -> None:
    """The columns of one table: type, unit, whether they may be null, and meaning.

    \b
    Examples:
      chalkmark tables describe spans
      chalkmark tables describe traces --format json
    """
    from chalkmark.cli.output import write
    from chalkmark.tables import TABLES
    from chalkmark.tables.describe import described

    if name not in TABLES:
        nearest = difflib.get_close_matches(name, TABLES, n=1)
        hint = f"Did you mean {nearest[0]}?" if nearest else f"Tables are: {', '.join(TABLES)}."
        raise ChalkmarkError(f"There is no table {name!r}.", hint)
    if format == "table" and output is None:
        click.echo(f"{name}: {TABLES[name].grain}. {TABLES[name].doc}\n")
    write(described(TABLES[name]), format, output)
