"""Curation as a service: step after step while `chalkmark up` runs, with merging and maintenance in between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalkmark.engine.curator import Curator
from chalkmark.engine.maintenance import maintain

log = logging.getLogger("chalkmark.curate")

MAINTAIN_EVERY_S = 300.0


@dataclass(frozen=True, slots=True)
class CurationConfig:
    """How the service works; the settings of the same names say what they mean."""

    data: Path
    quiet_s: float
    late_s: float
    retention_days: int
    retention_paths_days: int
    every_s: float = 2.0
    """Steps begin this far apart: a commit of all tables costs about 0.2 CPU-seconds, however small it is."""


def serve(config: CurationConfig, stop: threading.Event, ready: Callable[[Any], None]) -> None:
    """Curate until `stop` is set. Spans of unfinished traces stay in the landing folder for the next start."""
    maintained = time.monotonic()
    with Curator(config.data, quiet_s=config.quiet_s, late_s=config.late_s) as curator:
        ready(str(config.data))
        while not stop.wait(config.every_s):
            step = curator.step()
            if step.traces:
                log.info("%d spans of %d traces curated, %d wait", step.spans, step.traces, step.waiting)
                curator.merge()
            if time.monotonic() - maintained >= MAINTAIN_EVERY_S:
                done = maintain(
                    curator,
                    retention_days=config.retention_days,
                    retention_paths_days=config.retention_paths_days,
                    open_hours=False,
                )
                log.info("maintained: %s", done)
                maintained = time.monotonic()
