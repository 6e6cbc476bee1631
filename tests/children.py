"""Work for supervised processes in tests; found by import, as `supervisor.Child` wants it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chalkmark.errors import ChalkmarkError


def note(folder: Path, stop: threading.Event, ready: Callable[[Any], None]) -> None:
    """Says its process's number, notes when it started, and when it was asked to stop."""
    (folder / f"started-{os.getpid()}").touch()
    ready(os.getpid())
    stop.wait()
    (folder / "stopped").write_text(str(time.monotonic_ns()))


def refuse(reason: str, stop: threading.Event, ready: Callable[[Any], None]) -> None:
    """Cannot start, and says why."""
    raise ChalkmarkError(reason, "Mend it.")


def vanish(code: int, stop: threading.Event, ready: Callable[[Any], None]) -> None:
    """Ends before it is ready, without a word."""
    os._exit(code)
