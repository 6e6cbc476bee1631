"""`chalkmark doctor`: what works on this machine, what does not, and how to mend it."""

from __future__ import annotations

from pathlib import Path

import click

from chalkmark.cli.options import data_option, output_options, settings


@click.command(short_help="Check what works on this machine, and say how to mend the rest.")
@data_option
@output_options
def command(data: Path | None, format: str, output: Path | None) -> int:
    """Check Python, libraries, the data folder, ports and the compiler's cache.

    Exit code 1 where a check failed; a warning alone is 0.

    \b
    Examples:
      chalkmark doctor
      chalkmark doctor --data /srv/chalkmark --format json
    """
    import pyarrow as pa

    from chalkmark.cli.checks import run_checks
    from chalkmark.cli.output import write

    findings = run_checks(settings(data=data))
    columns = ("check", "state", "found", "mend")
    write(pa.table({c: [getattr(f, c) for f in findings] for c in columns}), format, output)
    return 1 if any(f.state == "fail" for f in findings) else 0
