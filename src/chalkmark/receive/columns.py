"""Spans from the columns of a table, by a mapping that says which column is what.

Everything is done a column at a time. A value that cannot be read costs its row alone: the column is read in halves,
and those again, until the broken values stand alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from chalkmark.receive.mapping import UNITS, Mapping
from chalkmark.receive.rows import (
    DAY_NS,
    KINDS,
    PARENT_SPAN_ID,
    SPAN_ID,
    TRACE_ID,
    UNKNOWN_OPERATION,
    YEAR_2000_NS,
    Annotation,
    IdField,
    Rejections,
    SpanError,
    SpanRows,
    nobody,
    read_identifier,
    undecodable,
    whole,
)
from chalkmark.tables.landing import SPAN_BATCH
from chalkmark.tables.quality import Reason
from chalkmark.tables.spec import TEXT_MAP

ROOT_VALUES = frozenset({"", "0", "-", "root", "none", "null", "nil"})
"""Texts in the column of the parent (in lower case) that mean there is none."""
_RESOURCE = {"service": "service.name", "host": "host.name", "instance": "service.instance.id", "zone": "cloud.availability_zone"}
_STATUSES = {"": 0, "UNSET": 0, "0": 0, "OK": 1, "1": 1, "ERROR": 2, "2": 2}
_KINDS = {"": 0, "UNSPECIFIED": 0, "0": 0, **KINDS, **{str(number): number for number in KINDS.values()}}
# A Deployment's pod is <name>-<replica set>-<5 characters>, a StatefulSet's is <name>-<number>.
_POD_SUFFIX = r"(-[a-f0-9]{6,10}-[a-z0-9]{5}|-[0-9]+)$"
_NIBBLES = np.full(256, 255, np.uint8)
for _digits, _first in (("0123456789", 0), ("abcdef", 10), ("ABCDEF", 10)):
    _NIBBLES[np.frombuffer(_digits.encode(), np.uint8)] = np.arange(_first, _first + len(_digits))

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def decode(batch: pa.RecordBatch, mapping: Mapping, rejections: Rejections, source: str, received_ns: int) -> pa.RecordBatch:
    """The spans in the rows of `batch`, schema SPAN_BATCH; rows that cannot be kept are counted in `rejections`."""
    return _Columns(batch, mapping, received_ns).spans(rejections, source)


class _Columns:
    """One batch being read: what has been found out about its rows so far."""

    def __init__(self, batch: pa.RecordBatch, mapping: Mapping, received_ns: int) -> None:
        self.batch = batch
        self.mapping = mapping
        self.received_ns = received_ns
        self.rows = batch.num_rows
        self.refused: dict[int, SpanError] = {}
        self.marks: dict[Reason, Flags] = {}
        self.notes: dict[int, list[Annotation]] = {}

    def spans(self, rejections: Rejections, source: str) -> pa.RecordBatch:
        trace_id, _ = self.identifiers(TRACE_ID)
        span_id, _ = self.identifiers(SPAN_ID)
        parent, has_parent = self.identifiers(PARENT_SPAN_ID)
        start, end = self.times()
        self.mark(Reason.TIME_IMPLAUSIBLE, (start < YEAR_2000_NS) | (start > self.received_ns + DAY_NS))
        operation = self.texts("operation")
        unnamed = pc.equal(operation, "")
        self.mark(Reason.OPERATION_MISSING, unnamed)
        status_message = self.texts("status_message")
        attributes, letters = self.attributes()
        senders, services = self.senders()
        zeros = pa.array(np.zeros(self.rows, np.int32))
        arrays = {
            "trace_id": _binary(trace_id),
            "span_id": _binary(span_id),
            "parent_span_id": pc.if_else(pa.array(has_parent), _binary(parent), pa.scalar(None, pa.binary(8))),
            "operation": pc.if_else(unnamed, UNKNOWN_OPERATION, operation),
            "kind": self.codes("kind", "SPAN_KIND_", _KINDS, Reason.KIND_UNKNOWN),
            "start_ns": pa.array(start),
            "end_ns": pa.array(end),
            "status": self.codes("status", "STATUS_CODE_", _STATUSES, Reason.STATUS_UNKNOWN),
            "status_message": pc.if_else(pc.equal(status_message, ""), pa.scalar(None, pa.string()), status_message),
            "flags": zeros,
            "trace_state": pa.nulls(self.rows, pa.string()),
            "attributes": attributes,
            "attribute_types": letters,
            "sender": senders,
            "source": pa.DictionaryArray.from_arrays(zeros, pa.array([source], pa.string())),
            "received_ns": pa.array(np.full(self.rows, self.received_ns)),
        }
        # Last, as all of the above add to them.
        arrays["annotations"] = self.annotations()
        arrays["quality"] = self.quality()
        for row, error in self.refused.items():
            rejections.add(services[row].as_py(), "", error.reason, str(error))
        kept = np.ones(self.rows, bool)
        kept[list(self.refused)] = False
        spans = pa.RecordBatch.from_arrays([arrays[name] for name in SPAN_BATCH.names], schema=SPAN_BATCH)
        return spans.filter(pa.array(kept)) if self.refused else spans

    def mark(self, reason: Reason, rows: npt.ArrayLike | pa.Array) -> None:
        """Add a remark to the rows whose flag is set."""
        flags = np.asarray(rows, bool)
        if flags.any():
            self.marks[reason] = self.marks[reason] | flags if reason in self.marks else flags

    def refuse(self, row: int, error: SpanError) -> None:
        """Give up a row; the first reason is the one that counts."""
        self.refused.setdefault(row, error)

    def texts(self, target: str) -> pa.StringArray:
        """The column of `target` as text; empty where there is none or it is null."""
        if target not in self.mapping.columns:
            return pa.array([""], pa.string()).take(pa.array(np.zeros(self.rows, np.int64)))
        values, _ = self.text_column(self.mapping.columns[target])
        return pc.fill_null(values, "")

    def text_column(self, name: str) -> tuple[pa.StringArray, str]:
        """A column as text (nulls stay null) and the letter of its attribute type."""
        values = self.batch.column(name)
        kind = values.type
        if pa.types.is_dictionary(kind):
            values = values.dictionary_decode()
            kind = values.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self.valid_utf8(values).cast(pa.string()), "s"
        if pa.types.is_integer(kind):
            return values.cast(pa.string()), "i"
        if pa.types.is_boolean(kind):
            return values.cast(pa.string()), "b"
        if pa.types.is_floating(kind):
            return pa.array([None if v is None else _double(v) for v in values.to_pylist()], pa.string()), "d"
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            return pa.array([None if v is None else v.hex() for v in values.to_pylist()], pa.string()), "s"
        if pa.types.is_map(kind):
            return pa.array([None if v is None else _json(dict(v)) for v in values.to_pylist()], pa.string()), "k"
        if pa.types.is_nested(kind):
            letter = "k" if pa.types.is_struct(kind) else "a"
            return pa.array([None if v is None else _json(v) for v in values.to_pylist()], pa.string()), letter
        return values.cast(pa.string()), "s"

    def valid_utf8(self, values: pa.Array) -> pa.Array:
        try:
            values.validate(full=True)
        except pa.ArrowInvalid:
            sent: list[bytes | None] = values.cast(pa.large_binary()).to_pylist()
            values = pa.array([None if v is None else v.decode("utf-8", "replace") for v in sent], pa.string())
        # What was repaired, here or by the reader of the file, is known by its U+FFFD.
        self.mark(Reason.UTF8_INVALID, pc.fill_null(pc.match_substring(values, "\ufffd"), False))
        return values

    def identifiers(self, field: IdField) -> tuple[npt.NDArray[np.uint8], Flags]:
        """The identifiers as bytes, one row each, and which rows have one."""
        texts = self.texts(field.name)
        digits = 2 * field.width
        out = np.zeros((self.rows, field.width), np.uint8)
        padded = pc.utf8_lpad(texts, digits, padding="0")
        fits = np.asarray(pc.equal(pc.binary_length(padded), digits), bool)
        rows = np.flatnonzero(fits)
        # The texts that fit are laid end to end, so that two table look-ups read all of them.
        joined = "".join(padded.filter(pa.array(fits)).to_pylist()).encode()
        nibbles = _NIBBLES[np.frombuffer(joined, np.uint8)].reshape(len(rows), digits)
        is_hex = (nibbles < 16).all(axis=1)
        out[rows[is_hex]] = (nibbles[is_hex, 0::2] << 4) | nibbles[is_hex, 1::2]
        present: Flags = np.asarray(out.any(axis=1))
        rest = np.flatnonzero(~present).tolist()
        marked: dict[Reason, list[int]] = {Reason.ID_NOT_HEX: [], Reason.PARENT_ID_MALFORMED: []}
        for row in rest:
            value = texts[row].as_py()
            if field is PARENT_SPAN_ID and value.lower() in ROOT_VALUES:
                continue
            try:
                identifier, was_hex = read_identifier(value, field, pads=True)
            except SpanError as error:
                if field is not PARENT_SPAN_ID:
                    self.refuse(row, error)
                    continue
                if error.reason is field.missing:
                    continue
                marked[error.reason].append(row)
                identifier, was_hex = nobody(value), True
            if not was_hex:
                marked[Reason.ID_NOT_HEX].append(row)
                self.notes.setdefault(row, []).append(SpanRows.note(field.name, value))
            out[row] = np.frombuffer(identifier, np.uint8)
            present[row] = True
        for reason, which in marked.items():
            flags = np.zeros(self.rows, bool)
            flags[which] = True
            self.mark(reason, flags)
        return out, present

    def times(self) -> tuple[Ints, Ints]:
        """Start and end in ns."""
        start, end, duration = (self.nanoseconds(field) for field in ("start", "end", "duration"))
        assert start is not None  # a mapping without one is refused when it is read
        if end is None:
            assert duration is not None
            end = start + duration
            for row in np.flatnonzero((duration >= 0) != (end >= start)).tolist():
                self.refuse(row, undecodable("duration", int(duration[row]), "within 64 bits after the start"))
        return start, end

    def nanoseconds(self, field: str) -> Ints | None:
        mapped = self.mapping.time(field)
        if mapped is None:
            return None
        column, unit = mapped
        values = self.batch.column(column)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_timestamp(values.type):
            values = pc.cast(values, pa.timestamp("ns", values.type.tz), safe=False)
            values = values.view(pa.int64()) if values.type.tz is None else values.cast(pa.int64())
        elif pa.types.is_duration(values.type):
            values = pc.cast(values, pa.duration("ns"), safe=False).cast(pa.int64())
        elif unit == "iso":
            return self.converted(values, _iso, lambda value: _no_time(column, value))
        else:
            scale = UNITS[unit]
            return self.converted(values, lambda part: _scaled(part, scale), lambda value: whole(value, column, scale))
        return self.converted(values, lambda part: part, lambda value: whole(value, column))

    def converted(self, values: pa.Array, fast: Callable[[pa.Array], pa.Array], slow: Callable[[object], int]) -> Ints:
        """`values` as int64. `fast` does a whole array or raises; `slow` does one value or raises SpanError."""
        out = np.zeros(self.rows, np.int64)
        waiting = [(0, self.rows)]
        while waiting:
            begin, end = waiting.pop()
            part = values.slice(begin, end - begin)
            try:
                result = fast(part)
                if result.null_count == 0:
                    out[begin:end] = result.to_numpy(zero_copy_only=False)
                    continue
            except pa.ArrowException:
                pass
            if end - begin > 1:
                middle = (begin + end) // 2
                waiting += [(begin, middle), (middle, end)]
                continue
            try:
                out[begin] = slow(part[0].as_py())
            except SpanError as error:
                self.refuse(begin, error)
        return out

    def codes(self, target: str, prefix: str, known: dict[str, int], unknown: Reason) -> pa.Int8Array:
        """An enum's numbers, from names or numbers in any case."""
        coded = self.texts(target).dictionary_encode()
        numbers = [known.get(str(t).upper().removeprefix(prefix), -1) for t in coded.dictionary.to_pylist()]
        out = np.array(numbers, np.int8)[coded.indices.to_numpy()] if self.rows else np.zeros(0, np.int8)
        self.mark(unknown, out < 0)
        return pa.array(np.maximum(out, 0))

    def attributes(self) -> tuple[pa.MapArray, pa.StringArray]:
        """The attributes of every row and the letters of their types; empty texts and nulls are not attributes."""
        mapped = self.mapping.attributes(self.batch.schema.names)
        columns = [self.text_column(name) for name in mapped.values()]
        present = (
            np.array([np.asarray(pc.fill_null(pc.not_equal(c, ""), False), bool) for c, _ in columns], bool)
            .reshape(len(columns), self.rows)
            .T
        )
        ends = pa.array(np.concatenate([[0], present.sum(axis=1).cumsum()]).astype(np.int32))
        row, column = np.nonzero(present)
        values = pa.concat_arrays([c for c, _ in columns]) if columns else pa.array([], pa.string())
        keys = pa.array(list(mapped), pa.string()).take(pa.array(column))
        letters = pa.array([letter for _, letter in columns], pa.string()).take(pa.array(column))
        texts = values.take(pa.array(column * self.rows + row))
        return pa.MapArray.from_arrays(ends, keys, texts, type=TEXT_MAP), pc.binary_join(
            pa.ListArray.from_arrays(ends, letters), ""
        )

    def senders(self) -> tuple[pa.DictionaryArray, pa.StringArray]:
        """The sender of every row, and its service."""
        texts = {target: self.texts(target) for target in _RESOURCE}
        if "pod" in self.mapping.columns:
            pod = self.texts("pod")
            derived = {"service": pc.replace_substring_regex(pod, _POD_SUFFIX, ""), "instance": pod}
            texts |= {target: value for target, value in derived.items() if target not in self.mapping.columns}
        self.mark(Reason.SERVICE_MISSING, pc.equal(texts["service"], ""))
        # One number a row stands for the combination of its texts.
        combined = np.zeros(self.rows, np.int64)
        for text in texts.values():
            coded = text.dictionary_encode()
            combined = combined * (len(coded.dictionary) + 1) + coded.indices.to_numpy()
            combined = np.unique(combined, return_inverse=True)[1]  # keeps the numbers below the number of rows
        _, first, codes = np.unique(combined, return_index=True, return_inverse=True)
        sent = [{_RESOURCE[t]: v for t, column in texts.items() if (v := column[row].as_py())} for row in first]
        dictionary = pa.array([_json({"resource": resource}) for resource in sent], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), dictionary), texts["service"]

    def annotations(self) -> pa.ListArray:
        names = ("kind", "key", "value", "at_ns")
        rows = [[dict(zip(names, n, strict=True)) for n in self.notes.get(row, ())] for row in range(self.rows)]
        return pa.array(rows, SPAN_BATCH.field("annotations").type)

    def quality(self) -> pa.ListArray:
        reasons = sorted(self.marks, key=list(Reason).index)
        present = np.array([self.marks[r] for r in reasons], bool).reshape(len(reasons), self.rows).T
        ends = np.concatenate([[0], present.sum(axis=1).cumsum()]).astype(np.int32)
        texts = pa.array([str(r) for r in reasons], pa.string()).take(pa.array(np.nonzero(present)[1]))
        return pa.ListArray.from_arrays(pa.array(ends), texts)


def _binary(rows: npt.NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(rows.tobytes())])


def _scaled(values: pa.Array, scale: int) -> pa.Array:
    """Numbers or their texts times `scale`, as int64. Raises ArrowInvalid where one is not whole or does not fit."""
    if pa.types.is_floating(values.type):
        return pc.cast(pc.round(pc.multiply(values, float(scale))), pa.int64())
    return pc.multiply_checked(pc.cast(values, pa.int64()), scale)


def _iso(values: pa.Array) -> pa.Array:
    """ISO 8601 texts as ns since the epoch; UTC where no zone is named. Raises ArrowInvalid where one is none."""
    zoned = pc.all(pc.match_substring_regex(values, r"(Z|[+-]\d\d(:?\d\d)?)$"), min_count=0).as_py()
    return pc.cast(values, pa.timestamp("ns", "UTC") if zoned else pa.timestamp("ns")).cast(pa.int64())


def _no_time(column: str, value: object) -> int:
    raise undecodable(column, value, "an ISO 8601 time")


def _double(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return _json(value)


def _json(value: object) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
