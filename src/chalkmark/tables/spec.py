"""What a table is: its columns with types, units and documentation, its grain, and how it is partitioned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

TRACE_ID = pa.binary(16)
SPAN_ID = pa.binary(8)
TEXT_MAP = pa.map_(pa.string(), pa.string())
TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `doc` is the sentence shown by `chalkmark tables describe`, the page and the docs."""

    name: str
    type: pa.DataType
    doc: str
    unit: str = ""
    nullable: bool = False

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.type, nullable=self.nullable)


@dataclass(frozen=True)
class TableSpec:
    """One curated table.

    `grain` says what one row is. `partitioned` tables hold a column `ts` and are cut by its hour; the others are
    small dictionaries that live as long as anything points to them. `key` names the columns that identify a row.
    `view` is the SELECT that readers see when it is more than the stored rows; `{rows}` stands for those.
    """

    name: str
    grain: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitioned: bool = True
    view: str = "select * from {rows}"
    view_columns: tuple[Column, ...] = ()
    """Columns that only the view has, computed from the stored ones."""

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the stored rows, and so of the Parquet files."""
        return pa.schema([c.field for c in self.columns])


def coded(field: pa.Field, kind: pa.DataType) -> pa.Field:
    """The text field, or map of texts, with the dictionary coding of a column of type `kind`, and its own names."""
    if pa.types.is_dictionary(kind) and pa.types.is_string(field.type):
        return field.with_type(kind)
    if pa.types.is_map(kind) and pa.types.is_map(field.type):
        key, item = field.type.key_field, field.type.item_field
        return field.with_type(pa.map_(coded(key, kind.key_type), coded(item, kind.item_type)))
    return field
