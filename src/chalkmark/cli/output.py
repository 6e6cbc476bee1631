"""How results are shown: one Arrow table, seven formats.

`table` is for eyes: it fits the terminal and says what it left out. All others are whole and exact. In text formats
identifiers and other bytes are hexadecimal, times are ISO 8601 in UTC, maps are objects. JSON has no NaN and no
infinity: they are null there, and `NaN`, `Infinity`, `-Infinity` in CSV.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, Literal, TextIO

import orjson
import pyarrow as pa

from chalkmark.errors import ChalkmarkError

BINARY = ("parquet", "arrow")
TABLE_ROWS = 1_000
"""Rows that `table` shows: it lays out all rows before it writes the first, and nobody reads more."""
_LONGEST_WORD = 32
"""A trace identifier is not folded; longer words are."""
_BATCH = 10_000
_CSV_SPECIAL = re.compile('[",\\r\\n]')


def write(table: pa.Table, format: str, path: Path | None = None) -> None:
    """Render to `path`, or to stdout. A file appears whole or not at all."""
    if path is None:
        render(table, format)
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            render(table, format, out)
        part.replace(path)
    except OSError as error:
        raise ChalkmarkError(f"Cannot write {path}: {error.strerror}.", "Choose another file with -o.") from error
    finally:
        part.unlink(missing_ok=True)


def render(table: pa.Table, format: str, out: TextIO | None = None) -> None:
    """Write the table to `out` (stdout) in one of `cli.options.FORMATS`.

    Raises ChalkmarkError for a binary format on a terminal.
    """
    out = sys.stdout if out is None else out
    if format in BINARY:
        if out.isatty():
            raise ChalkmarkError(
                f"Format {format} is binary and stdout is a terminal.",
                f"Use -o FILE.{format}, or send stdout to a file or program.",
            )
        out.flush()
        _BINARY_WRITERS[format](table, out.buffer)
    else:
        _TEXT_WRITERS[format](table, out)


def plain(value: Any) -> Any:
    """An Arrow value as JSON can hold it; NaN and infinities stay floats."""
    match value:
        case None | bool() | int() | str() | float():
            return value
        case bytes():
            return value.hex()
        case datetime():
            if value.tzinfo is None:
                return value.isoformat()
            return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        case date() | time():
            return value.isoformat()
        case dict():
            return {str(k): plain(v) for k, v in value.items()}
        case list():
            return [plain(v) for v in value]
    return str(value)


def _rows(table: pa.Table) -> Iterator[list[Any]]:
    """The rows as lists of plain values. By position: a result may have two columns of one name."""
    for batch in table.to_batches(max_chunksize=_BATCH):
        columns = [_column(column) for column in batch.columns]
        yield from map(list, zip(*columns, strict=True)) if columns else ()


def _column(column: pa.Array) -> list[Any]:
    type_ = column.type
    if pa.types.is_timestamp(type_) and type_.unit == "ns":  # Python's datetime ends at microseconds
        naive = column.cast(pa.timestamp("ns"))
        return [
            None if v is None else v.replace(" ", "T") + ("Z" if type_.tz else "") for v in naive.cast(pa.string()).to_pylist()
        ]
    if pa.types.is_map(type_):
        return [None if v is None else {str(plain(k)): plain(x) for k, x in v} for v in column.to_pylist()]
    if pa.types.is_decimal(type_):
        return [None if v is None else int(v) if type_.scale == 0 else float(v) for v in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    if pa.types.is_integer(type_) or pa.types.is_string(type_) or pa.types.is_boolean(type_) or pa.types.is_floating(type_):
        return values
    return [plain(v) for v in values]


def _names(table: pa.Table) -> list[str]:
    """Column names, each once: JSON objects cannot hold two members of one name."""
    names: list[str] = []
    for name in table.column_names:
        twin, n = name, 1
        while twin in names:
            n += 1
            twin = f"{name}_{n}"
        names.append(twin)
    return names


def _dumps(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a whole number of more than 64 bits
        import json

        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {k: _finite(v) for k, v in value.items()}
        case list():
            return [_finite(v) for v in value]
    return value


def _json(table: pa.Table, out: TextIO) -> None:
    names = _names(table)
    opening = "["
    for row in _rows(table):
        out.write(f"{opening}\n{_dumps(dict(zip(names, row, strict=True)))}")
        opening = ","
    out.write("[]\n" if opening == "[" else "\n]\n")


def _jsonl(table: pa.Table, out: TextIO) -> None:
    names = _names(table)
    for row in _rows(table):
        out.write(_dumps(dict(zip(names, row, strict=True))) + "\n")


def _cell(value: Any) -> str:
    """One value as text: JSON where it is nested, empty where it is null."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case list() | dict():
            return _dumps(value)
    return str(value)


def _csv(table: pa.Table, out: TextIO) -> None:
    out.write(_csv_line(table.column_names))
    for row in _rows(table):
        out.write(_csv_line([_cell(v) for v in row]))


def _csv_line(cells: list[str]) -> str:
    # RFC 4180. Python's writer leaves a lone carriage return unquoted, which ends a line for others.
    if cells == [""]:
        return '""\n'  # else an empty line, which is no row
    return ",".join('"' + c.replace('"', '""') + '"' if _CSV_SPECIAL.search(c) else c for c in cells) + "\n"


def _markdown(table: pa.Table, out: TextIO) -> None:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(c.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for c in cells) + " |\n"

    out.write(line([_heading(f) for f in table.schema]))
    out.write("|" + "|".join(" ---: " if _is_number(f.type) else " --- " for f in table.schema) + "|\n")
    for row in _rows(table):
        out.write(line([_cell(v) for v in row]))


def _heading(field: pa.Field) -> str:
    """`duration_ns` of unit ns reads `duration (ns)`; without a unit the name stands as it is, to be typed again."""
    unit = _unit(field)
    if not unit:
        return str(field.name)
    words = field.name.removesuffix(f"_{unit}").replace("_", " ")
    return words if words == unit else f"{words} ({unit})"


def _unit(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"unit", b"").decode())


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def _shown(value: Any, counted: bool) -> str:
    """As `_cell`, for eyes: thousands are set apart in quantities (not in identifiers), fractions have four digits."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.1f}"
    if counted and isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _cell(value)


def _table(table: pa.Table, out: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Without a terminal nothing is cut: the reader is a file or a program such as `less -S`.
    console = Console(file=out, width=None if out.isatty() else 1 << 20, highlight=False)
    counted = [bool(_unit(f)) for f in table.schema]
    rows = [[_shown(v, c) for v, c in zip(row, counted, strict=True)] for row in _rows(table.slice(0, TABLE_ROWS))]
    headings = [_heading(f) for f in table.schema]
    right = [_is_number(f.type) for f in table.schema]
    # Texts may be folded between words, so a column needs as much as its longest word; numbers stay in one piece.
    least = [max(_least(t, whole=right[i]) for t in (h, *(r[i] for r in rows))) for i, h in enumerate(headings)]
    kept = _fitting(least, console.width)
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for i in kept:
        justify: Literal["right", "left"] = "right" if right[i] else "left"
        shown.add_column(Text(headings[i]), justify=justify, no_wrap=right[i], overflow="fold", min_width=least[i])
    for row in rows:
        shown.add_row(*(Text(row[i]) for i in kept))
    console.print(shown)
    left_out = []
    if table.num_rows > len(rows):
        left_out.append(f"{len(rows):,} of {table.num_rows:,} rows")
    if len(kept) < len(headings):
        left_out.append(f"{len(kept)} of {len(headings)} columns")
    if left_out:
        console.print(Text(f"({' and '.join(left_out)}; --format csv or json has all)"), style="dim")


def _least(text: str, *, whole: bool) -> int:
    if whole:
        return len(text)
    return min(max(map(len, text.split()), default=0), _LONGEST_WORD)


def _fitting(least: list[int], total: int) -> list[int]:
    """The columns that fit into the terminal: as many as there is room for, from the left; at least one."""
    kept = [i for i, used in enumerate(accumulate(width + 2 for width in least)) if used - 2 <= total]
    return kept or [0][: len(least)]


def _parquet(table: pa.Table, out: IO[bytes]) -> None:
    from pyarrow import parquet

    parquet.write_table(table, out, compression="zstd")


def _arrow(table: pa.Table, out: IO[bytes]) -> None:
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)


_TEXT_WRITERS: dict[str, Callable[[pa.Table, TextIO], None]] = {
    "table": _table,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "markdown": _markdown,
}
_BINARY_WRITERS: dict[str, Callable[[pa.Table, IO[bytes]], None]] = {"parquet": _parquet, "arrow": _arrow}
