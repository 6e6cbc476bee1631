"""`chalkmark maintain`: keep the lake small and quick."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from chalkmark.cli.options import data_option, output_options, settings


@click.command(short_help="Compact files, drop what is past its retention, remove orphans.")
@click.option("--retention-days", type=int, help="Keep spans, traces, edges and annotations for this long; 0 for ever.")
@click.option("--retention-paths-days", type=int, help="Keep call paths for this long; 0 for ever.")
@click.option(
    "--grace", type=float, metavar="SECONDS", help="Keep replaced files for this long, for queries under way.  [default: 600]"
)
@data_option
@output_options
def command(
    retention_days: int | None,
    retention_paths_days: int | None,
    grace: float | None,
    data: Path | None,
    format: str,
    output: Path | None,
) -> None:
    """Merge small files, settle clock offsets, delete what is past its retention, and remove files nobody needs.

    `chalkmark up` does this by itself; run it where Chalkmark only imports.

    \b
    Examples:
      chalkmark maintain
      chalkmark maintain --retention-days 7 --grace 0
    """
    import pyarrow as pa

    from chalkmark.cli.output import write
    from chalkmark.cli.progress import progress_bar
    from chalkmark.engine.curator import Curator
    from chalkmark.engine.maintenance import GRACE_S, maintain

    chosen = settings(data=data, retention_days=retention_days, retention_paths_days=retention_paths_days)
    with progress_bar() as progress, Curator(chosen.data) as curator:
        done = maintain(
            curator,
            retention_days=chosen.retention_days,
            retention_paths_days=chosen.retention_paths_days,
            grace_s=GRACE_S if grace is None else grace,
            progress=progress,
        )
    write(pa.Table.from_pylist([asdict(done)]), format, output)
