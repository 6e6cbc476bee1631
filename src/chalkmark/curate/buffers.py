"""Texts and lists of Arrow as the NumPy arrays that kernels read, without a copy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


class Texts(NamedTuple):
    """A text column: row i is `data[offsets[i]:offsets[i + 1]]`."""

    offsets: Int32s
    data: Bytes


def text_buffers(array: pa.StringArray) -> Texts:
    """The buffers of a string array; a null row reads as an empty one."""
    data = array.buffers()[2]
    return Texts(list_offsets(array), np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8))


def list_offsets(array: pa.Array) -> Int32s:
    """Where each row of a string, list or map begins among its bytes or items; one more entry says where the last ends."""
    offsets = array.buffers()[1]
    if not offsets:  # Arrow lets an empty array do without
        return np.zeros(1, np.int32)
    return np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
