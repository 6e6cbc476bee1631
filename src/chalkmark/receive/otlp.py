"""OTLP protobuf: an ExportTraceServiceRequest from its bytes to Arrow.

The bytes are walked by compiled code (`otlp_walk`) that releases Python's lock, so requests decode side by side on
threads. Columns are gathered from what the walk found; nothing is made into a Python object a span.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chalkmark.receive import otlp_walk as w
from chalkmark.receive.otlp_columns import SpanColumns, span_columns
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
KEPT_TABLE_BYTES = 32 << 20
"""What a thread keeps at most from one walk for the next: enough for groups of 2 MiB, not for one enormous request."""
_THREAD = threading.local()
_NOTHING = Received.nothing()
_EMPTY = np.frombuffer(b"\0", np.uint8)
_NO_ANNOTATIONS = pa.array([], ANNOTATION)
_ANNOTATIONS, _QUALITY = SPAN_BATCH.field("annotations").type, SPAN_BATCH.field("quality").type
_FRAME_FAULTS = FAULTS | {w.TOO_MANY_FRAMES: f"more than {w.MAX_FRAMES:,} resources and scopes in one request"}


def decode(body: Any, source: str, received_ns: int) -> Received:
    """Decodes one request, given as bytes or another buffer; for the rules see `decode_together`."""
    whole, _ = decode_together([body], source, received_ns)
    return whole


def decode_together(bodies: Sequence[Any], source: str, received_ns: int) -> tuple[Received, list[Received]]:
    """Decodes requests, at least one, each given as bytes or another buffer, into one batch; says also what each became.

    Spans that are broken or cannot be identified are refused alone. A fault in a frame (the request, ResourceSpans,
    ScopeSpans) costs what follows in that frame and is one rejection, REQUEST_UNDECODABLE; other requests lose nothing.
    A broken Resource or scope counts as empty. `dropped_*_count` and schema URLs are not kept. Nothing raises, whatever
    the bytes, but requests that together have more than MAX_REQUEST_BYTES are a ValueError: decode them one by one.

    A batch of 500 spans costs as much to set up as to fill: busy receivers decode several requests at once.
    """
    ends = np.cumsum([memoryview(body).nbytes for body in bodies], dtype=np.int64)
    if ends[-1] > w.MAX_REQUEST_BYTES:
        if len(bodies) > 1:
            raise ValueError(
                f"{len(bodies)} requests of {ends[-1]:,} bytes; {w.MAX_REQUEST_BYTES:,} are decoded together at most"
            )
        nothing = _too_large(int(ends[-1]), source, received_ns)
        return nothing, [nothing]
    joined = bodies[0] if len(bodies) == 1 else b"".join(bodies)
    wire = np.frombuffer(joined, np.uint8) if ends[-1] else _EMPTY[:0]
    wire.flags.writeable = False  # one compiled version for every kind of buffer
    found = _walk(wire, ends)
    counts = found.senders[: found.sender_count]
    kept = counts[:, w.KEPT] > 0
    refused = np.any(counts[:, w.COUNTS : w.PLACES], axis=1)
    senders = _senders(wire, found, np.flatnonzero(kept | refused).tolist())
    spans = _batch(wire, found, senders, np.flatnonzero(kept), source, received_ns) if found.span_count else _NOTHING.spans
    rejections = [_NOTHING.rejections] * len(bodies)
    with_faults = np.any(found.broken[:, :, 0], axis=1)
    with_faults[np.searchsorted(found.requests[:, w.LAST_SENDER], np.flatnonzero(refused), side="right")] = True
    for i in np.flatnonzero(with_faults).tolist():
        rejections[i] = _rejections(found, i, refused, senders, source, received_ns)
    if len(bodies) == 1:
        whole = Received(spans, rejections[0])
        return whole, [whole]
    faults = [rejections[i] for i in np.flatnonzero(with_faults).tolist()]
    stops = found.requests[:, w.LAST_SPAN].tolist()
    starts = [0, *stops[:-1]]
    parts = [
        Received(spans.slice(start, stop - start), rejected)
        for start, stop, rejected in zip(starts, stops, rejections, strict=True)
    ]
    return Received(spans, pa.concat_batches(faults) if faults else _NOTHING.rejections), parts


def _walk(wire: Array, ends: Array) -> w.Walked:
    """Walks with the tables that this thread's last walk left, as new memory costs about as much as the walk.

    What is made of the tables has to be copied from them.
    """
    tables = getattr(_THREAD, "tables", None) or w.new_tables()
    _THREAD.tables = None  # a walk that ends in an error has lost them
    found = w.Walked(*w.walk(wire, ends, *tables))
    tables = (found.ids, found.spans, found.attributes, found.annotations, found.made)
    if sum(table.nbytes for table in tables) <= KEPT_TABLE_BYTES:
        _THREAD.tables = tables
    return found


def compile_decoder() -> None:
    """Compiles what `decode` needs, or loads it where an earlier process left it, so that no request waits for that."""
    # A resource, a scope, and a span without identifiers, which is refused: the compiled code does not depend on what it reads.
    decode(bytes.fromhex("0a080a0012040a001200"), "", 0)
    ids, spans, attributes, _, made = w.new_tables()
    span_columns(ids, spans, 0, attributes, 0, 0)
    gather(_EMPTY, made, spans, w.NAME, 0)
    gather(_EMPTY, made, attributes, w.KEY, 0)


def _senders(wire: Array, found: w.Walked, wanted: list[int]) -> dict[int, OtlpSender]:
    """The senders with the indices `wanted`."""
    pieces: defaultdict[int, list[bytes]] = defaultdict(list)
    for owner, start, stop in found.pieces[: found.piece_count].tolist():
        pieces[owner].append(wire[start:stop].tobytes())
    joined = {owner: b"".join(parts) for owner, parts in pieces.items()}
    resources = found.senders[:, w.RESOURCE]
    return {i: read_sender(joined.get(int(resources[i]), b""), joined.get(-1 - i, b"")) for i in wanted}


def _too_large(size: int, source: str, received_ns: int) -> Received:
    rejections = Rejections(source, received_ns)
    example = f"the request has {size:,} bytes; {w.MAX_REQUEST_BYTES:,} are the most that is read"
    rejections.add("", "", Reason.REQUEST_UNDECODABLE, example)
    return Received(_NOTHING.spans, rejections.finish())


def _rejections(
    found: w.Walked, request: int, refused: Array, senders: dict[int, OtlpSender], source: str, received_ns: int
) -> pa.RecordBatch:
    """What was refused of one request; `refused` tells which senders have refused spans."""
    rejections = Rejections(source, received_ns)
    first = int(found.requests[request - 1, w.LAST_SENDER]) if request else 0
    for i in (first + np.flatnonzero(refused[first : found.requests[request, w.LAST_SENDER]])).tolist():
        _reject_spans(rejections, found.senders[i], senders[i])
    for code in np.flatnonzero(found.broken[request, :, 0]).tolist():
        count, place = found.broken[request, code].tolist()
        rejections.add("", "", Reason.REQUEST_UNDECODABLE, f"byte {place}: {_FRAME_FAULTS[-code]}", count)
    return rejections.finish()


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
    latest = received_ns + w.DAY_NS
    columns = SpanColumns(*span_columns(found.ids, found.spans, n, found.attributes, found.attribute_count, latest))
    names = _Texts(wire, found, found.spans, w.NAME, n)
    messages = _Texts(wire, found, found.spans, w.MESSAGE, n)
    states = _Texts(wire, found, found.spans, w.STATE, n)
    keys = _Texts(wire, found, found.attributes, w.KEY, found.attribute_count)
    values = _Texts(wire, found, found.attributes, w.VALUE, found.attribute_count)
    for texts in (names, messages, states):
        texts.mark(columns.marks)
    for texts in (keys, values):
        texts.mark(columns.marks, columns.attribute_offsets)
    annotations = _annotations(wire, found, columns)
    findings, codes, senders_texts = _sender_codes(senders, used, found.sender_count)
    if findings.any():
        np.bitwise_or(columns.marks, findings[columns.sender], out=columns.marks)
    marks = int(np.bitwise_or.reduce(columns.marks))
    operations = names.array()
    if marks & w.NAME_MISSING:
        operations = pa.array([text or UNKNOWN_OPERATION for text in operations.to_pylist()], pa.string())
    arrays = [
        _plain(columns.trace_ids, TRACE_ID),
        _plain(columns.span_ids, SPAN_ID),
        _plain(columns.parent_ids, SPAN_ID, columns.with_parent),
        operations,
        _plain(columns.kind, pa.int8()),
        _plain(columns.start, pa.int64()),
        _plain(columns.end, pa.int64()),
        _plain(columns.status, pa.int8()),
        messages.array(null_where_empty=True),
        _plain(columns.flags, pa.int32()),
        states.array(null_where_empty=True),
        _map(columns.attribute_offsets, keys.array(), values.array()),
        pa.StringArray.from_buffers(n, pa.py_buffer(columns.attribute_offsets), pa.py_buffer(columns.letters)),
        annotations,
        _coded(codes[columns.sender], senders_texts),
        _coded(np.zeros(n, np.int32), [source]),
        _quality(columns.marks, marks),
        _plain(np.full(n, received_ns, np.int64), pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SPAN_BATCH)


def _sender_codes(senders: dict[int, OtlpSender], used: Array, count: int) -> tuple[Array, Array, list[str]]:
    """By sender the marks it earns its spans and its code; the texts by code. The same few senders come again and again."""
    marks, codes = np.zeros(count, np.int64), np.zeros(count, np.int32)
    texts: dict[str, int] = {}
    for i in used.tolist():
        sender = senders[i]
        codes[i] = texts.setdefault(sender.text, len(texts))
        if sender.findings:
            marks[i] = sum(_BITS[finding] for finding in sender.findings)
    return marks, codes, list(texts)


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


def _plain(values: Array, type_: pa.DataType, present: Array | None = None) -> pa.Array:
    """A column of fixed width; `present` is Arrow's bitmap of the rows that are not null."""
    valid = None if present is None else pa.py_buffer(present)
    return pa.Array.from_buffers(type_, len(values), [valid, pa.py_buffer(values)])


def _coded(codes: Array, texts: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(_plain(codes, pa.int32()), pa.array(texts, pa.string()), safe=False)


def _map(ends: Array, keys: pa.Array, values: pa.Array) -> pa.MapArray:
    entries = pa.StructArray.from_arrays([keys, values], fields=[TEXT_MAP.key_field, TEXT_MAP.item_field])
    return pa.MapArray.from_buffers(TEXT_MAP, len(ends) - 1, [None, pa.py_buffer(ends)], children=[entries])


def _annotations(wire: Array, found: w.Walked, columns: SpanColumns) -> pa.ListArray:
    """The annotations; marks the spans whose annotations' keys were broken."""
    offsets, count = columns.annotation_offsets, found.annotation_count
    entries = _NO_ANNOTATIONS
    if count:  # most spans have none, and an empty column costs as much to build as a full one
        keys = _Texts(wire, found, found.annotations, w.KEY, count)
        keys.mark(columns.marks, offsets)
        values = _Texts(wire, found, found.annotations, w.VALUE, count)
        kinds = _Texts(wire, found, found.annotations, w.ANNOTATION_KIND, count)
        rows = found.annotations[:count]
        present = np.packbits(rows[:, w.ANNOTATION_KIND] == w.EVENT, bitorder="little")  # links have no time
        times = _plain(rows[:, w.AT_NS].copy(), pa.int64(), present)
        entries = pa.StructArray.from_arrays([kinds.array(), keys.array(), values.array(), times], fields=list(ANNOTATION))
    return pa.ListArray.from_buffers(_ANNOTATIONS, len(offsets) - 1, [None, pa.py_buffer(offsets)], children=[entries])


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
