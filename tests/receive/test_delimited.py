from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chalkmark.errors import ChalkmarkError
from chalkmark.receive import delimited
from chalkmark.receive.mapping import parse
from chalkmark.tables.quality import Reason

NOW = 1_790_000_000_000_000_000
NAMES = ("trace", "span", "name", "start", "end")
MAPPING = parse("trace_id=trace,span_id=span,operation=name,start_ns=start,end_ns=end")


def choose(names, first):
    MAPPING.check(names)
    return MAPPING


def row(i, name="op"):
    return (f"{i + 1:032x}", f"{i + 1:016x}", name, str(NOW - i), str(NOW))


def read_csv(text, separator=","):
    body = text if isinstance(text, bytes) else text.encode()
    header = body.decode("utf-8", "replace").splitlines()[0]
    return list(delimited.read_csv(io.BytesIO(body), header, choose, "file:csv", NOW))


def lines(rows, separator=","):
    return "".join(separator.join(r) + "\n" for r in rows)


def spans(batches):
    for batch in batches:
        batch.spans.validate(full=True)
    return [s for b in batches for s in b.spans.to_pylist()]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_delimiters_are_told_by_the_header(separator):
    got = spans(read_csv(lines([NAMES, row(0), row(1)], separator)))
    assert [s["operation"] for s in got] == ["op", "op"]
    assert [s["span_id"].hex() for s in got] == [row(0)[1], row(1)[1]]


def test_everything_is_read_as_text():
    # 1e10 is no number and 0001 no 1 in an identifier.
    got = spans(read_csv(lines([NAMES, ("1e10", "0001", "007", str(NOW), str(NOW))])))
    assert (got[0]["trace_id"].hex().lstrip("0"), got[0]["operation"]) == ("1e10", "007")


def test_quotes_hold_delimiters_and_line_breaks():
    got = spans(read_csv(lines([NAMES, row(0, '"a,b\nc"'), row(1)])))
    assert [s["operation"] for s in got] == ["a,b\nc", "op"]


def test_a_row_of_too_many_or_too_few_fields_is_rejected_alone():
    batches = read_csv(lines([NAMES, row(0), ("a", "b"), row(1), (*row(2), "more"), row(3)]))
    assert len(spans(batches)) == 3
    (rejection,) = [r for b in batches for r in b.rejections.to_pylist()]
    assert (rejection["reason"], rejection["spans"]) == (Reason.SPAN_UNDECODABLE, 2)
    assert rejection["example"].startswith("line 3 has 2 fields, not 5")


def test_a_file_of_broken_rows_only_is_counted():
    batches = read_csv(lines([NAMES, ("a", "b")]))
    assert (len(spans(batches)), sum(b.rejected for b in batches)) == (0, 1)


def test_broken_utf8_costs_a_character():
    got = spans(read_csv(lines([NAMES, row(0, "X"), row(1)]).encode().replace(b"X", b"\xff")))
    assert [s["quality"] for s in got] == [[Reason.UTF8_INVALID, Reason.SERVICE_MISSING], [Reason.SERVICE_MISSING]]


def test_a_broken_row_that_is_not_utf8_is_counted():
    batches = read_csv(lines([NAMES, ("a", "X"), row(0)]).encode().replace(b"X", b"\xff"))
    assert (len(spans(batches)), sum(b.rejected for b in batches)) == (1, 1)


def test_a_large_file_comes_in_batches(monkeypatch):
    monkeypatch.setattr(delimited, "BATCH_ROWS", 1000)
    monkeypatch.setattr(delimited, "CSV_BLOCK_BYTES", 200_000)
    batches = read_csv(lines([NAMES, *map(row, range(5000))]))
    assert max(b.spans.num_rows for b in batches) <= 1000
    assert [s["start_ns"] for s in spans(batches)] == [NOW - i for i in range(5000)]


@pytest.fixture
def table():
    return pa.table(dict(zip(NAMES, zip(*map(row, range(2500)), strict=True), strict=True)))


def test_parquet(tmp_path, table, monkeypatch):
    monkeypatch.setattr(delimited, "BATCH_ROWS", 1000)
    pq.write_table(table, tmp_path / "spans.parquet")
    batches = list(delimited.read_parquet(tmp_path / "spans.parquet", choose, "file:parquet", NOW))
    assert max(b.spans.num_rows for b in batches) <= 1000
    assert [s["span_id"].hex() for s in spans(batches)] == table["span"].to_pylist()


@pytest.mark.parametrize("writer", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_files_and_streams(tmp_path, table, writer):
    with writer(tmp_path / "spans.arrow", table.schema) as out:
        out.write_table(table)
    batches = list(delimited.read_arrow(tmp_path / "spans.arrow", choose, "file:arrow", NOW))
    assert [s["span_id"].hex() for s in spans(batches)] == table["span"].to_pylist()


@pytest.mark.parametrize("read", [delimited.read_parquet, delimited.read_arrow])
def test_garbage_is_refused(tmp_path, read):
    (tmp_path / "x").write_bytes(b"PAR1 no more")
    with pytest.raises(ChalkmarkError, match="cut off"):
        list(read(tmp_path / "x", choose, "file:x", NOW))


def test_an_unknown_column_is_named():
    with pytest.raises(ChalkmarkError, match="there is no column 'trace'"):
        read_csv("traces,span,name,start,end\n" + lines([row(0)]))
