"""One curator a data folder: commits are serialised by a lock that the kernel lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from chalkmark.errors import ChalkmarkError


class BusyError(ChalkmarkError):
    """Another process curates this data folder."""


class CuratorLock:
    """Held from construction to `release`, or to the end of the process."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self._file = (data / "curator.lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise BusyError(
                f"process {holder} curates {data} already",
                "Wait for it, or stop it; `chalkmark up` curates by itself what is imported while it runs.",
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let another process curate."""
        self._file.close()

    def __enter__(self) -> CuratorLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
