"""`chalkmark deps`: who calls a service, and whom it calls, how often per call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chalkmark.cli.options import data_option, output_options, settings
from chalkmark.errors import ChalkmarkError

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console, RenderableType

    from chalkmark.models.dependencies import Dependencies

PICTURED = 6
"""Callers and callees in the picture: more make it higher than it is wide."""


@click.command(short_help="Who calls a service, and whom it calls, how often per call.")
@click.argument("focus", metavar="SERVICE[:OPERATION]")
@click.option("--root", metavar="ENDPOINT", help="Only what requests of this root endpoint do: SERVICE or SERVICE:OPERATION.")
@click.option("--since", metavar="TIME", help="From this hour on: an age (15m, 1h, 7d) or ISO 8601.")
@click.option("--until", metavar="TIME", help="Up to this time, itself excluded: an age or ISO 8601.")
@click.option("--roots", "shown", flag_value="roots", help="Show the root endpoints that lead here.")
@click.option("--paths", "shown", flag_value="paths", help="Show the call paths, with the amplification along each.")
@click.option("--operations", "shown", flag_value="operations", help="Show the operations of the service.")
@click.option("--limit", default=20, show_default=True, metavar="N", help="Rows of each kind, the most calls first; 0 for all.")
@data_option
@output_options
def command(
    focus: str,
    root: str | None,
    since: str | None,
    until: str | None,
    shown: str | None,
    limit: int,
    data: Path | None,
    format: str,
    output: Path | None,
) -> None:
    """Direct and indirect callers and callees of a service or one of its operations: calls, share, errors, latency and
    load amplification.

    For a callee, amplification is how many calls of it one call of SERVICE causes; for a caller, how many calls of
    SERVICE one call of it causes. What calls SERVICE makes of itself is counted once, under the outermost call.

    \b
    Examples:
      chalkmark deps cart
      chalkmark deps "cart:POST /items" --root "web:GET /checkout" --since 1h
      chalkmark deps cart --paths --format csv > paths.csv
    """
    from chalkmark.cli.output import write
    from chalkmark.models.dependency_query import BEGINNING, END, find_dependencies
    from chalkmark.tables.lake import Lake

    lake = Lake(settings(data=data).data)
    hours = {"since": _time("since", since, BEGINNING), "until": _time("until", until, END)}
    found = find_dependencies(lake, focus, root, **hours, limit=limit or None)
    tables = {None: found.neighbours, "roots": found.roots, "paths": found.call_paths, "operations": found.operations}
    if format != "table" or output is not None:
        write(tables[shown], format, output)
        return
    from rich.console import Console

    # Without a terminal nothing is cut: the reader is a file or a program such as `less -S`.
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=1 << 10)
    _headline(console, found)
    if shown is not None:
        write(tables[shown], "table")
        return
    console.print(_picture(found), "")
    for title, callers in (("Callers", True), ("Callees", False)):
        console.print(_neighbours(title, found, callers), "")


def _time(name: str, text: str | None, default: datetime) -> datetime:
    from chalkmark.reports.parameters import parse_time

    try:
        return default if text is None else parse_time(text)
    except ValueError:
        raise ChalkmarkError(f"--{name} {text!r} is no time.", "For example: 1h, 7d, 2026-11-01T12:00") from None


def _headline(console: Console, found: Dependencies) -> None:
    from rich.text import Text

    least, most = (
        _percent(n / found.requests) if found.requests else "0 %" for n in (found.requests_at_least, found.requests_at_most)
    )
    depth = (
        str(found.least_depth) if found.least_depth == found.greatest_depth else f"{found.least_depth} to {found.greatest_depth}"
    )
    recursive = f", {found.calls - found.entries:,} of them beneath another one" if found.calls > found.entries else ""
    console.print(Text(found.focus, style="bold"), end="")
    console.print(
        f": {found.calls:,} calls{recursive}; p50 {duration(found.p50_ns)}, p99 {duration(found.p99_ns)}, "
        f"{found.errors:,} failed\n"
        f"reached by {least if least == most else f'{least} to {most}'} of {found.requests:,} requests, "
        f"along {found.paths:,} call paths, {depth} calls below their roots\n"
        f"each call causes {_number(found.calls_beneath / found.entries) if found.entries else 0} more\n"
    )


def _picture(found: Dependencies) -> RenderableType:
    """Callers, the focus, callees, from left to right."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    rows = found.neighbours.to_pylist()
    callers = [r for r in rows if r["relation"] in ("entry", "unknown caller", "caller")]
    callees = [r for r in rows if r["relation"] == "callee"]
    left = [f"{_name(r)}  {_percent(r['share'], 0)} ──▶" for r in callers[:PICTURED]]
    right = [f"── ×{_number(r['amplification'])} ──▶ {_name(r)}" for r in callees[:PICTURED]]
    left += [f"and {len(callers) - PICTURED} more"] if len(callers) > PICTURED else []
    right += [f"and {len(callees) - PICTURED} more"] if len(callees) > PICTURED else []
    indirect = sum(r["relation"] == "indirect callee" for r in rows)
    right += [f"┄┄ {indirect} indirect ┄┄▶"] if indirect else []
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", vertical="middle")
    grid.add_column(vertical="middle")
    grid.add_column(vertical="middle")
    grid.add_row(Text("\n".join(left)), Panel.fit(Text(found.focus, style="bold"), padding=(0, 1)), Text("\n".join(right)))
    return grid


def _neighbours(title: str, found: Dependencies, callers: bool) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    rows = [r for r in found.neighbours.to_pylist() if r["relation"].endswith("callee") != callers]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, overflow="fold")
    for heading in ("hops", "calls", "share", "×", "errors", "p50", "p99", "paths"):
        table.add_column(heading, justify="right", no_wrap=True)
    for r in rows:
        table.add_row(
            Text(_name(r), style="" if r["hops"] == 1 else "dim"),
            f"{r['hops']}",
            f"{r['calls']:,}",
            _percent(r["share"]),
            _number(r["amplification"]),
            _errors(r),
            duration(r["p50_ns"]),
            duration(r["p99_ns"]),
            f"{r['paths']:,}",
        )
    return table if rows else Text(f"{title}: none", style="dim")


def _name(row: dict[str, Any]) -> str:
    names = {"entry": "(requests begin here)", "unknown caller": "(caller never arrived)"}
    return names.get(row["relation"]) or f"{row['service']}:{row['operation']}"


def _number(value: float | None) -> str:
    """Four digits, without an exponent for what is called once in a million."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}" if value >= 1e-4 or not value else f"{value:.7f}"


def _percent(ratio: float, digits: int = 1) -> str:
    return f"{100 * ratio:.{digits}f} %"


def _errors(row: dict[str, Any]) -> str:
    """A percentage, or the number where that rounds to nothing."""
    part, whole = row["errors"], row["calls"]
    return "" if not part else _percent(part / whole, 2) if part / whole >= 1e-4 else f"{part:,}"


def duration(ns: int | None) -> str:
    """Nanoseconds as people read them, three digits."""
    if ns is None:
        return ""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns} ns"
