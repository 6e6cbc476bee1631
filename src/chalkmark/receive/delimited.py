"""Tables of spans in files: CSV, Parquet and Arrow, in batches of bounded size."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from chalkmark.errors import ChalkmarkError
from chalkmark.receive import columns
from chalkmark.receive.mapping import Mapping
from chalkmark.receive.rows import Rejections, shown
from chalkmark.tables.landing import Received
from chalkmark.tables.quality import Reason

Choose: TypeAlias = Callable[[Sequence[str], dict[str, str]], Mapping]
"""Picks the mapping, given the names of the columns and the first row."""

BATCH_ROWS = 100_000
CSV_BLOCK_BYTES = 16 << 20
"""CSV is parsed in blocks of this size: some 100,000 rows."""
_READ_BYTES = 1 << 20
_DELIMITERS = ",;\t"


def delimiter(line: str) -> str:
    """The delimiter of a header line: the most frequent of comma, semicolon and tab; empty where there is none."""
    found = max(_DELIMITERS, key=line.count)
    return found if found in line else ""


def read_csv(stream: IO[bytes], header: str, choose: Choose, source: str, received_ns: int) -> Iterator[Received]:
    """Batches of a CSV file whose first line is `header`.

    Rows with too many or too few fields are rejected alone. Raises ChalkmarkError where the file breaks off.
    """
    broken: list[str] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        broken.append(f"line {row.number} has {row.actual_columns} fields, not {row.expected_columns}: {shown(row.text)}")
        return "skip"

    separator = delimiter(header) or ","
    names = next(csv.reader([header], delimiter=separator), [])
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=skip)
    # Everything is read as text: a guess at types takes leading zeros from identifiers, and 1e10 for a number.
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    read = pa.csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False)
    try:
        with pa.csv.open_csv(
            io.BufferedReader(_Repaired(stream), _READ_BYTES), read_options=read, parse_options=parse, convert_options=convert
        ) as batches:
            yield from _received(batches, choose, source, received_ns, broken)
    except (pa.ArrowInvalid, OSError) as error:
        raise ChalkmarkError(f"not CSV, or cut off: {error}") from error


class _Repaired(io.RawIOBase):
    """A stream of text in which U+FFFD stands for every byte that is not UTF-8."""

    # Arrow can leave broken texts alone, but not hand over broken rows that hold such.

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._stream.read(_READ_BYTES)
            self._ready = memoryview(self._decoder.decode(block, final=not block).encode())
            if not block:
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def read_parquet(path: Path, choose: Choose, source: str, received_ns: int) -> Iterator[Received]:
    """Batches of a Parquet file. Raises ChalkmarkError where it is broken."""
    try:
        with pa.parquet.ParquetFile(path) as file:
            yield from _received(file.iter_batches(BATCH_ROWS), choose, source, received_ns)
    except (pa.ArrowException, OSError) as error:
        raise ChalkmarkError(f"not Parquet, or cut off: {error}") from error


def read_arrow(path: Path, choose: Choose, source: str, received_ns: int) -> Iterator[Received]:
    """Batches of an Arrow file, of the file or the streaming format. Raises ChalkmarkError where it is broken."""
    try:
        with pa.memory_map(str(path)) as file:
            batches: Iterable[pa.RecordBatch]
            if file.read(6) == b"ARROW1":
                reader = pa.ipc.open_file(file)
                batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
            else:
                file.seek(0)
                batches = pa.ipc.open_stream(file)
            yield from _received(batches, choose, source, received_ns)
    except (pa.ArrowException, OSError) as error:
        raise ChalkmarkError(f"not an Arrow file, or cut off: {error}") from error


def _received(
    batches: Iterable[pa.RecordBatch], choose: Choose, source: str, received_ns: int, broken: list[str] | None = None
) -> Iterator[Received]:
    """Decodes batch by batch; `broken` collects the rows that the reader skips meanwhile."""
    mapping = None
    rejections = Rejections(source, received_ns)
    for whole in batches:
        for begin in range(0, whole.num_rows, BATCH_ROWS):
            batch = whole.slice(begin, BATCH_ROWS)
            if mapping is None:
                mapping = choose(batch.schema.names, _first_row(batch))
            spans = columns.decode(batch, mapping, rejections, source, received_ns)
            _count(rejections, broken)
            yield Received(spans, rejections.finish())
            rejections = Rejections(source, received_ns)
    if broken:
        _count(rejections, broken)
        yield Received(Received.nothing().spans, rejections.finish())


def _first_row(batch: pa.RecordBatch) -> dict[str, str]:
    return {name: str(column[0].as_py()) for name, column in zip(batch.schema.names, batch.columns, strict=True)}


def _count(rejections: Rejections, broken: list[str] | None) -> None:
    if broken:
        rejections.add("", "", Reason.SPAN_UNDECODABLE, broken[0], len(broken))
        broken.clear()
