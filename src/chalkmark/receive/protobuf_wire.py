"""Protobuf's wire format for compiled code: one field at a time, every read checked against the message around it.

https://protobuf.dev/programming-guides/encoding/ is followed. A *position* is an index into the request's bytes; a
negative position is a fault, one of the constants below. Whoever gets a field from `field` holds an extent that lies
inside the message, so the code above this file needs no further bounds checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from chalkmark.receive.borrowed import Int

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types; the low three bits of a tag."""

TRUNCATED = -1
VARINT_TOO_LONG = -2
LENGTH_OVERRUN = -3
FIELD_NUMBER = -4
WIRE_TYPE = -5
GIVEN_TWICE = -6

FAULTS = {
    TRUNCATED: "a field is cut off by the end of its message",
    VARINT_TOO_LONG: "a number takes more than 64 bits",
    LENGTH_OVERRUN: "a length runs past the end of its message",
    FIELD_NUMBER: "a field number is out of range",
    WIRE_TYPE: "a field has a wire type that OTLP does not use (3, 4, 6 or 7)",
    GIVEN_TWICE: "an attribute value is given twice",
}

MAX_TAG = 0xFFFF_FFFF


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _long_varint(wire: Any, p: Int, end: Int) -> tuple[Int, Int]:
    """`varint` of any length."""
    value = np.int64(0)
    shift = np.int64(0)
    while p < end:
        byte = np.int64(wire[p])
        p += 1
        if byte < 128:
            if shift == 63 and byte > 1:
                return np.int64(0), VARINT_TOO_LONG
            return value | (byte << shift), p
        if shift == 63:
            return np.int64(0), VARINT_TOO_LONG
        value |= (byte & 127) << shift
        shift += 7
    return np.int64(0), TRUNCATED


@njit(cache=True, nogil=True, forceinline=True)  # type: ignore[untyped-decorator]
def varint(wire: Any, p: Int, end: Int) -> tuple[Int, Int]:
    """The number at `p` as 64 bits in two's complement, and the position after it."""
    if p < end and wire[p] < 128:
        return np.int64(wire[p]), p + 1  # nearly all tags and sizes
    value, p = _long_varint(wire, p, end)
    return value, p


@njit(cache=True, nogil=True, forceinline=True)  # type: ignore[untyped-decorator]
def field(wire: Any, p: Int, end: Int) -> tuple[Int, Int, Int]:
    """The field at `p`: its tag (number << 3 | wire type), and the extent of its payload, which ends where the next field begins.

    A fault stands in the last value, negative.
    """
    tag, p = varint(wire, p, end)
    if p < 0:
        return np.int64(0), p, p
    if tag < 8 or tag > MAX_TAG:
        return np.int64(0), FIELD_NUMBER, FIELD_NUMBER
    wire_type = tag & 7
    if wire_type == LENGTH:
        size, p = varint(wire, p, end)
        if p < 0:
            return tag, p, p
        if size < 0 or size > end - p:
            return tag, LENGTH_OVERRUN, LENGTH_OVERRUN
        return tag, p, p + size
    if wire_type == VARINT:
        _, stop = varint(wire, p, end)
        return tag, p, stop
    if wire_type == FIXED64:
        stop = p + 8
    elif wire_type == FIXED32:
        stop = p + 4
    else:
        return tag, WIRE_TYPE, WIRE_TYPE
    if stop > end:
        return tag, TRUNCATED, TRUNCATED
    return tag, p, stop


@njit(cache=True, nogil=True, forceinline=True)  # type: ignore[untyped-decorator]
def fixed64(wire: Any, p: Int) -> Int:
    """The eight bytes at `p`, little-endian, as 64 bits in two's complement. `field` has checked that they are there."""
    value = np.int64(0)
    for i in range(8):
        value |= np.int64(wire[p + i]) << (8 * i)
    return value


@njit(cache=True, nogil=True, forceinline=True)  # type: ignore[untyped-decorator]
def fixed32(wire: Any, p: Int) -> Int:
    """The four bytes at `p`, little-endian, as an unsigned number. `field` has checked that they are there."""
    value = np.int64(0)
    for i in range(4):
        value |= np.int64(wire[p + i]) << (8 * i)
    return value


@njit(cache=True, nogil=True, forceinline=True)  # type: ignore[untyped-decorator]
def int32(wire: Any, p: Int, end: Int) -> Int:
    """A varint field read as protobuf reads an int32 or an enum: its low 32 bits, signed."""
    value, _ = varint(wire, p, end)
    return ((value & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000
