"""`chalkmark curate`: make tables of everything that was received."""

from __future__ import annotations

from pathlib import Path

import click

from chalkmark.cli.options import data_option, output_options, settings


@click.command(short_help="Make tables of everything that was received.")
@click.option(
    "--settle/--no-settle", default=True, show_default=True, help="Apply what all traces of an hour say about its clocks."
)
@data_option
@output_options
def command(settle: bool, data: Path | None, format: str, output: Path | None) -> None:
    """Curate all received spans now, without waiting for their traces to fall quiet.

    While `chalkmark up` runs on the same folder it curates by itself; this then waits until it has caught up. Running it
    twice changes nothing.

    \b
    Examples:
      chalkmark curate
      chalkmark curate --format json --data /srv/chalkmark
    """
    import pyarrow as pa

    from chalkmark.cli.output import write
    from chalkmark.cli.progress import progress_bar
    from chalkmark.engine.run_once import run_once

    with progress_bar() as progress:
        done = run_once(settings(data=data).data, settle=settle, progress=progress)
    write(pa.table({"spans": [done.spans], "traces": [done.traces], "settled_parts": [done.settled_parts]}), format, output)
