"""`chalkmark import`: files of spans into the tables."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chalkmark.cli.options import data_option, output_options, settings
from chalkmark.errors import ChalkmarkError, OverloadedError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from chalkmark.receive.delimited import Choose
    from chalkmark.receive.files import SpanFile
    from chalkmark.tables.landing import Received

FORMATS = ("otlp-json", "otlp-proto", "otlp-stream", "zipkin", "jaeger", "csv", "parquet", "arrow")
"""Values of `receive.files.Format`, listed here so that help does not load Arrow."""
_IN_FLIGHT = 64  # batches that wait for the disk while the next ones are read


@click.command(short_help="Read trace files into the tables.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--map", "columns", metavar="FIELD=COLUMN,...", help="CSV, Parquet, Arrow: which column is which field of a span.")
@click.option("--preset", metavar="NAME", help="A mapping by name, instead of --map: onlineboutique.")
@click.option("--extra/--no-extra", default=True, help="Columns that --map does not name become attributes.  [default: extra]")
@click.option("--input-format", type=click.Choice(FORMATS), help="Do not tell the format by the content.")
@click.option("--curate/--no-curate", default=True, help="Make tables of what was read.  [default: curate]")
@data_option
@output_options
def command(
    paths: tuple[Path, ...],
    columns: str | None,
    preset: str | None,
    extra: bool,
    input_format: str | None,
    curate: bool,
    data: Path | None,
    format: str,
    output: Path | None,
) -> int:
    """Read files and folders of traces: OTLP (JSON, JSON lines, protobuf), Zipkin v2, Jaeger, CSV, Parquet, Arrow.

    The format is told by the content; files may be packed with gzip or Zstandard. What is broken is counted and the
    rest is kept. Exit code 1: something was rejected; 2: nothing could be read.

    Fields for --map: trace_id, span_id, parent_span_id, service, pod, operation, kind, status, status_message, host,
    instance, zone, attributes.NAME, and start, end and duration with a unit: start_ns, start_us, start_ms, start_s,
    start_iso.

    \b
    Examples:
      chalkmark import traces/ spans.json.gz
      chalkmark import --map trace_id=TraceID,span_id=SpanID,start_us=Start,duration_us=Took spans.csv
      chalkmark import --preset onlineboutique trace/
    """
    import pyarrow as pa

    from chalkmark.cli.output import write
    from chalkmark.cli.progress import progress_bar
    from chalkmark.receive.files import Format, SpanFile, find

    if columns and preset:
        raise click.UsageError("--map and --preset are two ways to say the same; use one.")
    choose = chooser(columns, preset, extra)
    folder = settings(data=data).data
    chosen = Format(input_format) if input_format else None
    received_ns = time.time_ns()
    files = [SpanFile(path, received_ns, choose, chosen) for path in find(paths)]
    with progress_bar() as progress:
        with Landing(folder, progress) as landing:
            results = []
            for done, file in enumerate(files):
                progress("files", done, len(files))
                results.append(read_file(file, landing.submit))
            progress("files", len(files), len(files))
        if curate:
            curate_all(folder, progress)
    write(pa.Table.from_pylist(results), format, output)
    if not any(r["spans"] for r in results):
        return 2
    return 1 if any(r["rejected"] for r in results) else 0


def chooser(columns: str | None, preset: str | None, extra: bool) -> Choose:
    """How the mapping of a table is found: as the user said, or by its column names, and then the user is told."""
    from chalkmark.receive import mapping

    told: set[str] = set()
    said = mapping.preset(preset) if preset else mapping.parse(columns, extra=extra) if columns else None

    def choose(names: Sequence[str], first: dict[str, str]) -> mapping.Mapping:
        if said is not None:
            said.check(names)
            return said
        guessed = mapping.guess(names, first, extra=extra)
        if str(guessed) not in told:
            told.add(str(guessed))
            click.echo(f"chalkmark: assumed --map {guessed}", err=True)
        return guessed

    return choose


class Landing:
    """Hands batches to the landing folder, several at a time; makes room by curating where it is full."""

    def __init__(self, folder: Path, progress: Callable[[str, int, int], None]) -> None:
        from chalkmark.tables.landing_store import LandingWriter

        self._folder = folder
        self._progress = progress
        self._writer = LandingWriter(folder)
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Landing:
        return self

    def __exit__(self, *raised: object) -> None:
        self._writer.close()
        self._settle(0)

    def submit(self, received: Received) -> None:
        """Queue a batch. Raises ChalkmarkError where it, or one before it, cannot be stored."""
        self._settle(_IN_FLIGHT)
        try:
            self._waiting.append(self._writer.submit(received))
        except OverloadedError:
            self._settle(0)
            try:
                self._waiting.append(self._writer.submit(received))
            except OverloadedError:
                curate_all(self._folder, self._progress)
                self._waiting.append(self._writer.submit(received))

    def _settle(self, left: int) -> None:
        while len(self._waiting) > left:
            try:
                self._waiting.popleft().result()
            except OSError as error:
                raise ChalkmarkError(f"{self._folder}: what was read cannot be written: {error}") from error


def read_file(file: SpanFile, submit: Callable[[Received], None]) -> dict[str, Any]:
    """Read one file into the landing folder; what became of it, as a row of the summary."""
    spans, rejected, first = 0, 0, ""
    batches = file.batches()
    while True:
        try:
            received = next(batches, None)
        except ChalkmarkError as error:
            received = file.refused(error)
            first = first or f"{error}. {error.hint}".rstrip(". ") + "."
        if received is None:
            break
        submit(received)
        spans += received.spans.num_rows
        rejected += received.rejected
        for row in received.rejections.to_pylist():
            first = first or f"{row['reason']}: {row['example']}"
    return {
        "file": str(file.path),
        "format": str(file.format) if file.format else "unknown",
        "spans": spans,
        "rejected": rejected,
        "first_reason": first,
    }


def curate_all(folder: Path, progress: Callable[[str, int, int], None]) -> None:
    """Make tables of everything in the landing folder."""
    from chalkmark.engine.run_once import run_once

    run_once(folder, progress=progress)
