"""`chalkmark sql`: one query over the tables."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chalkmark.cli.options import data_option, output_options, settings
from chalkmark.errors import ChalkmarkError


@click.command(short_help="Run one SQL query over the tables.")
@click.argument("query")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Value of $NAME in the query; repeatable.")
@click.option("--files", is_flag=True, help="Let the query read other files too, as in read_parquet('other.parquet').")
@data_option
@output_options
def command(query: str, params: tuple[str, ...], files: bool, data: Path | None, format: str, output: Path | None) -> None:
    """Run one SELECT (DuckDB's SQL) and show the result. `-` reads the query from stdin.

    Nothing can be changed by it. `chalkmark tables` lists the tables and their columns. Beside DuckDB's functions there
    are h2_quantile(latency_buckets, latency_counts, 0.99), h2_merge(list(h2(latency_buckets, latency_counts))) and
    utc(start_ns); reports are functions, too: from load_causes(service := 'cart').

    \b
    Examples:
      chalkmark sql "select service, count(*) from spans group by all order by 2 desc"
      chalkmark sql --format csv "select hex(trace_id), duration_ns from traces" > traces.csv
      chalkmark sql -p svc=cart 'select operation, max(duration_ns) from spans where service = $svc group by all'
      chalkmark sql --files "select * from spans join read_csv('owners.csv') using (service)"
    """
    from chalkmark.cli.output import write
    from chalkmark.reports.catalogue import definitions
    from chalkmark.tables.lake import Lake
    from chalkmark.tables.session import Session, named_tables

    if query == "-":
        query = sys.stdin.read()
    chosen = settings(data=data)
    lake = Lake(chosen.data)
    reports = definitions()
    with Session(lake, threads=chosen.sql_threads, memory=chosen.sql_memory, read_files=files, definitions=reports) as session:
        result = session.sql(query, dict(map(_parameter, params)) or None)
    write(result, format, output)
    empty = [name for name in named_tables(query) if not lake.files(name)]
    if empty and not result.num_rows:
        click.echo(
            f"chalkmark: {', '.join(empty)} in {chosen.data} is empty.\n  Fill it with `chalkmark import` or `chalkmark up`.",
            err=True,
        )


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ChalkmarkError(f"--param {text!r} is not of the form NAME=VALUE.", "For example: -p service=cart")
    return name, value
