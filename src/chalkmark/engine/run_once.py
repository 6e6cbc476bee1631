"""Curating once, from the command line: by this process, or by the one that holds the folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from chalkmark.engine.curator import Curator, Progress, quietly
from chalkmark.engine.lock import BusyError
from chalkmark.tables.landing_store import landing_files


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
    before = set(landing_files(data))
    left = before
    while left:
        left = before & set(landing_files(data))
        progress("waiting for `chalkmark up` to curate", len(before) - len(left), len(before))
        time.sleep(0.2)
