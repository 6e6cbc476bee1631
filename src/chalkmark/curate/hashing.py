"""Hashes that are the same in every process, version and machine: paths and shapes are stored under them."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

U64 = np.uint64
Hashes = npt.NDArray[np.uint64]

GOLDEN = U64(0x9E3779B97F4A7C15)


@njit(cache=True, inline="always")
def mix(x):  # type: ignore[no-untyped-def]
    """Finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of uint64 in which every bit depends on every bit."""
    x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
    return x ^ (x >> U64(31))


@njit(cache=True, inline="always")
def chain(previous, item):  # type: ignore[no-untyped-def]
    """Hash of a sequence, one item longer; order matters."""
    return mix(previous + GOLDEN + mix(item))


def texts(dictionary: pa.Array) -> Hashes:
    """Hash of each text: the first 8 bytes of the BLAKE2b digest of its UTF-8."""
    digests = b"".join(blake2b(t.encode(), digest_size=8).digest() for t in dictionary.to_pylist())
    return np.frombuffer(digests, "<u8").astype(np.uint64)
