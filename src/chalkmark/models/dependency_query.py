"""The dependencies of one focus, from the files of the lake, without a SQL engine: its start alone takes longer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from chalkmark.models.dependencies import Dependencies, dependencies_in
from chalkmark.models.path_rows import PathRows, sources

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, tzinfo=UTC)


class Files(Protocol):
    """Something that lists the Parquet files of a table: `tables.lake.Lake`."""

    def files(self, table: str) -> Sequence[str]: ...


def find_dependencies(
    lake: Files,
    focus: str,
    root: str | None = None,
    *,
    since: datetime = BEGINNING,
    until: datetime = END,
    limit: int | None = None,
) -> Dependencies:
    """Dependencies of `focus` over the hours that begin at or after the hour of `since` and before `until`.

    Arguments as for `dependencies`. Raises ChalkmarkError with the nearest names where there is no such focus or root.
    """
    since = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    rows = PathRows(sources(lake.files("call_paths"), since, until.astimezone(UTC)))
    return dependencies_in(rows, focus, root, limit=limit)
