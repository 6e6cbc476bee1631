"""Arrays without reference counts, for compiled code that calls small functions very often.

Numba counts references around every call that takes an array, and a decoder makes some fifty calls a span: without the
counting it takes half the time. Whoever borrows keeps the original alive.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from numba import njit
from numba.core import cgutils, config, types
from numba.extending import intrinsic

Int: TypeAlias = Any
"""A 64-bit number: Python's int to Python, a machine word to compiled code."""


@intrinsic  # type: ignore[untyped-decorator]
def uncounted(_context: Any, array: Any) -> Any:
    """The same array, but not counted as a reference to its memory."""

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        copy = cgutils.create_struct_proxy(array)(context, builder, value=arguments[0])
        copy.meminfo = cgutils.get_null_value(copy.meminfo.type)
        copy.parent = cgutils.get_null_value(copy.parent.type)
        return copy._getvalue()

    return array(array), build


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_context: Any, array: Any) -> Any:
    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return cgutils.create_struct_proxy(array)(context, builder, value=arguments[0]).data

    return types.CPointer(array.dtype)(array), build  # type: ignore[attr-defined]


@intrinsic  # type: ignore[untyped-decorator]
def _copy(_context: Any, out: Any, at: Any, source: Any, start: Any, size: Any) -> Any:
    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        out, at, source, start, size = arguments
        cgutils.raw_memcpy(builder, builder.gep(out, [at]), builder.gep(source, [start]), size, 1)

    return types.void(out, types.int64, source, types.int64, types.int64), build


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _checked_copy(out: Any, at: Int, source: Any, start: Int, size: Int) -> None:
    for i in range(size):
        out[at + i] = source[start + i]


copy = _checked_copy if config.BOUNDSCHECK else _copy
"""Copies `size` bytes between what `pointer` gave: from `source` at `start` to `out` at `at`."""

pointer = uncounted if config.BOUNDSCHECK else _pointer
"""The items of a one-dimensional array, to be read and written by index, and nothing else.

An array where NUMBA_BOUNDSCHECK asks for checks, so that tests can prove that none fails.
"""
