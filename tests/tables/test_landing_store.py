"""The landing folder: durable before acknowledged, whole files only, bounded."""

from __future__ import annotations

from concurrent.futures import wait
from pathlib import Path

import pytest

from chalkmark.errors import OverloadedError
from chalkmark.tables.landing_store import LandingWriter, landing_files, landing_folder, read_landing, write_landing
from spans import received, span


def test_what_is_acknowledged_can_be_read(tmp_path: Path) -> None:
    writer = LandingWriter(tmp_path)
    futures = [writer.submit(received([span(1, i, service=f"s{i}", events=[("e", 5)])])) for i in range(1, 50)]
    wait(futures)
    ids = [i for f in landing_files(tmp_path) for i in read_landing(f).spans["span_id"].to_pylist()]
    assert sorted(ids) == [i.to_bytes(8, "big") for i in range(1, 50)]
    writer.close()


def test_batches_of_different_senders_share_a_file(tmp_path: Path) -> None:
    folder = landing_folder(tmp_path)
    folder.mkdir()
    groups = [received([span(1, i, service=f"s{i}")]) for i in (1, 2)]
    path = write_landing(folder, groups)
    senders = read_landing(path).spans["sender"].to_pylist()
    assert senders == ['{"resource":{"service.name":"s1"}}', '{"resource":{"service.name":"s2"}}']


def test_a_file_that_is_not_published_does_not_exist_for_readers(tmp_path: Path) -> None:
    landing_folder(tmp_path).mkdir()
    write_landing(landing_folder(tmp_path), [received([span(1, 1)])])
    assert landing_files(tmp_path) == []


def test_a_full_landing_refuses(tmp_path: Path) -> None:
    writer = LandingWriter(tmp_path, max_backlog_bytes=1)
    writer.submit(received([span(1, 1)])).result()
    writer.close()
    writer = LandingWriter(tmp_path, max_backlog_bytes=1)
    with pytest.raises(OverloadedError, match="wait for curation"):
        writer.submit(received([span(1, 2)]))
    writer.close()


def test_a_full_disk_refuses(tmp_path: Path) -> None:
    writer = LandingWriter(tmp_path, min_free_bytes=1 << 60)
    with pytest.raises(OverloadedError, match="of disk are free"):
        writer.submit(received([span(1, 1)]))
    writer.close()


def test_a_failed_write_is_not_acknowledged(tmp_path: Path) -> None:
    writer = LandingWriter(tmp_path)
    landing_folder(tmp_path).rmdir()
    writer._check_disk = lambda: None  # type: ignore[method-assign]
    with pytest.raises(OSError, match="No such file"):
        writer.submit(received([span(1, 1)])).result()
    writer.close()


def test_close_writes_what_was_submitted_and_then_refuses(tmp_path: Path) -> None:
    writer = LandingWriter(tmp_path)
    future = writer.submit(received([span(1, 1)]))
    writer.close()
    assert future.done()
    assert len(landing_files(tmp_path)) == 1
    with pytest.raises(OverloadedError, match="shutting down"):
        writer.submit(received([span(1, 2)]))


def test_mapped_rows_outlive_their_file(tmp_path: Path) -> None:
    writer = LandingWriter(tmp_path)
    writer.submit(received([span(1, 1, operation="x" * 10_000)])).result()
    writer.close()
    (path,) = landing_files(tmp_path)
    file = read_landing(path)
    path.unlink()
    assert file.spans["operation"].to_pylist() == ["x" * 10_000]
