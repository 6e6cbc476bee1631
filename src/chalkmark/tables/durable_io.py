"""Files that are on disk when they are closed, for Iceberg's metadata on a local disk.

pyiceberg writes a metadata file and then points the catalog at it. SQLite syncs the pointer; without a sync of the file
a power failure could leave a pointer to nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

from pyiceberg.io import OutputFile, OutputStream
from pyiceberg.io.pyarrow import PyArrowFileIO


class _SyncedStream:
    """A binary file that is synced before it is closed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def close(self) -> None:
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> OutputStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _DurableOutput(OutputFile):  # type: ignore[misc]
    def __init__(self, location: str, plain: OutputFile) -> None:
        super().__init__(location)
        self._plain = plain
        self._path = Path(location.removeprefix("file://"))

    def __len__(self) -> int:
        return len(self._plain)

    def exists(self) -> bool:
        return bool(self._plain.exists())

    def to_input_file(self) -> Any:
        return self._plain.to_input_file()

    def create(self, overwrite: bool = False) -> OutputStream:
        if not overwrite and self._path.exists():
            raise FileExistsError(f"{self._path} exists already")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return _SyncedStream(self._path)


class DurableFileIO(PyArrowFileIO):  # type: ignore[misc]
    """PyArrow's files for reading; local writes are synced."""

    def new_output(self, location: str) -> OutputFile:
        return _DurableOutput(location, super().new_output(location))
