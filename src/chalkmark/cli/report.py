"""`chalkmark report`: the documented queries, listed, described and run. Options of `run NAME` come from the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chalkmark.cli.options import data_option, output_options, settings


@click.group(short_help="List, describe and run reports.", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Reports answer one question each, by SQL that can be read and copied.

    \b
    Examples:
      chalkmark report
      chalkmark report describe load/causes
      chalkmark report run load/causes --service cart --since 1h
      chalkmark sql "from load_causes(service := 'cart') limit 5"
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_reports)


@command.command("list", short_help="Every report and its question.")
@output_options
def list_reports(format: str = "table", output: Path | None = None) -> None:
    """Every report, the question it answers, and what a row is.

    \b
    Examples:
      chalkmark report list
      chalkmark report list --format json
    """
    import pyarrow as pa

    from chalkmark.cli.output import write
    from chalkmark.reports.catalogue import catalogue

    rows = [{"report": r.name, "question": r.question, "grain": r.grain} for r in catalogue().values()]
    write(pa.Table.from_pylist(rows), format, output)


@command.command("describe", short_help="Parameters, columns and SQL of one report.")
@click.argument("name")
@click.option("--sql", is_flag=True, help="Print the report's SQL and nothing else.")
@output_options
def describe(name: str, sql: bool, format: str, output: Path | None) -> None:
    """What report NAME answers, what it takes, and what its columns mean.

    \b
    Examples:
      chalkmark report describe quality/by_sender
      chalkmark report describe quality/by_sender --sql
    """
    import pyarrow as pa

    from chalkmark.cli.output import write
    from chalkmark.reports.catalogue import report

    wanted = report(name)
    if sql:
        click.echo(wanted.sql, nl=False)
        return
    if format == "table" and output is None:
        click.echo(f"{wanted.name}: {wanted.question}\nGrain: {wanted.grain}.")
        if wanted.note:
            click.echo(wanted.note)
        click.echo()
    rows = [
        {"part": "parameter", "name": p.name, "unit": p.type, "default": _default(p), "meaning": p.doc} for p in wanted.all_params
    ]
    rows += [{"part": "column", "name": c.name, "unit": c.unit, "default": None, "meaning": c.doc} for c in wanted.columns]
    write(pa.Table.from_pylist(rows), format, output)


class _Reports(click.Group):
    """One command a report, made when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from chalkmark.reports.catalogue import catalogue

        return list(catalogue())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        from chalkmark.reports.catalogue import report

        return _runner(report(cmd_name))


@command.group("run", cls=_Reports, short_help="Run one report.")
def run() -> None:
    """Run report NAME; `chalkmark report run NAME --help` lists its parameters.

    \b
    Examples:
      chalkmark report run quality/by_sender --since 1h
      chalkmark report run cost/endpoints --format csv > cost.csv
    """


def _runner(report: Any) -> click.Command:
    """The command that runs one report."""

    def call(data: Path | None, format: str, output: Path | None, **given: str | None) -> None:
        from chalkmark.cli.output import write
        from chalkmark.reports.catalogue import run as run_report
        from chalkmark.tables.lake import Lake
        from chalkmark.tables.session import Session

        chosen = settings(data=data)
        with Session(Lake(chosen.data), threads=chosen.sql_threads, memory=chosen.sql_memory) as session:
            rows = run_report(session, report.name, **{name: value for name, value in given.items() if value is not None})
        write(rows, format, output)

    options = [
        click.Option(
            [f"--{p.name.replace('_', '-')}", p.name],
            required=p.required,
            metavar=p.type.upper(),
            help=p.doc + ("" if p.required or p.default is None or p.type == "time" else f"  [default: {_default(p)}]"),
        )
        for p in report.all_params
    ]
    help_text = f"{report.question}\n\n\b\nOne row: {report.grain.removeprefix('one row ')}.\n\n{report.note}"
    made = click.command(name=report.name, help=help_text, short_help=report.question)(data_option(output_options(call)))
    made.params = [*options, *made.params]
    return made


def _default(parameter: Any) -> str | None:
    return "(required)" if parameter.required else str(parameter.literal().partition("::")[0])
