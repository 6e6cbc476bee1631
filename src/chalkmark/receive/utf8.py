"""UTF-8 for compiled code: which bytes are text, and U+FFFD for those that are not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from chalkmark.receive.borrowed import Int

REPLACEMENT = (0xEF, 0xBF, 0xBD)
"""U+FFFD in UTF-8."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sequence(data: Any, p: Int, end: Int) -> Int:
    """Bytes in the UTF-8 sequence at `p`, whose first byte is not ASCII; or, negative, how many one U+FFFD stands for.

    Broken bytes are grouped as the Unicode standard recommends (maximal subparts, section 3.9), as Python's `replace` does.
    """
    lead = data[p]
    low = np.uint8(0x80)
    high = np.uint8(0xBF)
    if 0xC2 <= lead <= 0xDF:
        more = 1
    elif 0xE0 <= lead <= 0xEF:
        more = 2
        if lead == 0xE0:
            low = np.uint8(0xA0)
        elif lead == 0xED:
            high = np.uint8(0x9F)
    elif 0xF0 <= lead <= 0xF4:
        more = 3
        if lead == 0xF0:
            low = np.uint8(0x90)
        elif lead == 0xF4:
            high = np.uint8(0x8F)
    else:
        return -1
    for i in range(1, more + 1):
        if p + i >= end or data[p + i] < low or data[p + i] > high:
            return -i
        low = np.uint8(0x80)
        high = np.uint8(0xBF)
    return more + 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def is_valid(data: Any, p: Int, end: Int) -> bool:
    """Whether the bytes from `p` to `end` are UTF-8."""
    while p < end:
        if data[p] < 128:
            p += 1
            continue
        size = sequence(data, p, end)
        if size < 0:
            return False
        p += size
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def mended(data: Any, p: Int, end: Int, out: Any, at: Int) -> Int:
    """Writes the text from `p` to `end` to `out` at `at` with U+FFFD for what is broken (at most three times the bytes)."""
    while p < end:
        size = 1 if data[p] < 128 else sequence(data, p, end)
        if size < 0:
            for byte in REPLACEMENT:
                out[at] = byte
                at += 1
            p -= size
        for i in range(size):
            out[at + i] = data[p + i]
        if size > 0:
            at += size
            p += size
    return at
