from __future__ import annotations

import json

import pytest

from chalkmark.cli.import_ import FORMATS
from chalkmark.cli.main import run
from chalkmark.receive.files import Format
from chalkmark.tables.landing_store import landing_files, read_landing

ZIPKIN = {"traceId": "a1", "id": "b2", "timestamp": 1_789_999_999_000_000, "duration": 5, "name": "get"}


@pytest.fixture
def imported(tmp_path, capsys):
    """Runs the command on the data folder `tmp_path/data`: exit code, summary, stderr."""

    def call(*args):
        code = run(["import", "--no-curate", "--format", "json", "--data", str(tmp_path / "data"), *map(str, args)])
        out = capsys.readouterr()
        return code, json.loads(out.out) if out.out else [], out.err

    return call


def landed(data):
    """Spans and rejected spans in the landing folder."""
    found = [read_landing(path) for path in landing_files(data)]
    return sum(f.spans.num_rows for f in found), sum(sum(f.rejections["spans"].to_pylist()) for f in found)


def test_files_land_and_are_summed_up(tmp_path, imported):
    (tmp_path / "good.json").write_text(json.dumps([ZIPKIN] * 3))
    code, summary, _ = imported(tmp_path / "good.json")
    assert code == 0
    assert summary == [
        {"file": str(tmp_path / "good.json"), "format": "zipkin", "spans": 3, "rejected": 0, "first_reason": ""},
    ]
    assert landed(tmp_path / "data") == (3, 0)


def test_what_is_rejected_gives_exit_code_1_and_its_reason(tmp_path, imported):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text(json.dumps([ZIPKIN, 7, {**ZIPKIN, "id": ""}]))
    (tmp_path / "in" / "b.bin").write_bytes(b"\x7fELF")
    code, summary, _ = imported(tmp_path / "in")
    assert code == 1
    assert [(r["format"], r["spans"], r["rejected"]) for r in summary] == [("zipkin", 1, 2), ("unknown", 0, 1)]
    assert summary[0]["first_reason"] == "span_undecodable: span is 7, not an object"
    assert summary[1]["first_reason"].startswith("the format is not recognised")
    assert landed(tmp_path / "data") == (1, 3)


def test_nothing_readable_gives_exit_code_2(tmp_path, imported):
    (tmp_path / "x").write_bytes(b"")
    assert imported(tmp_path / "x")[0] == 2
    code, _, err = imported(tmp_path / "nowhere")
    assert (code, "no such file or folder" in err) == (2, True)


def test_a_guessed_mapping_is_told(tmp_path, imported):
    (tmp_path / "s.csv").write_text("traceId,spanId,name,start_ns,end_ns\na1,b2,get,1789999999000000000,1789999999000000005\n")
    code, summary, err = imported(tmp_path / "s.csv")
    assert (code, summary[0]["spans"]) == (0, 1)
    assert "assumed --map trace_id=traceId,span_id=spanId,operation=name,start_ns=start_ns,end_ns=end_ns" in err


def test_an_unknown_column_is_named(tmp_path, imported):
    (tmp_path / "s.csv").write_text("TraceID,SpanID,Start,End\na1,b2,1,2\n")
    code, summary, _ = imported("--map", "trace_id=TracID,span_id=SpanID,start_ns=Start,end_ns=End", tmp_path / "s.csv")
    assert code == 2
    assert "there is no column 'TracID'" in summary[0]["first_reason"]
    assert "Did you mean 'TraceID'?" in summary[0]["first_reason"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--map", "x=y"), "there is no field 'x'"),
        (("--preset", "x"), "There is no preset 'x'"),
        (("--preset", "x", "--map", "y=z"), "use one"),
        (("--input-format", "x"), "zipkin"),
    ],
)
def test_wrong_usage(tmp_path, imported, args, message):
    (tmp_path / "s.csv").write_text("a,b\n")
    code, _, err = imported(*args, tmp_path / "s.csv")
    assert (code, message in err) == (2, True)


def test_the_formats_listed_are_those_there_are():
    assert tuple(Format) == FORMATS
