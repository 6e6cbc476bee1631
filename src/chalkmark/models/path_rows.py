"""Rows of `call_paths`, in files or in memory, of which each column is read when it is needed and only where it is.

What the rows of one path share (names, caller) is read once a path, mostly from one file; counts are added up for the
paths around the focus, histograms for those that are shown. SQL adds up every path of the trees before it knows which
matter, and reads each name as text: 1.6 s of CPU instead of 0.5 for 24 hours of 100,000 paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chalkmark.errors import ChalkmarkError

Ints = npt.NDArray[np.signedinteger[Any]]
Flags = npt.NDArray[np.bool_]

Source = Callable[[list[str]], pa.Table]
"""Gives the named columns of some rows, always of the same ones in the same order: `pa.Table.select`, or a file."""

TEXTS = ["service", "operation", "root_service", "root_operation"]
"""Read as codes into a dictionary, as Parquet stores them."""


def sources(files: Sequence[str], since: datetime, until: datetime) -> list[Source]:
    """Those of the Parquet `files` that have rows of `since <= ts < until`, reduced to these rows.

    Raises ChalkmarkError where a file cannot be read.
    """
    opened = (_HourFile.open(path, since, until) for path in files)
    return [file.read for file in opened if file is not None]


class _HourFile:
    """Rows of one Parquet file: the chosen row groups, and of those the rows that `kept` marks.

    It is open only while it is read: there are as many as hours, and a process may have no more than 1,024 by default.
    """

    def __init__(self, path: str, metadata: pq.FileMetaData, groups: list[int]) -> None:
        self._path = path
        self._metadata = metadata
        self._groups = groups
        self._kept: pa.Array | None = None

    @classmethod
    def open(cls, path: str, since: datetime, until: datetime) -> _HourFile | None:
        with _explained():
            metadata = pq.read_metadata(path)
        ts = metadata.schema.names.index("ts")
        groups, whole = [], True
        for group in range(metadata.num_row_groups):
            bounds = metadata.row_group(group).column(ts).statistics
            known = bounds is not None and bounds.has_min_max
            if not known or (bounds.max >= since and bounds.min < until):
                groups.append(group)
                whole = whole and known and bounds.min >= since and bounds.max < until
        rows = cls(path, metadata, groups)
        if not whole:
            times = rows.read(["ts"])["ts"]
            kept = pc.and_(pc.greater_equal(times, pa.scalar(since, times.type)), pc.less(times, pa.scalar(until, times.type)))
            rows._kept = kept.combine_chunks()
        return rows if groups else None

    def read(self, columns: list[str]) -> pa.Table:
        with _explained(), pq.ParquetFile(self._path, metadata=self._metadata, read_dictionary=TEXTS, pre_buffer=False) as file:
            table = file.read_row_groups(self._groups, columns, use_threads=False)
        return table if self._kept is None else table.filter(self._kept)


class PathRows:
    """All rows of the sources; those of one path (other hours, other files) belong to one node.

    A node is an index into `path_id`.
    """

    path_id: Ints
    """Every path once, ascending."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        ids = [read(["path_id"])["path_id"] for read in sources]
        distinct = pc.unique(pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.int64()))
        self.path_id = path_id = np.sort(distinct.to_numpy())
        # Files are sorted by path, so this search walks forwards: 40 ms for 24 x 100,000 rows. It allocates a third of
        # what a sort of all rows needs, and in a process that answers one question each new page is paid for.
        self._nodes = [np.searchsorted(path_id, column.to_numpy()).astype(np.int32) for column in ids]

    def shared(self, columns: list[str]) -> pa.Table:
        """One row a node of columns in which all rows of a path are equal, in the order of `path_id`."""
        missing = np.ones(len(self.path_id), bool)
        wanted = []
        for of_source in self._nodes:
            rows = np.flatnonzero(missing[of_source])
            missing[of_source[rows]] = False
            wanted.append((of_source[rows], rows))
        parts = list(self._take(wanted, columns))
        row_of = np.empty(len(self.path_id), np.int64)
        nodes = np.concatenate([at for at, _ in parts])
        row_of[nodes] = np.arange(len(nodes))
        table = pa.concat_tables([_coded(table) for _, table in parts]).unify_dictionaries()
        return table.combine_chunks().take(pa.array(row_of))

    def each(self, nodes: Ints, columns: list[str]) -> Iterator[tuple[Ints, pa.Table]]:
        """All rows of `nodes`, source by source: positions in `nodes`, and the columns."""
        position = np.full(len(self.path_id), -1, np.int32)
        position[nodes] = np.arange(len(nodes), dtype=np.int32)
        wanted = []
        for of_source in self._nodes:
            at = position[of_source]
            rows = np.flatnonzero(at >= 0)
            wanted.append((at[rows], rows))
        return self._take(wanted, columns)

    def sums(self, nodes: Ints, columns: list[str]) -> dict[str, Ints]:
        """Each column added up over the rows of each of `nodes`."""
        sums = {name: np.zeros(len(nodes), np.int64) for name in columns}
        for at, table in self.each(nodes, columns):
            for name in columns:
                np.add.at(sums[name], at, table[name].to_numpy())
        return sums

    def _take(self, wanted: list[tuple[Ints, Ints]], columns: list[str]) -> Iterator[tuple[Ints, pa.Table]]:
        """The wanted rows of each source beside what they are wanted for; a source of which none is wanted is not read."""
        for read, (key, rows) in zip(self._sources, wanted, strict=True):
            if not len(rows):
                continue
            table = read(columns)
            table = table if len(rows) == len(table) else table.take(pa.array(rows))
            yield key, table


def _coded(table: pa.Table) -> pa.Table:
    """Text as codes; the dictionary of a whole file is not kept for a few rows, as unifying it costs more than they do."""
    for i, field in enumerate(table.schema):
        column = table.column(i)
        if pa.types.is_dictionary(field.type) and sum(len(chunk.dictionary) for chunk in column.chunks) > len(column):
            column = column.cast(pa.string())
        if pa.types.is_string(column.type):
            column = column.dictionary_encode()
        table = table.set_column(i, field.name, column)
    return table


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        message = str(error).partition("\n")[0]
        raise ChalkmarkError(f"Table call_paths: {message}", "`chalkmark doctor` checks the data folder.") from error
