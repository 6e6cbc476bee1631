"""JSON text for compiled code: strings, integers, doubles, base64 and hexadecimal, written into a byte array.

Each writer takes the array and a position and returns the position after what it wrote. The caller has made room.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from chalkmark.receive.borrowed import Int
from chalkmark.receive.shortest_double import write_double
from chalkmark.receive.utf8 import REPLACEMENT, sequence

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
_QUOTE, _BACKSLASH = ord('"'), ord("\\")


def _short_escapes() -> np.ndarray:
    """The letter after the backslash by control character; 0 where JSON has none and `\\u00xx` is written."""
    letters = np.zeros(32, np.uint8)
    for code, letter in ((8, "b"), (9, "t"), (10, "n"), (12, "f"), (13, "r")):
        letters[code] = ord(letter)
    return letters


_ESCAPES = _short_escapes()


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_bytes(text: Any, out: Any, at: Int) -> Int:
    """Writes a constant as it is."""
    for i in range(len(text)):
        out[at + i] = text[i]
    return at + len(text)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_int(value: Int, out: Any, at: Int) -> Int:
    """Writes a signed 64-bit integer."""
    if value < 0:
        out[at] = 45  # -
        at += 1
        rest = np.uint64(-(value + 1)) + np.uint64(1)
    else:
        rest = np.uint64(value)
    ten = np.uint64(10)
    count = 1
    scan = rest // ten
    while scan:
        count += 1
        scan //= ten
    for p in range(at + count - 1, at - 1, -1):
        out[p] = 48 + np.uint8(rest % ten)
        rest //= ten
    return at + count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_number(bits: Int, out: Any, at: Int, quoted: bool) -> Int:
    """Writes a double, given by its 64 bits. JSON has no NaN and no infinities: they are words, `quoted` inside a JSON value."""
    if (bits >> 52) & 0x7FF != 0x7FF:
        return write_double(bits, out, at)
    if quoted:
        at = write_bytes(b'"', out, at)
    if bits & 0xF_FFFF_FFFF_FFFF:
        at = write_bytes(b"NaN", out, at)
    elif bits < 0:
        at = write_bytes(b"-Infinity", out, at)
    else:
        at = write_bytes(b"Infinity", out, at)
    if quoted:
        at = write_bytes(b'"', out, at)
    return at


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_string(data: Any, p: Int, end: Int, out: Any, at: Int) -> tuple[Int, bool]:
    """Writes a JSON string of the text from `p` to `end`, at most six times its bytes and two, and says if it was UTF-8."""
    valid = True
    out[at] = _QUOTE
    at += 1
    while p < end:
        byte = data[p]
        if byte >= 128:
            size = sequence(data, p, end)
            if size < 0:
                valid = False
                at = write_bytes(REPLACEMENT, out, at)
                p -= size
            else:
                for i in range(size):
                    out[at + i] = data[p + i]
                at += size
                p += size
            continue
        if byte in (_QUOTE, _BACKSLASH):
            out[at] = _BACKSLASH
            out[at + 1] = byte
            at += 2
        elif byte >= 32:
            out[at] = byte
            at += 1
        elif _ESCAPES[byte]:
            out[at] = _BACKSLASH
            out[at + 1] = _ESCAPES[byte]
            at += 2
        else:
            at = write_bytes(b"\\u00", out, at)
            out[at] = _HEX[byte >> 4]
            out[at + 1] = _HEX[byte & 15]
            at += 2
        p += 1
    out[at] = _QUOTE
    return at + 1, valid


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_base64(data: Any, p: Int, end: Int, out: Any, at: Int) -> Int:
    """Writes a JSON string of bytes in base64 with padding (RFC 4648 section 4)."""
    out[at] = _QUOTE
    at += 1
    while p < end:
        left = min(end - p, 3)
        group = np.int64(data[p]) << 16
        if left > 1:
            group |= np.int64(data[p + 1]) << 8
        if left > 2:
            group |= np.int64(data[p + 2])
        for i in range(4):
            out[at + i] = _BASE64[(group >> (18 - 6 * i)) & 63] if i <= left else 61  # =
        at += 4
        p += 3
    out[at] = _QUOTE
    return at + 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_hex(data: Any, p: Int, end: Int, out: Any, at: Int) -> Int:
    """Writes a JSON string of bytes in hexadecimal, as OTLP writes identifiers."""
    out[at] = _QUOTE
    at += 1
    while p < end:
        out[at] = _HEX[data[p] >> 4]
        out[at + 1] = _HEX[data[p] & 15]
        at += 2
        p += 1
    out[at] = _QUOTE
    return at + 1
