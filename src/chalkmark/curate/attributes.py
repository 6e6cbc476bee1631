"""What the attributes of a span say that has a column of its own: the callee's name, sizes, and sampling probability.

Names are those of OpenTelemetry's semantic conventions, the present and the older ones, and of Envoy, Jaeger and
Honeycomb where spans of theirs carry the same fact. A kernel finds the attributes; only what it found is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from chalkmark.curate.buffers import Bytes, Int32s, Int64s, list_offsets, text_buffers

PEER, DATA_STORE, REQUEST, RESPONSE, SAMPLING, SAMPLER, SAMPLER_PARAM, FIELDS = range(8)

# Of several names for one fact the first that a span carries counts.
NAMES: dict[int, tuple[str, ...]] = {
    PEER: ("service.peer.name", "peer.service", "server.address", "net.peer.name"),
    DATA_STORE: ("db.system.name", "db.system", "messaging.system"),
    REQUEST: (
        "http.request.body.size",
        "http.request_content_length",
        "http.request_content_length_uncompressed",
        "http.request.header.content-length",
        "http.request.size",
        "messaging.message.body.size",
        "messaging.message.payload_size_bytes",
        "messaging.message_payload_size_bytes",
        "messaging.message.envelope.size",
        "request_size",
    ),
    RESPONSE: (
        "http.response.body.size",
        "http.response_content_length",
        "http.response_content_length_uncompressed",
        "http.response.header.content-length",
        "http.response.size",
        "response_size",
    ),
    SAMPLING: ("sampling.probability", "SampleRate"),
    SAMPLER: ("sampler.type",),
    SAMPLER_PARAM: ("sampler.param",),
}
_NAMED_SERVICES = 2
"""So many of PEER's names name a service whatever the kind; the others are addresses, which say so of clients only."""


class _Vocabulary(NamedTuple):
    """The names as the kernel reads them, in buckets by length and last byte: those of b are first[b] <= i < first[b + 1].

    Nearly every bucket is empty, so one look is enough for nearly every attribute that is not wanted.
    """

    first: npt.NDArray[np.int16]
    offsets: Int32s
    data: Bytes
    field: Int32s
    rank: npt.NDArray[np.int8]


def _vocabulary() -> _Vocabulary:
    entries = sorted(
        (len(name) * 256 + ord(name[-1]), name, field, rank) for field, names in NAMES.items() for rank, name in enumerate(names)
    )
    buckets, names, fields, ranks = zip(*entries, strict=True)
    return _Vocabulary(
        first=np.searchsorted(buckets, np.arange(buckets[-1] // 256 * 256 + 257)).astype(np.int16),
        offsets=np.concatenate([[0], np.cumsum([len(name) for name in names])]).astype(np.int32),
        data=np.frombuffer("".join(names).encode(), np.uint8),
        field=np.array(fields, np.int32),
        rank=np.array(ranks, np.int8),
    )


_VOCABULARY = _vocabulary()


class Found(NamedTuple):
    """For each field and span: which item of the attributes holds it (-1: none does), and the rank of its name."""

    item: npt.NDArray[np.int32]
    rank: npt.NDArray[np.int8]
    keys: pa.StringArray
    values: pa.StringArray


def find(attributes: pa.MapArray) -> Found:
    """Looks for the NAMES among the attributes of every span."""
    rows = len(attributes)
    item = np.full((FIELDS, rows), -1, np.int32)
    rank = np.full((FIELDS, rows), 127, np.int8)
    keys = attributes.keys
    _find(list_offsets(attributes), *text_buffers(keys), *_VOCABULARY, item, rank)
    return Found(item, rank, keys, attributes.items)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _find(
    rows: Int32s,
    key_offsets: Int32s,
    key_data: Bytes,
    first: npt.NDArray[np.int16],
    name_offsets: Int32s,
    name_data: Bytes,
    name_field: Int32s,
    name_rank: npt.NDArray[np.int8],
    item: Int32s,
    rank: npt.NDArray[np.int8],
) -> None:
    longest = first.size // 256 - 1
    for row in range(rows.size - 1):
        for i in range(rows[row], rows[row + 1]):
            start, end = key_offsets[i], key_offsets[i + 1]
            length = end - start
            if length == 0 or length > longest:
                continue
            bucket = length * 256 + np.int32(key_data[end - 1])
            for name in range(first[bucket], first[bucket + 1]):
                at = name_offsets[name]
                k = length - 2
                while k >= 0 and name_data[at + k] == key_data[start + k]:
                    k -= 1
                if k < 0:
                    field = name_field[name]
                    if name_rank[name] < rank[field, row]:
                        rank[field, row] = name_rank[name]
                        item[field, row] = i
                    break


def sizes(found: Found, field: int) -> pa.Int64Array:
    """Bytes that the attribute of `field` (REQUEST or RESPONSE) gives; null where none does, or what it holds is no size."""
    out, known = _sizes(found.item[field], *text_buffers(found.values))
    return pa.array(out, mask=~known)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sizes(item: Int32s, offsets: Int32s, data: Bytes) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    out = np.zeros(item.size, np.int64)
    known = np.zeros(item.size, np.bool_)
    for row in range(item.size):
        i = item[row]
        if i < 0:
            continue
        start, end = offsets[i], offsets[i + 1]
        # A header is a list of texts, of which a content length has one: ["512"].
        if end - start > 4 and data[start] == 91 and data[start + 1] == 34 and data[end - 2] == 34 and data[end - 1] == 93:
            start += 2
            end -= 2
        # Languages with one type of number send 512.0.
        if end - start > 2 and data[end - 1] == 48 and data[end - 2] == 46:
            end -= 2
        if start == end or end - start > 18:  # 18 digits always fit
            continue
        value = np.int64(0)
        digits = True
        for k in range(start, end):
            c = data[k]
            if c < 48 or c > 57:
                digits = False
                break
            value = value * 10 + np.int64(c - 48)
        if digits:
            out[row] = value
            known[row] = True
    return out, known


CLIENT, PRODUCER = 3, 4
_CALLS = np.array([True, True, False, True, True, False])
"""Kinds (by OTLP's numbers) whose peer is a callee. A server's peer is its caller, a consumer's the broker it reads from."""


def peers(found: Found, kind: npt.NDArray[np.int8]) -> pa.DictionaryArray:
    """Who was called, as the caller names it.

    The name of a service where one is given. Else, for clients and producers, the address they called where it is a
    name and not a number, and else the kind of database or messaging system.
    """
    caller = (kind == CLIENT) | (kind == PRODUCER)
    named = (found.rank[PEER] < _NAMED_SERVICES) & _CALLS[kind]
    item = np.where(named | caller, found.item[PEER], -1)
    names, codes = _distinct(found.values, item)
    usable = np.array([bool(name.strip()) for name in names] + [False])
    address = np.array([_is_address(name) for name in names] + [False])
    unfit = (codes < 0) | ~usable[codes] | (~named & address[codes])
    item = np.where(unfit, np.where(caller, found.item[DATA_STORE], -1), item)
    names, codes = _distinct(found.values, item)
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(names, pa.string()))


def _distinct(values: pa.StringArray, item: Int32s) -> tuple[list[str], Int32s]:
    """The distinct texts at `item` and each row's position among them, -1 where it has none."""
    rows = np.flatnonzero(item >= 0)
    coded = values.take(pa.array(item[rows])).dictionary_encode()
    codes = np.full(item.size, -1, np.int32)
    codes[rows] = coded.indices.to_numpy()
    return coded.dictionary.to_pylist(), codes


def _is_address(name: str) -> bool:
    """True for an IP address, and for `localhost`: neither says who was called."""
    text = name.strip().lower()
    version_4 = text.replace(".", "").isdigit()
    version_6 = text.count(":") > 1 and set(text) <= set("0123456789abcdef:.[]%")
    return version_4 or version_6 or text == "localhost"


def weights(found: Found, trace_state: pa.StringArray) -> npt.NDArray[np.float64]:
    """How many spans each stands for: 1 / sampling probability, 1 where nothing (valid) is said about it.

    The span's W3C tracestate is asked first (https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/),
    then the attributes `sampling.probability`, Honeycomb's `SampleRate`, and Jaeger's probabilistic sampler.
    """
    out = np.ones(len(trace_state), np.float64)
    jaeger = found.item[SAMPLER_PARAM]
    if (jaeger >= 0).any():
        kinds, kind_codes = _distinct(found.values, found.item[SAMPLER])
        probabilistic = np.array([k == "probabilistic" for k in kinds] + [False])[kind_codes]
        _apply(out, found, np.where(probabilistic, jaeger, -1), _inverse_probability)
    for rank, weight in ((1, _rate), (0, _inverse_probability)):
        _apply(out, found, np.where(found.rank[SAMPLING] == rank, found.item[SAMPLING], -1), weight)
    if trace_state.null_count < len(trace_state):
        _tracestate_weights(*text_buffers(trace_state), out)
    return out


def _apply(out: npt.NDArray[np.float64], found: Found, item: Int32s, weight: Callable[[float], float]) -> None:
    if (item >= 0).any():
        distinct, codes = _distinct(found.values, item)
        weights = np.array([weight(_number(text)) for text in distinct] + [0.0])[codes]
        np.copyto(out, weights, where=weights > 0)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _inverse_probability(probability: float) -> float:
    return 1 / probability if 0 < probability <= 1 else 0.0


def _rate(rate: float) -> float:
    return rate if 1 <= rate < math.inf else 0.0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _tracestate_weights(offsets: Int32s, data: Bytes, out: npt.NDArray[np.float64]) -> None:
    """Sets the weight of rows whose tracestate has an `ot` member with a valid `th` or `p`; leaves the others."""
    for row in range(offsets.size - 1):
        start, end = offsets[row], offsets[row + 1]
        while start < end:
            while start < end and (data[start] == 32 or data[start] == 9):  # optional space around members
                start += 1
            stop = start
            while stop < end and data[stop] != 44:  # ','
                stop += 1
            if stop - start > 3 and data[start] == 111 and data[start + 1] == 116 and data[start + 2] == 61:  # 'ot='
                weight = _ot_weight(data, start + 3, stop)
                if weight > 0:
                    out[row] = weight
                break
            start = stop + 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _ot_weight(data: Bytes, start: int, end: int) -> float:
    """1 / probability of an `ot` member's value, which is key:value pairs between semicolons; 0 where it has none."""
    exponent = 0.0
    while start < end:
        stop = start
        while stop < end and data[stop] != 59:  # ';'
            stop += 1
        last = stop
        while last > start and (data[last - 1] == 32 or data[last - 1] == 9):
            last -= 1
        if last - start > 3 and data[start] == 116 and data[start + 1] == 104 and data[start + 2] == 58:  # 'th:'
            threshold: float = _threshold_weight(data, start + 3, last)
            return threshold
        if 2 < last - start < 5 and data[start] == 112 and data[start + 1] == 58:  # 'p:', the older form: 2 ** p
            p = 0
            for k in range(start + 2, last):
                p = p * 10 + (data[k] - 48) if 48 <= data[k] <= 57 else 99
            if p < 63:
                exponent = 2.0**p
        start = stop + 1
    return exponent


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _threshold_weight(data: Bytes, start: int, end: int) -> float:
    """2**56 / (2**56 - threshold), of a threshold of 1 to 14 hexadecimal digits that lacks only trailing zeros."""
    if end - start > 14:
        return 0.0
    threshold = np.int64(0)
    for k in range(start, end):
        c = data[k]
        if 48 <= c <= 57:
            digit = np.int64(c - 48)
        elif 97 <= c <= 102:
            digit = np.int64(c - 87)
        else:
            return 0.0
        threshold = threshold * 16 + digit
    threshold <<= 4 * (14 - (end - start))
    return 2.0**56 / np.float64((np.int64(1) << 56) - threshold)
