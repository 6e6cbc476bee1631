"""OTLP protobuf: an ExportTraceServiceRequest from its bytes to Arrow.

The bytes are walked by compiled code (`otlp_walk`) that releases Python's lock, so requests decode side by side on
threads. Columns are gathered from what the walk found; nothing is made into a Python object a span.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chalkmark.receive import otlp_walk as w
from chalkmark.receive.otlp_sender import OtlpSender, read_sender
from chalkmark.receive.otlp_value import TOO_DEEP, UTF8_BROKEN
from chalkmark.receive.protobuf_wire import FAULTS
from chalkmark.receive.rows import UNKNOWN_OPERATION, Rejections
from chalkmark.receive.text_columns import gather
from chalkmark.tables.landing import ANNOTATION, SPAN_BATCH, Received
from chalkmark.tables.quality import Reason
from chalkmark.tables.spec import SPAN_ID, TEXT_MAP, TRACE_ID

Array: TypeAlias = npt.NDArray[Any]

_SERVICE_MISSING = 128
_MARKS = {
    UTF8_BROKEN: Reason.UTF8_INVALID,
    _SERVICE_MISSING: Reason.SERVICE_MISSING,
    w.NAME_MISSING: Reason.OPERATION_MISSING,
    w.PARENT_MALFORMED: Reason.PARENT_ID_MALFORMED,
    w.KIND_UNKNOWN: Reason.KIND_UNKNOWN,
    w.STATUS_UNKNOWN: Reason.STATUS_UNKNOWN,
    w.TIME_IMPLAUSIBLE: Reason.TIME_IMPLAUSIBLE,
    TOO_DEEP: Reason.VALUE_TOO_DEEP,
}
"""Reasons by bit, in the order in which they stand in `quality`."""
_BITS = {reason: bit for bit, reason in _MARKS.items()}

_ID_CAUSES = {
    w.TRACE_ID_MISSING: (Reason.TRACE_ID_MISSING, "trace_id is missing or all zeros"),
    w.TRACE_ID_MALFORMED: (Reason.TRACE_ID_MALFORMED, "trace_id is neither 8 nor 16 bytes"),
    w.SPAN_ID_MISSING: (Reason.SPAN_ID_MISSING, "span_id is missing or all zeros"),
    w.SPAN_ID_MALFORMED: (Reason.SPAN_ID_MALFORMED, "span_id is not 8 bytes"),
}
_NOTHING = Received.nothing()
_EMPTY = np.frombuffer(b"\0", np.uint8)
_MADE = np.empty((1, 1), np.uint8)
_ANNOTATIONS, _QUALITY = SPAN_BATCH.field("annotations").type, SPAN_BATCH.field("quality").type
_FRAME_FAULTS = FAULTS | {w.TOO_MANY_FRAMES: f"more than {w.MAX_FRAMES:,} resources and scopes in one request"}


def decode(body: Any, source: str, received_ns: int) -> Received:
    """Decodes one request, given as bytes or another buffer.

    Spans that are broken or cannot be identified are refused alone. A fault in a frame (the request, ResourceSpans,
    ScopeSpans) costs what follows in that frame and is one rejection, REQUEST_UNDECODABLE. A broken Resource or scope
    counts as empty. `dropped_*_count` and schema URLs are not kept. Nothing raises, whatever the bytes.
    """
    wire = np.frombuffer(body, np.uint8) if memoryview(body).nbytes else _EMPTY[:0]
    if len(wire) > w.MAX_REQUEST_BYTES:
        rejections = Rejections(source, received_ns)
        example = f"the request has {len(wire):,} bytes; {w.MAX_REQUEST_BYTES:,} are the most that is read"
        rejections.add("", "", Reason.REQUEST_UNDECODABLE, example)
        return Received(_NOTHING.spans, rejections.finish())
    wire.flags.writeable = False  # one compiled version for every kind of buffer
    found = w.Walked(*w.walk(wire))
    counts = found.senders[: found.sender_count]
    used, refused = np.flatnonzero(counts[:, w.KEPT]), np.flatnonzero(counts[:, w.COUNTS : w.PLACES].any(axis=1))
    senders = _senders(wire, found, sorted({*used.tolist(), *refused.tolist()}))
    spans, rejected = _NOTHING.spans, _NOTHING.rejections
    if found.span_count:
        spans = _batch(wire, found, senders, used, source, received_ns)
    if len(refused) or found.broken.any():
        rejections = Rejections(source, received_ns)
        for i in refused.tolist():
            _reject_spans(rejections, found.senders[i], senders[i])
        for code in np.flatnonzero(found.broken[:, 0]).tolist():
            count, place = found.broken[code].tolist()
            rejections.add("", "", Reason.REQUEST_UNDECODABLE, f"byte {place}: {_FRAME_FAULTS[-code]}", count)
        rejected = rejections.finish()
    return Received(spans, rejected)


def compile_decoder() -> None:
    """Compiles what `decode` needs, or loads it where an earlier process left it, so that no request waits for that."""
    # A resource, a scope, and a span without identifiers, which is refused: the compiled code does not depend on what it reads.
    decode(bytes.fromhex("0a080a0012040a001200"), "", 0)
    gather(_EMPTY, _MADE, np.zeros((0, 2), np.int64), 0, 0)
    gather(_EMPTY, _MADE, np.zeros((0, 2), np.int32), 0, 0)


def _senders(wire: Array, found: w.Walked, wanted: list[int]) -> dict[int, OtlpSender]:
    """The senders with the indices `wanted`."""
    pieces: defaultdict[int, list[bytes]] = defaultdict(list)
    for owner, start, stop in found.pieces[: found.piece_count].tolist():
        pieces[owner].append(wire[start:stop].tobytes())
    joined = {owner: b"".join(parts) for owner, parts in pieces.items()}
    resources = found.senders[:, w.RESOURCE]
    return {i: read_sender(joined.get(int(resources[i]), b""), joined.get(-1 - i, b"")) for i in wanted}


def _reject_spans(rejections: Rejections, row: Array, sender: OtlpSender) -> None:
    for code in range(1, w.CAUSES):
        count = int(row[w.COUNTS + code])
        if count:
            reason, fault = _ID_CAUSES.get(-code) or (Reason.SPAN_UNDECODABLE, FAULTS[-code])
            rejections.add(sender.service, sender.sdk, reason, f"span at byte {row[w.PLACES + code]}: {fault}", count)


def _batch(
    wire: Array, found: w.Walked, senders: dict[int, OtlpSender], used: Array, source: str, received_ns: int
) -> pa.RecordBatch:
    n = found.span_count
    spans = found.spans[:n]
    names = _Texts(wire, found, found.spans, w.NAME, n)
    messages = _Texts(wire, found, found.spans, w.MESSAGE, n)
    states = _Texts(wire, found, found.spans, w.STATE, n)
    keys = _Texts(wire, found, found.attributes, w.KEY, found.attribute_count)
    values = _Texts(wire, found, found.attributes, w.VALUE, found.attribute_count)
    notes = _Texts(wire, found, found.annotations, w.KEY, found.annotation_count)
    remarks = _Texts(wire, found, found.annotations, w.VALUE, found.annotation_count)
    attribute_ends, annotation_ends = _ends(spans[:, w.LAST_ATTRIBUTE]), _ends(spans[:, w.LAST_ANNOTATION])
    start = spans[:, w.START].copy()

    marks = spans[:, w.MARKS].copy()
    marks[(start < w.Y2000_NS) | (start > received_ns + w.DAY_NS)] |= w.TIME_IMPLAUSIBLE
    for texts in (names, messages, states):
        texts.mark(marks)
    for texts in (keys, values):
        texts.mark(marks, attribute_ends)
    notes.mark(marks, annotation_ends)
    findings = np.array([sum(_BITS[f] for f in senders[i].findings) for i in used.tolist()], np.int64)
    codes = np.searchsorted(used, spans[:, w.SENDER]).astype(np.int32)
    if findings.any():
        marks |= findings[codes]
    found_marks = int(np.bitwise_or.reduce(marks))

    operations = names.array()
    if found_marks & w.NAME_MISSING:
        operations = pa.array([text or UNKNOWN_OPERATION for text in operations.to_pylist()], pa.string())
    parents = found.ids[:n, 24:]
    letters = found.attributes[: found.attribute_count, w.LETTER].astype(np.uint8)
    columns = [
        _plain(found.ids[:n, :16], TRACE_ID),
        _plain(found.ids[:n, 16:24], SPAN_ID),
        _plain(parents, SPAN_ID, np.packbits(parents.any(axis=1), bitorder="little")),
        operations,
        _plain(spans[:, w.KIND].astype(np.int8), pa.int8()),
        _plain(start, pa.int64()),
        _plain(spans[:, w.END], pa.int64()),
        _plain(spans[:, w.STATUS].astype(np.int8), pa.int8()),
        messages.array(null_where_empty=True),
        _plain(spans[:, w.FLAGS].astype(np.int32), pa.int32()),  # the bits of an unsigned number
        states.array(null_where_empty=True),
        _map(attribute_ends, keys.array(), values.array()),
        pa.StringArray.from_buffers(n, pa.py_buffer(attribute_ends), pa.py_buffer(letters)),
        _annotations(found, annotation_ends, notes.array(), remarks.array()),
        _coded(codes, [senders[i].text for i in used.tolist()]),
        _coded(np.zeros(n, np.int32), [source]),
        _quality(marks, found_marks),
        _plain(np.full(n, received_ns, np.int64), pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SPAN_BATCH)


class _Texts:
    """A text column that is gathered from columns `column` (position) and `column` + 1 (size) of `places`."""

    def __init__(self, wire: Array, found: w.Walked, places: Array, column: int, count: int) -> None:
        self._offsets, self._data, self._broken = gather(wire, found.made, places, column, count)

    def mark(self, marks: Array, ends: Array | None = None) -> None:
        """Marks the rows whose texts were broken; `ends` are the offsets of the list that the texts are items of."""
        if len(self._broken):
            items = np.flatnonzero(self._broken)
            rows = items if ends is None else np.searchsorted(ends, items, side="right") - 1
            marks[rows] |= UTF8_BROKEN

    def array(self, null_where_empty: bool = False) -> pa.StringArray:
        """The column, over the gathered buffers."""
        count = len(self._offsets) - 1
        present = None
        if null_where_empty:
            if not len(self._data):
                return pa.nulls(count, pa.string())
            present = pa.py_buffer(np.packbits(self._offsets[1:] != self._offsets[:-1], bitorder="little"))
        return pa.StringArray.from_buffers(count, pa.py_buffer(self._offsets), pa.py_buffer(self._data), present)


def _ends(lasts: Array) -> Array:
    """Arrow's offsets of a list column."""
    offsets = np.zeros(len(lasts) + 1, np.int32)
    offsets[1:] = lasts
    return offsets


def _plain(values: Array, type_: pa.DataType, present: Array | None = None) -> pa.Array:
    """A column of fixed width; `present` is Arrow's bitmap of the rows that are not null."""
    valid = None if present is None else pa.py_buffer(present)
    return pa.Array.from_buffers(type_, len(values), [valid, pa.py_buffer(np.ascontiguousarray(values))])


def _coded(codes: Array, texts: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(_plain(codes, pa.int32()), pa.array(texts, pa.string()))


def _map(ends: Array, keys: pa.Array, values: pa.Array) -> pa.MapArray:
    entries = pa.StructArray.from_arrays([keys, values], fields=[TEXT_MAP.key_field, TEXT_MAP.item_field])
    return pa.MapArray.from_buffers(TEXT_MAP, len(ends) - 1, [None, pa.py_buffer(ends)], children=[entries])


def _annotations(found: w.Walked, ends: Array, keys: pa.Array, values: pa.Array) -> pa.ListArray:
    rows = found.annotations[: found.annotation_count]
    kinds = pa.array(["event", "link"]).take(pa.array(rows[:, w.IS_LINK].astype(np.int8)))
    present = np.packbits(rows[:, w.IS_LINK] == 0, bitorder="little")  # links have no time
    times = _plain(rows[:, w.AT_NS], pa.int64(), present)
    entries = pa.StructArray.from_arrays([kinds, keys, values, times], fields=list(ANNOTATION))
    return pa.ListArray.from_buffers(_ANNOTATIONS, len(ends) - 1, [None, pa.py_buffer(ends)], children=[entries])


def _quality(marks: Array, found: int) -> pa.ListArray:
    """The lists of reasons that bit masks stand for; `found` is all of them in one. Nearly all are empty."""
    offsets = np.zeros(len(marks) + 1, np.int32)
    reasons: list[str] = []
    if found:
        table = np.stack([marks & bit != 0 for bit in _MARKS], axis=1)
        offsets[1:] = table.sum(axis=1).cumsum()
        names = list(_MARKS.values())
        reasons = [names[i].value for i in np.nonzero(table)[1].tolist()]
    return pa.ListArray.from_buffers(
        _QUALITY, len(marks), [None, pa.py_buffer(offsets)], children=[pa.array(reasons, pa.string())]
    )
