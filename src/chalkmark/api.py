"""Chalkmark from Python: `chalkmark.open()` gives SQL, tables, reports and dependencies as Arrow, Polars or pandas."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from chalkmark import config
from chalkmark.errors import ChalkmarkError
from chalkmark.reports.catalogue import catalogue, definitions, report, run
from chalkmark.tables import TABLES
from chalkmark.tables.describe import described
from chalkmark.tables.lake import Lake
from chalkmark.tables.session import Session

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from chalkmark.models.dependencies import Dependencies

_SHOWN_ROWS = 50


class Result:
    """Rows of an answer. Any library that knows Arrow takes it as it is (`polars.DataFrame(result)`)."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def arrow(self) -> pa.Table:
        """As an Arrow table, without a copy."""
        return self._table

    def polars(self) -> pl.DataFrame:
        """As a Polars data frame. Raises ChalkmarkError where Polars is not installed."""
        try:
            import polars
        except ImportError as error:
            raise ChalkmarkError("Polars is not installed.", "Install it with `pip install polars`.") from error
        return polars.DataFrame(self._table)

    def pandas(self) -> pd.DataFrame:
        """As a pandas data frame. Raises ChalkmarkError where pandas is not installed."""
        try:
            import pandas  # noqa: F401 - Arrow would say so in another way
        except ImportError as error:
            raise ChalkmarkError("pandas is not installed.", "Install it with `pip install pandas`.") from error
        frame: pd.DataFrame = self._table.to_pandas()
        return frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, each a dict of Python values."""
        for batch in self._table.to_batches():
            yield from batch.to_pylist()

    def __repr__(self) -> str:
        return f"<Result: {len(self):,} rows of {', '.join(self._table.column_names)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first rows, bytes as hexadecimal."""
        from html import escape

        head = "".join(f"<th>{escape(name)}</th>" for name in self._table.column_names)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(column[i].as_py()))}</td>" for column in self._table.columns) + "</tr>"
            for i in range(min(len(self), _SHOWN_ROWS))
        )
        rest = f"<p>{_SHOWN_ROWS} of {len(self):,} rows</p>" if len(self) > _SHOWN_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


class Table:
    """One of the tables, by name."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self._session = session

    def arrow(self) -> pa.Table:
        """All rows. A large table is better asked by `Chalkmark.sql`."""
        return self._session.sql(f"from {self.name}")

    def describe(self) -> Result:
        """Its columns: type, unit, meaning."""
        return Result(described(TABLES[self.name]))

    def __repr__(self) -> str:
        return f"<Table {self.name}: {TABLES[self.name].grain}>"


class Tables(Mapping[str, Table]):
    """The tables by name, as in `chalk.tables["spans"]`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getitem__(self, name: str) -> Table:
        if name not in TABLES:
            raise KeyError(f"There is no table {name!r}. Tables are: {', '.join(TABLES)}.")
        return Table(name, self._session)

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)


class Report:
    """One report, by name; call it with its parameters: `chalk.reports["load/causes"](service="cart")`."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self._session = session

    def __call__(self, **params: Any) -> Result:
        """Its rows. Raises ChalkmarkError for an unknown, missing or wrong parameter."""
        return Result(run(self._session, self.name, **params))

    @property
    def query(self) -> str:
        """The SQL that it runs, to be copied and changed."""
        return report(self.name).sql

    def __repr__(self) -> str:
        return f"<Report {self.name}>"


class Reports(Mapping[str, Report]):
    """The reports by name, as in `chalk.reports["quality/by_sender"]`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._names = list(catalogue())

    def __getitem__(self, name: str) -> Report:
        if name not in self._names:
            raise KeyError(f"There is no report {name!r}. Reports are: {', '.join(self._names)}.")
        return Report(name, self._session)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Chalkmark:
    """The tables in one data folder."""

    def __init__(self, settings: config.Settings) -> None:
        self.settings = settings
        self._lake = Lake(settings.data)
        self._session = Session(self._lake, threads=settings.sql_threads, memory=settings.sql_memory, definitions=definitions())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def sql(self, query: str, /, **params: Any) -> Result:
        """The answer to one SELECT; `params` fill its `$name`s.

        Raises ChalkmarkError where the query is wrong or wants to change something.
        """
        return Result(self._session.sql(query, params or None))

    @property
    def tables(self) -> Tables:
        """The tables by name."""
        return Tables(self._session)

    @property
    def reports(self) -> Reports:
        """The reports by name."""
        return Reports(self._session)

    def deps(
        self, focus: str, *, root: str | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> Dependencies:
        """Who calls `focus` (`SERVICE` or `SERVICE:OPERATION`) and whom it calls, how often per call.

        `root` keeps what one endpoint's requests do; `since` and `until` bound the hours that are looked at.
        Raises ChalkmarkError where the focus does not occur.
        """
        from chalkmark.models.dependency_query import BEGINNING, END, find_dependencies

        return find_dependencies(self._lake, focus, root, since=since or BEGINNING, until=until or END)

    def __repr__(self) -> str:
        return f"<Chalkmark: {self.settings.data}>"


def open(data: str | os.PathLike[str] | None = None) -> Chalkmark:
    """The tables in folder `data`; without it in the folder that the settings name, as the command line does."""
    return Chalkmark(config.load({"data": None if data is None else Path(data)}))


def _cell(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else "" if value is None else str(value)
