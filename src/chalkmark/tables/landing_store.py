"""The landing folder: what has been received and not yet curated, durable before anybody is told so.

Receivers append, curation consumes. One file is one group of requests that became durable together: two Arrow streams,
the spans and the rejections. It appears by an atomic rename after its bytes are synced, so a reader only sees whole
files and a crash leaves nothing to repair. While one group is being synced the next one collects, so the cost of a sync
(1 to 5 ms) is shared by everybody who came in the meantime.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from chalkmark.errors import OverloadedError
from chalkmark.tables.landing import REJECTION_BATCH, SPAN_BATCH, Received

SUFFIX = ".arrow"
GROUP_BYTES = 32 << 20
"""A group is closed at this size, so that no single file is slow to write or large to read."""


def landing_folder(data: Path) -> Path:
    """Where the landing files of the data folder `data` lie."""
    return data / "landing"


def landing_files(data: Path) -> list[Path]:
    """The landing files, oldest first."""
    return sorted(p for p in landing_folder(data).glob(f"*{SUFFIX}"))


@dataclass(frozen=True, slots=True)
class LandingFile:
    """The contents of one landing file; the buffers are mapped from the file, not copied."""

    path: Path
    spans: pa.Table
    rejections: pa.Table


def read_landing(path: Path) -> LandingFile:
    """Map one landing file. The file may be deleted while the result is in use."""
    with pa.memory_map(str(path)) as file:
        spans = _read_stream(file)
        rejections = _read_stream(file)
    return LandingFile(path, spans, rejections)


def _read_stream(file: pa.MemoryMappedFile) -> pa.Table:
    with pa.ipc.open_stream(file) as reader:
        return reader.read_all()


def write_landing(folder: Path, groups: Sequence[Received], *, durable: bool = True) -> Path:
    """Write one landing file under a temporary name and return it; `publish` makes it appear.

    With `durable` its bytes are on disk when this returns.
    """
    # The name orders files by arrival; the random part keeps writers of several processes apart.
    path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}{SUFFIX}.tmp"
    with path.open("wb") as file:
        for schema, batches in (
            (SPAN_BATCH, [g.spans for g in groups]),
            (REJECTION_BATCH, [g.rejections for g in groups]),
        ):
            with pa.ipc.new_stream(file, schema) as writer:
                for batch in batches:
                    if batch.num_rows:
                        writer.write_batch(batch)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    return path


def publish(path: Path) -> Path:
    """Give a file written by `write_landing` its real name; the rename is durable when this returns."""
    final = path.with_suffix("")
    path.rename(final)
    sync_folder(path.parent)
    return final


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@dataclass(slots=True)
class _Entry:
    received: Received
    size: int
    done: Future[None]


class LandingWriter:
    """Makes received batches durable, in groups, on a thread of its own.

    `max_backlog_bytes` bounds what waits on disk for curation, `max_queue_bytes` what waits in memory for the disk, and
    `min_free_bytes` what is left on the disk; past any of them `submit` refuses.
    """

    def __init__(
        self,
        data: Path,
        *,
        max_backlog_bytes: int = 8 << 30,
        max_queue_bytes: int = 256 << 20,
        min_free_bytes: int = 1 << 30,
    ) -> None:
        self._folder = landing_folder(data)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._max_backlog = max_backlog_bytes
        self._max_queue = max_queue_bytes
        self._min_free = min_free_bytes
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued_bytes = 0
        self._closed = False
        self._full = ""
        self._checked_at = 0.0
        self._thread = threading.Thread(target=self._run, name="landing-writer", daemon=True)
        self._thread.start()

    def submit(self, received: Received) -> Future[None]:
        """Queue a batch; the future resolves when it is durable, or fails with the OSError that prevented it.

        Raises OverloadedError at once where there is no room for it.
        """
        size = received.spans.nbytes + received.rejections.nbytes
        with self._lock:
            if self._closed:
                raise OverloadedError("Chalkmark is shutting down", retry_after_s=5)
            self._check_disk()
            if self._full:
                raise OverloadedError(self._full, retry_after_s=5)
            if self._queued_bytes and self._queued_bytes + size > self._max_queue:
                raise OverloadedError("too much is waiting to be written", retry_after_s=1)
            self._queued_bytes += size
            entry = _Entry(received, size, Future())
            self._queue.put(entry)
        return entry.done

    def close(self) -> None:
        """Write what was submitted, then stop. Later submissions are refused."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _check_disk(self) -> None:
        # Listing a folder of some thousand files takes a millisecond or two: once a second is cheap enough.
        now = time.monotonic()
        if now - self._checked_at < 1.0:
            return
        self._checked_at = now
        with os.scandir(self._folder) as entries:
            backlog = sum(_size(e) for e in entries)
        self._full = ""
        if backlog > self._max_backlog:
            self._full = f"{backlog >> 20} MiB wait for curation, and the limit is {self._max_backlog >> 20} MiB"
        elif shutil.disk_usage(self._folder).free < self._min_free:
            self._full = f"less than {self._min_free >> 20} MiB of disk are free"

    def _run(self) -> None:
        stop = False
        while not stop:
            group: list[_Entry] = []
            size = 0
            entry = self._queue.get()
            while True:
                if entry is None:
                    stop = True
                    break
                group.append(entry)
                size += entry.size
                if size >= GROUP_BYTES:
                    break
                try:
                    entry = self._queue.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._write(group, size)

    def _write(self, group: list[_Entry], size: int) -> None:
        error: OSError | pa.ArrowException | None = None
        try:
            publish(write_landing(self._folder, [e.received for e in group]))
        except (OSError, pa.ArrowException) as e:
            error = e
        with self._lock:
            self._queued_bytes -= size
        for entry in group:
            if error is None:
                entry.done.set_result(None)
            else:
                entry.done.set_exception(error)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # curated and removed meanwhile
        return 0
