"""A table's documentation as rows, for the command line, the Python API and the docs."""

from __future__ import annotations

import pyarrow as pa

from chalkmark.tables.spec import TableSpec


def described(spec: TableSpec) -> pa.Table:
    """One row a column, those that only the view has last."""
    rows = [
        {"column": c.name, "type": sql_type(c.type), "unit": c.unit, "nullable": c.nullable, "meaning": c.doc}
        for c in (*spec.columns, *spec.view_columns)
    ]
    schema = pa.schema(
        [
            ("column", pa.string()),
            ("type", pa.string()),
            ("unit", pa.string()),
            ("nullable", pa.bool_()),
            ("meaning", pa.string()),
        ]
    )
    return pa.Table.from_pylist(rows, schema)


def sql_type(type_: pa.DataType) -> str:
    """The type as SQL calls it. Raises KeyError for one that no table has."""
    if pa.types.is_map(type_):
        return f"map({sql_type(type_.key_type)}, {sql_type(type_.item_type)})"
    if pa.types.is_list(type_):
        return f"{sql_type(type_.value_type)}[]"
    if pa.types.is_timestamp(type_):
        return "timestamptz"
    if pa.types.is_fixed_size_binary(type_):
        return "blob"
    names = {
        pa.string(): "varchar",
        pa.int64(): "bigint",
        pa.int32(): "integer",
        pa.int8(): "tinyint",
        pa.float64(): "double",
        pa.bool_(): "boolean",
    }
    return names[type_]
