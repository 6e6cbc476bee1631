"""Doubles as the shortest decimal text that reads back as the same double, for compiled code.

The algorithm is Schubfach (Raffaele Giulietti, "The Schubfach way to render doubles", 2020): the interval of decimals
that round to the double is scaled by a tabulated power of ten with 126 bits of precision, and the shortest decimal
inside is picked by integer arithmetic alone.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numba import njit

from chalkmark.receive.borrowed import Int

MAX_TEXT = 25
"""Bytes of the longest text: `-2.2250738585072014e-308`, and one to spare."""

_FIRST_POWER, _LAST_POWER = -292, 324
_MASK = (1 << 64) - 1


def _floor_log2_pow10(k: int) -> int:
    return (k * 1741647) >> 19


def _powers() -> tuple[np.ndarray, np.ndarray]:
    """10**k for every k that occurs, as 128 bits with the highest set, rounded up."""
    powers = []
    for k in range(_FIRST_POWER, _LAST_POWER + 1):
        shift = 127 - _floor_log2_pow10(k)
        exact = Fraction(10) ** k * Fraction(2) ** shift
        powers.append(math.ceil(exact))
    return (np.array([p >> 64 for p in powers], np.uint64), np.array([p & _MASK for p in powers], np.uint64))


_HIGH, _LOW = _powers()


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _multiply(a: Any, b: Any) -> tuple[Any, Any]:
    """The 128-bit product of two unsigned 64-bit numbers: high and low half."""
    half = np.uint64(32)
    mask = np.uint64(0xFFFF_FFFF)
    a0, a1, b0, b1 = a & mask, a >> half, b & mask, b >> half
    low = a0 * b0
    middle = a1 * b0 + (low >> half)
    other = a0 * b1 + (middle & mask)
    return a1 * b1 + (middle >> half) + (other >> half), (other << half) | (low & mask)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scaled(high: Any, low: Any, c: Any) -> Any:
    """c * 10**k rounded to odd: the lowest bit stays set when anything was cut off."""
    x_high, _ = _multiply(low, c)
    y_high, y_low = _multiply(high, c)
    middle = y_low + x_high
    if middle < y_low:
        y_high += np.uint64(1)
    return y_high | np.uint64(middle > np.uint64(1))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def shortest(bits: Int) -> tuple[Int, Int]:
    """Digits and power of ten of the shortest decimal for a finite, positive double, given by its 64 bits without sign."""
    fraction = bits & ((np.int64(1) << 52) - 1)
    exponent = bits >> 52
    if exponent != 0:
        c = fraction | (np.int64(1) << 52)
        q = exponent - 1075
        if -52 <= q <= 0 and c & ((np.int64(1) << -q) - 1) == 0:
            return c >> -q, np.int64(0)
    else:
        c = fraction
        q = np.int64(-1074)
    closer = np.int64(fraction == 0 and exponent > 1)  # the neighbour below is half as far away as the one above
    k = (q * 1262611 - 524031 * closer) >> 22
    h = q + ((-k * 1741647) >> 19) + 1
    high = _HIGH[-k - _FIRST_POWER]
    low = _LOW[-k - _FIRST_POWER]
    odd = c & 1  # the ends of the interval belong to it only when the double is even
    below = np.int64(_scaled(high, low, np.uint64((4 * c - 2 + closer) << h))) + odd
    value = np.int64(_scaled(high, low, np.uint64((4 * c) << h)))
    above = np.int64(_scaled(high, low, np.uint64((4 * c + 2) << h))) - odd
    s = value >> 2
    if s >= 10:
        tens = s // 10
        tens_inside = below <= 40 * tens
        next_inside = 40 * tens + 40 <= above
        if tens_inside != next_inside:
            return tens + np.int64(next_inside), k + 1
    inside = below <= 4 * s
    next_inside = 4 * s + 4 <= above
    if inside != next_inside:
        return s + np.int64(next_inside), k
    middle = 4 * s + 2
    return s + np.int64(value > middle or (value == middle and s & 1 == 1)), k


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_double(bits: Int, out: Any, at: Int) -> Int:
    """Writes a finite double, given by its 64 bits, as JSON; returns the position after it.

    Plain notation from 1e-5 to 1e16, else with an exponent, which is how orjson writes doubles.
    """
    if bits < 0:
        out[at] = 45  # -
        at += 1
        bits &= 0x7FFF_FFFF_FFFF_FFFF
    if bits == 0:
        digits, power = np.int64(0), np.int64(0)
    else:
        digits, power = shortest(bits)
        while digits % 10 == 0:
            digits //= 10
            power += 1
    count = 1
    rest = digits // 10
    while rest:
        count += 1
        rest //= 10
    place = power + count - 1  # of the first digit
    if -5 <= place < 0:
        out[at] = 48
        out[at + 1] = 46  # 0.
        at += 2
        for _ in range(-1 - place):
            out[at] = 48
            at += 1
        return _write_digits(digits, count, count, out, at)
    if 0 <= place < 16:
        for _ in range(power):  # none where it is negative
            digits *= 10
            count += 1
        at = _write_digits(digits, count, place + 1, out, at)
        if count == place + 1:
            out[at] = 46
            out[at + 1] = 48  # .0
            at += 2
        return at
    at = _write_digits(digits, count, np.int64(1), out, at)
    out[at] = 101  # e
    at += 1
    out[at] = 45 if place < 0 else 43  # - or +
    at += 1
    place = abs(place)
    size = 1 if place < 10 else 2 if place < 100 else 3
    return _write_digits(place, size, size, out, at)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write_digits(digits: Int, count: Int, whole: Int, out: Any, at: Int) -> Int:
    """Writes `count` digits, with a point after the first `whole` of them unless that is all of them."""
    point = np.int64(whole < count)
    p = at + count + point
    for i in range(count - 1, -1, -1):
        p -= 1
        out[p] = 48 + digits % 10
        digits //= 10
        if point == 1 and i == whole:
            p -= 1
            out[p] = 46
    return at + count + point
