"""Curating once, from the command line: by this process, or by the one that holds the folder."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from chalkmark.engine.curator import Curator, Progress, quietly
from chalkmark.engine.lock import BusyError
from chalkmark.tables.landing_store import landing_files, read_landing


@dataclass(frozen=True, slots=True)
class Done:
    """What was done. All zero where another process did it."""

    spans: int = 0
    traces: int = 0
    settled_parts: int = 0


def run_once(data: Path, *, settle: bool = True, progress: Progress = quietly) -> Done:
    """Curate everything in the landing folder of `data` and return when it is in the tables.

    Where another process curates the folder (`chalkmark up`), waits for it to come to what is there now.
    """
    try:
        curator = Curator(data)
    except BusyError:
        _wait(data, progress)
        return Done()
    with curator:
        step = curator.step(flush=True, progress=progress)
        settled = curator.settle(progress=progress) if settle else 0
        curator.merge(progress=progress)
    return Done(step.spans, step.traces, settled)


def _wait(data: Path, progress: Progress) -> None:
    """Wait until the other process has curated what was received before now."""
    now = time.time_ns()
    most = waiting = _waiting(data, now)
    while waiting:
        progress("waiting for `chalkmark up` to curate", most - waiting, most)
        time.sleep(0.2)
        waiting = _waiting(data, now)
        most = max(most, waiting)


def _waiting(data: Path, before_ns: int) -> int:
    """Spans in the landing folder that were received before a time (ns since the epoch)."""
    found = 0
    for path in landing_files(data):
        with contextlib.suppress(FileNotFoundError):  # curated meanwhile
            found += int((read_landing(path).spans["received_ns"].to_numpy() < before_ns).sum())
    return found
