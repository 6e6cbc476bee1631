"""Arrow columns as NumPy arrays for kernels, and back, without copying what need not be copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chalkmark.tables.spec import TableSpec, coded

Ids = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.int32]


def array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column as one array; one dictionary where it is dictionary-coded."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks == 1:
            return column.chunk(0)
        if pa.types.is_dictionary(column.type):
            column = column.unify_dictionaries()
        return column.combine_chunks() if column.num_chunks else pa.array([], column.type)
    return column


def numbers(column: pa.ChunkedArray | pa.Array, absent: int | float = 0) -> npt.NDArray[Any]:
    """Values of a numeric column; nulls become `absent`."""
    a = array(column)
    values: npt.NDArray[Any] = (a.fill_null(absent) if a.null_count else a).to_numpy(zero_copy_only=False)
    return values


def ids(column: pa.ChunkedArray | pa.Array) -> tuple[Ids, ...]:
    """A fixed-size binary column as its big-endian 64-bit words, the first one first, so that words compare as bytes do.

    Nulls become 0, which is no valid identifier.
    """
    a = array(column)
    words = a.type.byte_width // 8
    raw = np.frombuffer(a.buffers()[1] or b"", ">u8", len(a) * words, a.offset * a.type.byte_width).reshape(len(a), words)
    out = raw.astype(np.uint64)
    if a.null_count:
        out[a.is_null().to_numpy(zero_copy_only=False)] = 0
    return tuple(np.ascontiguousarray(out[:, w]) for w in range(words))


def binary(*words: Ids, absent: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Fixed-size binary from big-endian words; null where `absent`."""
    data = np.stack(words, axis=1).astype(">u8")
    validity = None if absent is None else pa.py_buffer(np.packbits(~absent, bitorder="little"))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(8 * len(words)), len(data), [validity, pa.py_buffer(data)])


def codes(column: pa.ChunkedArray | pa.Array) -> tuple[Codes, pa.Array]:
    """Codes (-1 for null) and dictionary of a dictionary-coded column."""
    a = array(column)
    return numbers(a.indices, -1).astype(np.int32, copy=False), a.dictionary


def texts(values: Codes, dictionary: pa.Array) -> pa.DictionaryArray:
    """Texts as codes of a dictionary; -1 becomes null. Written to Parquet as they are, which spares hashing every text."""
    absent = values < 0
    return pa.DictionaryArray.from_arrays(pa.array(values, mask=absent if absent.any() else None), dictionary)


def unified(*columns: tuple[Codes, pa.Array]) -> tuple[list[Codes], pa.Array]:
    """Codes of several columns over one sorted dictionary, so that codes compare as the texts do."""
    every = pa.concat_arrays([dictionary.cast(pa.string()) for _, dictionary in columns])
    distinct = every.unique().drop_null()
    distinct = distinct.take(pc.sort_indices(distinct))
    out = []
    for values, dictionary in columns:
        positions = numbers(pc.index_in(dictionary.cast(pa.string()), distinct), -1).astype(np.int32)
        positions = np.append(positions, np.int32(-1))  # code -1 picks this last entry
        out.append(positions[values])
    return out, distinct


def table(spec: TableSpec, values: Mapping[str, pa.Array | npt.NDArray[Any]]) -> pa.Table:
    """A table of the columns of `spec`; a value of another type, or a null where none may be, is an error.

    Texts may be dictionary-coded, at the top or within a map; such a column keeps its coding.
    """
    arrays, fields = [], []
    for field in spec.schema:
        value = values[field.name]
        column = value if isinstance(value, pa.Array) else pa.array(value)
        if not field.nullable and column.null_count:
            raise ValueError(f"{spec.name}.{field.name} must not be null")
        field = coded(field, column.type)
        arrays.append(column if column.type == field.type else column.cast(field.type))
        fields.append(field)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))
