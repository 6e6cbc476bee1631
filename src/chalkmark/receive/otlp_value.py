"""OTLP's attribute values for compiled code: from the wire to JSON text.

`common.proto` of opentelemetry-proto is followed. Members of `AnyValue` that are indices into the tables of a profile
(`string_value_strindex`, `key_strindex`) have no meaning in a trace and are skipped like unknown fields.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from chalkmark.receive.borrowed import Int
from chalkmark.receive.json_text import write_base64, write_bytes, write_int, write_number, write_string
from chalkmark.receive.protobuf_wire import GIVEN_TWICE, field, fixed64, varint

MAX_DEPTH = 16
"""Levels of nesting that are kept; an attribute's own value is the first."""

ROOM = 16
"""Bytes of text that one byte on the wire can become, with a margin: an empty link, two bytes, becomes `{"attributes":{}}`."""

UTF8_BROKEN, TOO_DEEP = 1, 2
"""Marks that a value can earn; bits."""

NO_VALUE = 0
STRING_VALUE, BOOL_VALUE, INT_VALUE, DOUBLE_VALUE = 1 << 3 | 2, 2 << 3, 3 << 3, 4 << 3 | 1
ARRAY_VALUE, MAP_VALUE, BYTES_VALUE = 5 << 3 | 2, 6 << 3 | 2, 7 << 3 | 2
"""Tags of the members of AnyValue."""

KEY, VALUE = 1 << 3 | 2, 2 << 3 | 2
"""Tags of the fields of KeyValue."""

ELEMENT = 1 << 3 | 2
"""Tag of the only field of ArrayValue and of KeyValueList."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def any_value(wire: Any, p: Int, end: Int) -> tuple[Int, Int, Int]:
    """The member that an AnyValue holds and the extent of its payload; the last one wins. A fault stands in the last value."""
    member = np.int64(NO_VALUE)
    start = stop = p
    while p < end:
        tag, first, p = field(wire, p, end)
        if p < 0:
            return member, first, p
        if tag in (STRING_VALUE, INT_VALUE, BOOL_VALUE, DOUBLE_VALUE, ARRAY_VALUE, MAP_VALUE, BYTES_VALUE):
            if tag == member and tag in (ARRAY_VALUE, MAP_VALUE):
                # Protobuf joins the two. No encoder writes that, so it is refused and not guessed at.
                return member, first, np.int64(GIVEN_TWICE)
            member, start, stop = tag, first, p
    return member, start, stop


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def key_value(wire: Any, p: Int, end: Int) -> tuple[Int, Int, Int, Int, Int]:
    """The parts of a KeyValue: extent of the key, member and extent of the value. A fault stands in the last value."""
    key_start = key_stop = p
    member = np.int64(NO_VALUE)
    start = stop = p
    given = False
    while p < end:
        tag, first, p = field(wire, p, end)
        if p < 0:
            return key_start, key_stop, member, start, p
        if tag == KEY:
            key_start, key_stop = first, p
        elif tag == VALUE:
            if given:
                return key_start, key_stop, member, start, np.int64(GIVEN_TWICE)
            given = True
            member, start, stop = any_value(wire, first, p)
            if stop < 0:
                return key_start, key_stop, member, start, stop
    return key_start, key_stop, member, start, stop


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_scalar(wire: Any, member: Int, start: Int, stop: Int, out: Any, at: Int, nested: bool) -> tuple[Int, Int]:
    """Writes a value that holds no others as JSON; returns the position after it and its marks."""
    if member == STRING_VALUE:
        at, valid = write_string(wire, start, stop, out, at)
        return at, np.int64(0) if valid else np.int64(UTF8_BROKEN)
    if member == INT_VALUE:
        number, _ = varint(wire, start, stop)
        at = write_int(number, out, at)
    elif member == BOOL_VALUE:
        number, _ = varint(wire, start, stop)
        at = write_bytes(b"true", out, at) if number else write_bytes(b"false", out, at)
    elif member == DOUBLE_VALUE:
        at = write_number(fixed64(wire, start), out, at, nested)
    elif member == BYTES_VALUE:
        at = write_base64(wire, start, stop, out, at)
    else:
        at = write_bytes(b"null", out, at)
    return at, np.int64(0)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_container(wire: Any, p: Int, end: Int, wanted: Int, keyed: Any, level: Int, out: Any, at: Int) -> tuple[Int, Int]:
    """Writes the fields with tag `wanted` of a message as a JSON object (of KeyValue, `keyed`) or array (of AnyValue).

    `level` is the container's own level of nesting. Returns the position after it, negative for a fault, and marks.
    The containers around the current one wait on a stack, as Numba does not cache functions that call themselves.
    """
    marks = np.int64(0)
    waiting = np.empty((MAX_DEPTH + 1, 4), np.int64)  # position, end, wanted, keyed
    outermost = level
    first_one = True
    out[at] = 123 if keyed else 91  # { [
    at += 1
    while True:
        if p >= end:
            out[at] = 125 if keyed else 93  # } ]
            at += 1
            if level == outermost:
                return at, marks
            level -= 1
            p, end, wanted, keyed = waiting[level, 0], waiting[level, 1], waiting[level, 2], waiting[level, 3] == 1
            first_one = False
            continue
        tag, first, p = field(wire, p, end)
        if p < 0:
            return p, marks
        if tag != wanted:
            continue
        if not first_one:
            out[at] = 44  # ,
            at += 1
        first_one = False
        if keyed:
            key_start, key_stop, member, start, stop = key_value(wire, first, p)
            if stop < 0:
                return stop, marks
            at, valid = write_string(wire, key_start, key_stop, out, at)
            if not valid:
                marks |= UTF8_BROKEN
            out[at] = 58  # :
            at += 1
        else:
            member, start, stop = any_value(wire, first, p)
            if stop < 0:
                return stop, marks
        if level >= MAX_DEPTH:
            at = write_bytes(b"null", out, at)
            marks |= TOO_DEEP
        elif member in (ARRAY_VALUE, MAP_VALUE):
            waiting[level, 0], waiting[level, 1], waiting[level, 2], waiting[level, 3] = p, end, wanted, np.int64(keyed)
            level += 1
            p, end, wanted, keyed = start, stop, np.int64(ELEMENT), np.bool_(member == MAP_VALUE)
            first_one = True
            out[at] = 123 if keyed else 91
            at += 1
        else:
            at, more = write_scalar(wire, member, start, stop, out, at, np.bool_(True))
            marks |= more
