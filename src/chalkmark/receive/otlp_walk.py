"""The walk over an ExportTraceServiceRequest: from its bytes to a table of where everything lies, for compiled code.

`trace.proto` of opentelemetry-proto is followed; dropped-item counts and schema URLs are not kept. Strings stay where
they are and are known by position; values that need other text than the wire's get it here, in the array `made`.

Frames (the request, ResourceSpans, ScopeSpans) hold spans. A fault ends the innermost message that holds it, because
lengths around it still tell where the next one begins: a broken span is refused alone, a broken frame loses what
follows inside it, and everything else is kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from chalkmark.receive.borrowed import Int, pointer, uncounted
from chalkmark.receive.json_text import write_bytes, write_hex, write_string
from chalkmark.receive.otlp_value import (
    ARRAY_VALUE,
    BOOL_VALUE,
    BYTES_VALUE,
    DOUBLE_VALUE,
    ELEMENT,
    INT_VALUE,
    MAP_VALUE,
    ROOM,
    STRING_VALUE,
    UTF8_BROKEN,
    key_value,
    write_container,
    write_scalar,
)
from chalkmark.receive.otlp_value import KEY as KEY_TAG
from chalkmark.receive.otlp_value import VALUE as VALUE_TAG
from chalkmark.receive.protobuf_wire import field, fixed32, fixed64, int32

MAX_REQUEST_BYTES = 127 << 20
"""Positions in Arrow's text columns have 31 bits, and a byte on the wire becomes up to `ROOM` of text."""

MAX_FRAMES = 100_000
"""ResourceSpans and ScopeSpans in one request; more are no telemetry but an attempt to make work."""

# Why a span is refused or a frame broken: protobuf_wire.FAULTS, and these.
TRACE_ID_MISSING, TRACE_ID_MALFORMED, SPAN_ID_MISSING, SPAN_ID_MALFORMED, TOO_MANY_FRAMES = -7, -8, -9, -10, -11
CAUSES = 12
"""Number of causes, the unused 0 included; a cause is the index -code."""

# Marks that a span can earn, bits; the first two are those of otlp_value.
PARENT_MALFORMED, KIND_UNKNOWN, STATUS_UNKNOWN, NAME_MISSING, TIME_IMPLAUSIBLE = 4, 8, 16, 32, 64

# Columns of `spans`. A text is two columns, position and size; a negative position p lies in `made` at -1 - p.
(SENDER, NAME, NAME_SIZE, KIND, START, END, STATUS, MESSAGE, MESSAGE_SIZE, STATE, STATE_SIZE, FLAGS) = range(12)
(LAST_ATTRIBUTE, LAST_ANNOTATION, MARKS, SPAN_COLUMNS) = range(12, 16)
# Columns of `attributes`.
KEY, KEY_SIZE, VALUE, VALUE_SIZE, LETTER, ATTRIBUTE_COLUMNS = range(6)
# Columns of `annotations`, after the same four.
ANNOTATION_KIND, ANNOTATION_KIND_SIZE, AT_NS, ANNOTATION_COLUMNS = range(4, 8)
# Columns of `requests`: how many of the spans and senders come before its end.
LAST_SPAN, LAST_SENDER, REQUEST_COLUMNS = range(3)
# Columns of `senders`: its resource, how many of its spans are kept, then how many are not, and the first of them, by cause.
RESOURCE, KEPT, COUNTS, PLACES, SENDER_COLUMNS = 0, 1, 2, 2 + CAUSES, 2 + 2 * CAUSES

Y2000_NS = 946_684_800 * 10**9
DAY_NS = 86_400 * 10**9
LATEST_NS = 2**63 - 1

_KINDS = b"eventlink"
"""The kinds of annotations, with which `made` begins."""
EVENT, EVENT_SIZE, LINK, LINK_SIZE = -1, 5, -6, 4


class Walked(NamedTuple):
    """Where everything lies. Arrays are longer than what they hold; the counts say how much counts."""

    span_count: int
    attribute_count: int
    annotation_count: int
    sender_count: int
    piece_count: int
    ids: np.ndarray
    """uint8[spans, 32]: trace, span and parent identifier."""
    spans: np.ndarray
    """int64[spans, SPAN_COLUMNS]."""
    attributes: np.ndarray
    """int32[attributes, ATTRIBUTE_COLUMNS]."""
    annotations: np.ndarray
    """int64[annotations, ANNOTATION_COLUMNS]."""
    made: np.ndarray
    """uint8: text that does not stand on the wire."""
    senders: np.ndarray
    """int64[senders, SENDER_COLUMNS]: one row a ScopeSpans that holds a span."""
    pieces: np.ndarray
    """int64[pieces, 3]: whose, from, to. Parts of a Resource (of resource i) or a scope (of sender -1 - i), to be joined."""
    requests: np.ndarray
    """int64[requests, REQUEST_COLUMNS]."""
    broken: np.ndarray
    """int64[requests, CAUSES, 2]: broken frames by cause, and where in the request the first one is."""


def new_tables() -> tuple[np.ndarray, ...]:
    """`ids`, `spans`, `attributes`, `annotations` and `made` of `Walked` with room for some thousand spans, about 2 MiB."""
    return (
        np.empty((4096, 32), np.uint8),
        np.empty((4096, SPAN_COLUMNS), np.int64),
        np.empty((32768, ATTRIBUTE_COLUMNS), np.int32),
        np.empty((1024, ANNOTATION_COLUMNS), np.int64),
        np.empty((1 << 19, 1), np.uint8),
    )


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grown(array: Any, rows: Int) -> Any:
    """A copy of `array` with room for at least `rows` rows, and for as many again as it had."""
    copy = np.empty((max(rows, 2 * array.shape[0]), array.shape[1]), array.dtype)
    for i in range(array.shape[0]):  # loops, as assigning a slice compiles the text of an error that cannot happen: 2 s
        for j in range(array.shape[1]):
            copy[i, j] = array[i, j]
    return copy


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _nanoseconds(wire: Any, p: Int) -> tuple[Int, Int]:
    """A time, and its mark: times past 2262 do not fit into the 63 bits that there are and become the last that does."""
    time = fixed64(wire, p)
    if time < 0:
        return np.int64(LATEST_NS), np.int64(TIME_IMPLAUSIBLE)
    return time, np.int64(0)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _any_set(wire: Any, p: Int, end: Int) -> bool:
    for i in range(p, end):  # noqa: SIM110  # a loop is what compiles well
        if wire[i] != 0:
            return True
    return False


@njit(cache=True, nogil=True, forceinline=True)  # type: ignore[untyped-decorator]
def _plain_text(wire: Any, p: Int, end: Int) -> Int:
    """Where the text of a KeyValue begins if it is like nearly all: a key, then a string to the end, each under 128 bytes.

    0 if it is not. What `key_value` finds in a dozen steps is checked here by comparing four bytes.
    """
    if end - p < 6 or wire[p] != KEY_TAG or wire[p + 1] >= 128:
        return np.int64(0)
    value = p + 2 + np.int64(wire[p + 1])
    left = end - value
    if left < 4 or left > 129 or wire[value] != VALUE_TAG or wire[value + 2] != STRING_VALUE:
        return np.int64(0)
    if wire[value + 1] != left - 2 or wire[value + 3] != left - 4:
        return np.int64(0)
    return value + 4


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _read_attribute(wire: Any, p: Int, end: Int, attributes: Any, m: Int, made: Any, at: Int) -> tuple[Int, Int]:
    """Reads a KeyValue into row `m`; returns the position in `made` after its text, negative for a fault, and marks."""
    text = _plain_text(wire, p, end)
    if text:
        attributes[m, KEY] = p + 2
        attributes[m, KEY_SIZE] = text - 4 - (p + 2)
        attributes[m, VALUE] = text
        attributes[m, VALUE_SIZE] = end - text
        attributes[m, LETTER] = 115  # s
        return at, np.int64(0)
    key_start, key_stop, member, start, stop = key_value(wire, p, end)
    if stop < 0:
        return stop, np.int64(0)
    attributes[m, KEY] = key_start
    attributes[m, KEY_SIZE] = key_stop - key_start
    if member == STRING_VALUE:
        attributes[m, VALUE] = start
        attributes[m, VALUE_SIZE] = stop - start
        attributes[m, LETTER] = 115  # s
        return at, np.int64(0)
    begin = at
    if member in (ARRAY_VALUE, MAP_VALUE):
        attributes[m, LETTER] = 107 if member == MAP_VALUE else 97  # k, a
        at, marks = write_container(wire, start, stop, np.int64(ELEMENT), np.bool_(member == MAP_VALUE), np.int64(1), made, at)
        if at < 0:
            return at, marks
    else:
        at, marks = write_scalar(wire, member, start, stop, made, at, np.bool_(False))
        if member == INT_VALUE:
            letter = 105  # i
        elif member == DOUBLE_VALUE:
            letter = 100  # d
        elif member == BOOL_VALUE:
            letter = 98  # b
        elif member == BYTES_VALUE:
            letter = 121  # y
        else:
            letter = 110  # n
        attributes[m, LETTER] = letter
    attributes[m, VALUE] = -1 - begin
    attributes[m, VALUE_SIZE] = at - begin
    return at, marks


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _read_event(wire: Any, p: Int, end: Int, annotations: Any, k: Int, made: Any, at: Int) -> tuple[Int, Int]:
    """Reads a Span.Event into row `k`; returns like `_read_attribute`."""
    begin = at
    at, marks = write_container(wire, p, end, np.int64(3 << 3 | 2), np.bool_(True), np.int64(0), made, at)
    if at < 0:
        return at, marks
    annotations[k, KEY] = p
    annotations[k, KEY_SIZE] = 0
    annotations[k, VALUE] = -1 - begin
    annotations[k, VALUE_SIZE] = at - begin
    annotations[k, ANNOTATION_KIND] = EVENT
    annotations[k, ANNOTATION_KIND_SIZE] = EVENT_SIZE
    annotations[k, AT_NS] = 0
    while p < end:
        tag, first, p = field(wire, p, end)
        if tag == (1 << 3 | 1):
            annotations[k, AT_NS], mark = _nanoseconds(wire, first)
            marks |= mark
        elif tag == (2 << 3 | 2):
            annotations[k, KEY] = first
            annotations[k, KEY_SIZE] = p - first
    return at, marks


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _read_link(wire: Any, p: Int, end: Int, annotations: Any, k: Int, made: Any, at: Int) -> tuple[Int, Int]:
    """Reads a Span.Link into row `k`; returns like `_read_attribute`. Identifiers stay as they were sent, absent ones out."""
    begin = at
    trace = trace_end = span = span_end = state = state_end = p
    q = p
    while q < end:
        tag, first, q = field(wire, q, end)
        if q < 0:
            return q, np.int64(0)
        if tag == (1 << 3 | 2):
            trace, trace_end = first, q
        elif tag == (2 << 3 | 2):
            span, span_end = first, q
        elif tag == (3 << 3 | 2):
            state, state_end = first, q
    at = write_bytes(b"{", made, at)
    marks = np.int64(0)
    if trace < trace_end:
        at = write_bytes(b'"trace_id":', made, at)
        at = write_hex(wire, trace, trace_end, made, at)
        at = write_bytes(b",", made, at)
    if span < span_end:
        at = write_bytes(b'"span_id":', made, at)
        at = write_hex(wire, span, span_end, made, at)
        at = write_bytes(b",", made, at)
    if state < state_end:
        at = write_bytes(b'"trace_state":', made, at)
        at, valid = write_string(wire, state, state_end, made, at)
        if not valid:
            marks |= UTF8_BROKEN
        at = write_bytes(b",", made, at)
    at = write_bytes(b'"attributes":', made, at)
    at, more = write_container(wire, p, end, np.int64(4 << 3 | 2), np.bool_(True), np.int64(0), made, at)
    if at < 0:
        return at, marks
    at = write_bytes(b"}", made, at)
    annotations[k, KEY] = annotations[k, ANNOTATION_KIND] = LINK
    annotations[k, KEY_SIZE] = annotations[k, ANNOTATION_KIND_SIZE] = LINK_SIZE
    annotations[k, VALUE] = -1 - begin
    annotations[k, VALUE_SIZE] = at - begin
    annotations[k, AT_NS] = 0
    return at, marks | more


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _read_ids(
    wire: Any, trace: Int, trace_end: Int, span: Int, span_end: Int, parent: Int, parent_end: Int, ids: Any, n: Int
) -> tuple[Int, Int]:
    """Writes the identifiers of row `n`; returns a cause to refuse the span (0 for none), and marks.

    64-bit trace identifiers are padded with zeros on the left, as the W3C's Trace Context asks (level 2, section 3.2.2.3).
    A malformed parent is replaced by a hash, FNV-1a, so that the span stays a child whose parent has not arrived.
    """
    for i in range(32):
        ids[n, i] = 0
    if not _any_set(wire, trace, trace_end):
        return np.int64(TRACE_ID_MISSING), np.int64(0)
    size = trace_end - trace
    if size != 16 and size != 8:
        return np.int64(TRACE_ID_MALFORMED), np.int64(0)
    for i in range(size):
        ids[n, 16 - size + i] = wire[trace + i]
    if not _any_set(wire, span, span_end):
        return np.int64(SPAN_ID_MISSING), np.int64(0)
    if span_end - span != 8:
        return np.int64(SPAN_ID_MALFORMED), np.int64(0)
    for i in range(8):
        ids[n, 16 + i] = wire[span + i]
    if not _any_set(wire, parent, parent_end):
        return np.int64(0), np.int64(0)
    if parent_end - parent == 8:
        for i in range(8):
            ids[n, 24 + i] = wire[parent + i]
        return np.int64(0), np.int64(0)
    digest = np.uint64(0xCBF29CE484222325)
    for i in range(parent, parent_end):
        digest = (digest ^ np.uint64(wire[i])) * np.uint64(0x100000001B3)
    for i in range(8):
        ids[n, 24 + i] = np.uint8((digest >> np.uint64(56 - 8 * i)) & np.uint64(255))
    return np.int64(0), np.int64(PARENT_MALFORMED)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _read_status(wire: Any, p: Int, end: Int, spans: Any, n: Int) -> Int:
    """Reads a Status into row `n`, over what an earlier one left there; returns 0 or a fault."""
    while p < end:
        tag, first, p = field(wire, p, end)
        if p < 0:
            return p
        if tag == (2 << 3 | 2):
            spans[n, MESSAGE] = first
            spans[n, MESSAGE_SIZE] = p - first
        elif tag == (3 << 3):
            spans[n, STATUS] = int32(wire, first, p)
    return np.int64(0)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _read_span(
    wire: Any,
    p: Int,
    end: Int,
    ids: Any,
    spans: Any,
    n: Int,
    attributes: Any,
    m: Int,
    annotations: Any,
    k: Int,
    made: Any,
    at: Int,
) -> tuple[Int, Int, Int, Int]:
    """Reads a Span into row `n`, its attributes from row `m` on, its annotations from row `k` on, and text from `at` on.

    Returns a cause to refuse it (0 for none), and the new `m`, `k` and `at`. There is room: `walk` has seen to it.
    """
    trace = trace_end = span = span_end = parent = parent_end = p
    marks = np.int64(0)
    for column in range(SPAN_COLUMNS):
        spans[n, column] = 0
    while p < end:
        tag, first, p = field(wire, p, end)
        if p < 0:
            return p, m, k, at
        if tag == (9 << 3 | 2):
            at, mark = _read_attribute(wire, first, p, attributes, m, made, at)
            if at < 0:
                return at, m, k, at
            marks |= mark
            m += 1
        elif tag == (1 << 3 | 2):
            trace, trace_end = first, p
        elif tag == (2 << 3 | 2):
            span, span_end = first, p
        elif tag == (4 << 3 | 2):
            parent, parent_end = first, p
        elif tag == (5 << 3 | 2):
            spans[n, NAME] = first
            spans[n, NAME_SIZE] = p - first
        elif tag == (6 << 3):
            spans[n, KIND] = int32(wire, first, p)
        elif tag == (7 << 3 | 1):
            spans[n, START], mark = _nanoseconds(wire, first)
            marks |= mark
        elif tag == (8 << 3 | 1):
            spans[n, END], mark = _nanoseconds(wire, first)
            marks |= mark
        elif tag == (16 << 3 | 5):
            spans[n, FLAGS] = fixed32(wire, first)
        elif tag == (15 << 3 | 2):
            fault = _read_status(wire, first, p, spans, n)
            if fault < 0:
                return fault, m, k, at
        elif tag == (11 << 3 | 2) or tag == (13 << 3 | 2):
            if tag == (11 << 3 | 2):
                at, mark = _read_event(wire, first, p, annotations, k, made, at)
            else:
                at, mark = _read_link(wire, first, p, annotations, k, made, at)
            if at < 0:
                return at, m, k, at
            marks |= mark
            k += 1
        elif tag == (3 << 3 | 2):
            spans[n, STATE] = first
            spans[n, STATE_SIZE] = p - first
    cause, mark = _read_ids(wire, trace, trace_end, span, span_end, parent, parent_end, ids, n)
    marks |= mark
    if spans[n, KIND] < 0 or spans[n, KIND] > 5:
        spans[n, KIND] = 0
        marks |= KIND_UNKNOWN
    if spans[n, STATUS] < 0 or spans[n, STATUS] > 2:
        spans[n, STATUS] = 0
        marks |= STATUS_UNKNOWN
    if spans[n, NAME_SIZE] == 0:
        marks |= NAME_MISSING
    spans[n, MARKS] = marks
    return cause, m, k, at


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def walk(joined: Any, ends: Any, ids: Any, spans: Any, attributes: Any, annotations: Any, made: Any) -> Any:
    """Walks the requests that lie one after another in `joined` and end at `ends`; the other arguments are like `new_tables()`.

    Before each span there is made as much room as its size can need, so that nothing inside checks: tables that are too
    small are replaced by larger ones.
    """
    wire = pointer(joined)
    n = m = k = np.int64(0)
    at = np.int64(len(_KINDS))
    sender_count = resource_count = piece_count = np.int64(0)
    senders = np.zeros((16, SENDER_COLUMNS), np.int64)
    pieces = np.empty((16, 3), np.int64)
    requests = np.empty((len(ends), REQUEST_COLUMNS), np.int64)
    broken = np.zeros((len(ends), CAUSES, 2), np.int64)
    b_ids, b_spans, b_attributes, b_annotations, text = (
        uncounted(ids),
        uncounted(spans),
        uncounted(attributes),
        uncounted(annotations),
        pointer(made[:, 0]),
    )
    write_bytes(_KINDS, text, np.int64(0))

    request_p: Int = np.int64(0)
    for request in range(len(ends)):
        request_start, request_end = request_p, ends[request]
        frames_before = piece_count + sender_count + resource_count
        while request_p < request_end:
            place = request_p
            tag, resource_p, request_p = field(wire, request_p, request_end)
            if request_p < 0:
                _count(broken[request], request_p, place - request_start)
                break
            if tag != (1 << 3 | 2):
                continue
            resource = resource_count
            resource_count += 1
            while True:
                if piece_count + sender_count + resource_count - frames_before > MAX_FRAMES:
                    _count(broken[request], np.int64(TOO_MANY_FRAMES), resource_p - request_start)
                    request_p = request_end
                    break
                if resource_p >= request_p:
                    break
                place = resource_p
                tag, scope_p, resource_p = field(wire, resource_p, request_p)
                if resource_p < 0:
                    _count(broken[request], resource_p, place - request_start)
                    break
                if tag == (1 << 3 | 2):
                    if piece_count == len(pieces):
                        pieces = _grown(pieces, piece_count)
                    pieces[piece_count, 0], pieces[piece_count, 1], pieces[piece_count, 2] = resource, scope_p, resource_p
                    piece_count += 1
                if tag != (2 << 3 | 2):
                    continue
                sender = sender_count
                if sender == len(senders):
                    senders = _grown(senders, sender + 1)
                for column in range(SENDER_COLUMNS):
                    senders[sender, column] = 0
                senders[sender, RESOURCE] = resource
                sender_count += 1
                while scope_p < resource_p:
                    place = scope_p
                    tag, span_p, scope_p = field(wire, scope_p, resource_p)
                    if scope_p < 0:
                        _count(broken[request], scope_p, place - request_start)
                        break
                    if tag == (1 << 3 | 2):
                        if piece_count == len(pieces):
                            pieces = _grown(pieces, piece_count)
                        pieces[piece_count, 0], pieces[piece_count, 1], pieces[piece_count, 2] = -1 - sender, span_p, scope_p
                        piece_count += 1
                    if tag != (2 << 3 | 2):
                        continue
                    size = scope_p - span_p
                    if n == len(spans):
                        spans = _grown(spans, n + 1)
                        ids = _grown(ids, n + 1)
                        b_spans, b_ids = uncounted(spans), uncounted(ids)
                    if m + size // 2 >= len(attributes):
                        attributes = _grown(attributes, m + size // 2 + 1)
                        b_attributes = uncounted(attributes)
                    if k + size // 2 >= len(annotations):
                        annotations = _grown(annotations, k + size // 2 + 1)
                        b_annotations = uncounted(annotations)
                    if at + ROOM * size >= len(made):
                        made = _grown(made, at + ROOM * size + 1)
                        text = pointer(made[:, 0])
                    cause, next_m, next_k, next_at = _read_span(
                        wire, span_p, scope_p, b_ids, b_spans, n, b_attributes, m, b_annotations, k, text, at
                    )
                    if cause < 0:
                        if senders[sender, COUNTS - cause] == 0:
                            senders[sender, PLACES - cause] = place - request_start
                        senders[sender, COUNTS - cause] += 1
                        continue
                    m, k, at = next_m, next_k, next_at
                    senders[sender, KEPT] += 1
                    spans[n, SENDER] = sender
                    spans[n, LAST_ATTRIBUTE] = m
                    spans[n, LAST_ANNOTATION] = k
                    n += 1
        request_p = request_end
        requests[request, LAST_SPAN], requests[request, LAST_SENDER] = n, sender_count
    return n, m, k, sender_count, piece_count, ids, spans, attributes, annotations, made, senders, pieces, requests, broken


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(broken: Any, code: Int, place: Int) -> None:
    """Counts a broken frame."""
    if broken[-code, 0] == 0:
        broken[-code, 1] = place
    broken[-code, 0] += 1
