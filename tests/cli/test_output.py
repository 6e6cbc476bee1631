import csv
import io
import json
import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalkmark.cli.options import FORMATS
from chalkmark.cli.output import BINARY, TABLE_ROWS, render, write
from chalkmark.errors import ChalkmarkError

TABLE = pa.table(
    {
        "id": pa.array([b"\x00\xff", None], pa.binary(2)),
        "at": pa.array([datetime(2026, 1, 2, 3, 4, 5, 600, UTC), None], pa.timestamp("us", "UTC")),
        "at_ns": pa.array([1, None], pa.timestamp("ns", "UTC")),
        "day": pa.array([date(2026, 1, 2), None]),
        "number": pa.array([math.nan, math.inf]),
        "wide": pa.array([Decimal(2**70), None], pa.decimal128(38, 0)),
        "map": pa.array([[("k", "v")], []], pa.map_(pa.string(), pa.string())),
        "list": pa.array([[1, 2], None], pa.list_(pa.int64())),
        "flag": pa.array([True, None]),
        "text": pa.array(['a,"|\n', None]),
    }
)
JSON = [
    {
        "id": "00ff",
        "at": "2026-01-02T03:04:05.000600Z",
        "at_ns": "1970-01-01T00:00:00.000000001Z",
        "day": "2026-01-02",
        "number": None,
        "wide": 2**70,
        "map": {"k": "v"},
        "list": [1, 2],
        "flag": True,
        "text": 'a,"|\n',
    },
    dict.fromkeys(TABLE.column_names) | {"map": {}},
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(table: pa.Table, format: str, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    render(table, format, out)
    return out.getvalue()


def test_json_is_an_array_of_objects() -> None:
    assert json.loads(shown(TABLE, "json")) == JSON


def test_jsonl_is_an_object_a_line() -> None:
    assert [json.loads(line) for line in shown(TABLE, "jsonl").splitlines()] == JSON


def test_csv_has_every_value_as_text() -> None:
    head, first, second = csv.reader(io.StringIO(shown(TABLE, "csv")))
    assert head == TABLE.column_names
    assert first == [
        "00ff",
        "2026-01-02T03:04:05.000600Z",
        "1970-01-01T00:00:00.000000001Z",
        "2026-01-02",
        "NaN",
        str(2**70),
        '{"k":"v"}',
        "[1,2]",
        "true",
        'a,"|\n',
    ]
    assert second == ["", "", "", "", "Infinity", "", "{}", "", "", ""]


def test_markdown_escapes_what_ends_a_cell() -> None:
    lines = shown(pa.table({"a": ["x|y\nz"], "n": [1]}), "markdown").splitlines()
    assert lines == ["| a | n |", "| --- | ---: |", "| x\\|y z | 1 |"]


def test_no_rows_are_shown_as_no_rows() -> None:
    empty = TABLE.slice(0, 0)
    assert json.loads(shown(empty, "json")) == []
    assert shown(empty, "jsonl") == ""
    assert shown(empty, "csv").splitlines() == [",".join(TABLE.column_names)]
    assert len(shown(empty, "markdown").splitlines()) == 2
    assert shown(empty, "table").split() == TABLE.column_names


def test_two_columns_of_one_name_are_both_kept() -> None:
    twins = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    assert json.loads(shown(twins, "json")) == [{"a": 1, "a_2": 2}]
    assert shown(twins, "csv").splitlines() == ["a,a", "1,2"]


@pytest.mark.parametrize("format", BINARY)
def test_binary_formats_hold_the_table_as_it_is(format: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(TABLE.drop(["wide"]), format, path)
    read = pq.read_table(path) if format == "parquet" else pa.ipc.open_stream(path).read_all()
    assert read.schema.names == TABLE.drop(["wide"]).schema.names
    assert read["list"].equals(TABLE["list"])
    assert read["id"].equals(TABLE["id"])


@pytest.mark.parametrize("format", BINARY)
def test_binary_formats_refuse_a_terminal(format: str) -> None:
    with pytest.raises(ChalkmarkError, match="terminal") as raised:
        shown(TABLE, format, Terminal())
    assert "-o" in raised.value.hint


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChalkmarkError, match="absent"):
        write(TABLE, "csv", tmp_path / "absent" / "file.csv")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.csv"
    path.write_text("before")
    monkeypatch.setattr("chalkmark.cli.output._rows", lambda table: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(TABLE, "csv", path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_heading_has_the_unit_and_a_quantity_its_thousands_set_apart() -> None:
    fields = [
        pa.field("duration_ns", pa.int64(), metadata={"unit": "ns"}),
        pa.field("calls", pa.int64(), metadata={"unit": "calls"}),
        pa.field("critical_share", pa.float64(), metadata={"unit": "%"}),
        pa.field("path_id", pa.int64()),
    ]
    table = pa.Table.from_arrays([pa.array([v]) for v in (1234567, 1000, 0.123456, 1234567)], schema=pa.schema(fields))
    head, row = shown(table, "table").splitlines()
    assert head.split("  ")[0].strip() == "duration (ns)"
    assert "calls " in head
    assert "critical share (%)" in head
    assert row.split() == ["1,234,567", "1,000", "0.1235", "1234567"]
    assert shown(table, "csv").splitlines()[0] == "duration_ns,calls,critical_share,path_id"


def test_numbers_stand_on_the_right_and_text_on_the_left() -> None:
    lines = shown(pa.table({"text": ["a", "bbb"], "number": [1, 100]}), "table").splitlines()
    assert [line.rstrip() for line in lines] == ["text  number", "a          1", "bbb      100"]


def test_a_terminal_is_never_exceeded_and_told_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    wide = pa.table({f"column_{i}": ["x" * 20] * 3 for i in range(12)})
    text = re.sub(r"\x1b\[[012]m", "", shown(wide, "table", Terminal()))  # bold and dim are no colours
    assert "\x1b" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "of 12 columns" in text


def test_a_pipe_gets_every_column_whole() -> None:
    text = shown(pa.table({f"column_{i}": ["x" * 90] for i in range(12)}), "table")
    assert len(text.splitlines()) == 2
    assert text.count("x" * 90) == 12


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" in shown(TABLE, "table", Terminal())
    assert "\x1b" not in shown(TABLE, "table")


def test_markup_in_data_is_data() -> None:
    assert "[red]no[/red]" in shown(pa.table({"a": ["[red]no[/red]"]}), "table")


def test_a_long_table_says_how_many_rows_it_leaves_out() -> None:
    long = pa.table({"n": range(TABLE_ROWS + 5)})
    assert f"{TABLE_ROWS:,} of {TABLE_ROWS + 5:,} rows" in shown(long, "table")
    assert len(shown(long, "csv").splitlines()) == TABLE_ROWS + 6


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))))
def test_text_formats_lose_nothing(rows: list[tuple[str, int, float]]) -> None:
    rows = [(t.encode("utf-8", "replace").decode(), i, f) for t, i, f in rows]
    schema = pa.schema([("text", pa.string()), ("number", pa.int64()), ("fraction", pa.float64())])
    table = pa.Table.from_pylist([dict(zip(schema.names, r, strict=True)) for r in rows], schema)
    assert json.loads(shown(table, "json")) == table.to_pylist()
    read = list(csv.reader(io.StringIO(shown(table, "csv"), newline="")))[1:]
    assert [(t, int(i), float(f)) for t, i, f in read] == rows


def test_every_format_that_is_offered_is_written() -> None:
    for format in set(FORMATS) - set(BINARY):
        assert shown(pa.table({"a": [1]}), format)
