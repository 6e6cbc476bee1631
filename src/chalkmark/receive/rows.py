"""Spans one by one into Arrow: the builder behind every format that is read in Python.

A decoder parses its document with `SpanRows.load`, walks it with `SpanRows.spans`, and hands every span to
`SpanRows.add`. What is wrong with one span is raised as `SpanError` from anywhere below `spans`: that span is counted
as rejected, its neighbours are kept. Nothing but a wholly unreadable document raises out of a decoder.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, TypeAlias

import orjson
import pyarrow as pa

from chalkmark.errors import ChalkmarkError
from chalkmark.tables.landing import ANNOTATION, REJECTION_BATCH, SPAN_BATCH, Received
from chalkmark.tables.quality import Reason
from chalkmark.tables.spec import TEXT_MAP

Value: TypeAlias = "str | bool | int | float | bytes | list[Value] | dict[str, Value] | None"
"""An attribute value with its OpenTelemetry type."""
Annotation: TypeAlias = tuple[str, str, str, int | None]
"""kind, key, value (JSON), at_ns: made by `event`, `link` and `note` of `SpanRows`."""

Decode: TypeAlias = Callable[[dict[str, Any]], None]

MAX_DEPTH = 16
"""Levels of nesting that an attribute value keeps; a scalar is one level."""
UNKNOWN_SERVICE = "unknown_service"
UNKNOWN_OPERATION = "unknown"
KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
"""OTLP's numbers of the span kinds."""
DAY_NS = 86_400_000_000_000
YEAR_2000_NS = 946_684_800_000_000_000
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_SHOWN = 60  # characters of a faulty value that an error shows
_HEX = re.compile("[0-9a-fA-F]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SCALAR_LETTERS = {str: "s", bool: "b", int: "i", float: "d", bytes: "y", type(None): "n", list: "a", dict: "k"}


@dataclass(frozen=True, slots=True)
class IdField:
    """A field that holds an identifier: its bytes, and what it is called when it is missing or malformed."""

    name: str
    width: int
    missing: Reason
    malformed: Reason


TRACE_ID = IdField("trace_id", 16, Reason.TRACE_ID_MISSING, Reason.TRACE_ID_MALFORMED)
SPAN_ID = IdField("span_id", 8, Reason.SPAN_ID_MISSING, Reason.SPAN_ID_MALFORMED)
PARENT_SPAN_ID = IdField("parent_span_id", 8, Reason.SPAN_ID_MISSING, Reason.PARENT_ID_MALFORMED)


class SpanError(Exception):
    """One span cannot be kept; the text names the field and shows its value."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def undecodable(field: str, value: object, wanted: str) -> SpanError:
    """The error for a field whose value makes no sense."""
    return SpanError(Reason.SPAN_UNDECODABLE, f"{field} is {shown(value)}, not {wanted}")


def shown(value: object) -> str:
    """A faulty value as errors show it: short, printable."""
    text = ascii(value) if isinstance(value, str) else _SURROGATE.sub("\ufffd", repr(value)[: 2 * _SHOWN])
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def whole(value: object, field: str, scale: int = 1) -> int:
    """An int64 from a number or its decimal text, times `scale` (such as 1,000 from us to ns).

    Fractions are kept as far as `scale` makes them whole and rounded beyond. Raises SpanError for everything else.
    """
    if type(value) is int:
        number = value * scale
    elif type(value) is float and math.isfinite(value):
        number = round(value * scale)
    elif type(value) is str:
        try:
            exact = Decimal(value)
            # The exponent is looked at first: 1e999999999 is a short text and a long number.
            number = round(exact * scale) if exact.is_finite() and exact.adjusted() < 20 else INT64_MAX + 1
        except InvalidOperation:
            raise undecodable(field, value, "a number") from None
    else:
        raise undecodable(field, value, "a number")
    if not INT64_MIN <= number <= INT64_MAX:
        raise undecodable(field, value, "within 64 bits")
    return number


def text(value: object, field: str) -> str:
    """A text, empty where nothing was sent. Raises SpanError for other types."""
    if value is None:
        return ""
    if type(value) is not str:
        raise undecodable(field, value, "a text")
    return value


def table(value: object, field: str) -> dict[str, Any]:
    """A JSON object, empty where nothing was sent. Raises SpanError for other types."""
    if value is None:
        return {}
    if type(value) is not dict:
        raise undecodable(field, value, "an object")
    return value


def listing(value: object, field: str) -> list[Any]:
    """A JSON array, empty where nothing was sent. Raises SpanError for other types."""
    if value is None:
        return []
    if type(value) is not list:
        raise undecodable(field, value, "a list")
    return value


def hashed_identifier(original: str, width: int) -> bytes:
    """The identifier that stands for one which is not hexadecimal: the same text gives the same `width` bytes."""
    return hashlib.blake2b(original.encode("utf-8", "replace"), digest_size=width).digest()


def read_identifier(value: object, field: IdField, *, pads: bool) -> tuple[bytes, bool]:
    """The identifier in hexadecimal text `value`, and whether it was hexadecimal; else a hash stands for it.

    `pads` accepts less than the full width, as Zipkin and Jaeger leave out leading zeros. Raises SpanError where it is
    missing (empty, or all zeros) or malformed.
    """
    if value is None or value == "":
        raise SpanError(field.missing, f"{field.name} is missing")
    if type(value) is not str:
        raise SpanError(field.malformed, f"{field.name} is {shown(value)}, not a text")
    if not _HEX.fullmatch(value):
        return hashed_identifier(value, field.width), False
    if not value.strip("0"):
        raise SpanError(field.missing, f"{field.name} is all zeros")
    digits = 2 * field.width
    if len(value) > digits or not (pads or len(value) in (digits, 16)):  # 64-bit trace identifiers are as good as 128-bit ones
        raise SpanError(field.malformed, f"{field.name} is {shown(value)}, not {field.width} bytes")
    return bytes.fromhex(value.rjust(digits, "0")), True


def nobody(malformed: object) -> bytes:
    """A parent that no span has, in the place of a malformed one: its child counts as one whose parent has not arrived."""
    sent = str(malformed)
    hashed = 0xCBF29CE484222325  # FNV-1a of the bytes, as the protobuf decoder does
    for byte in bytes.fromhex(sent) if _HEX.fullmatch(sent) and len(sent) % 2 == 0 else sent.encode("utf-8", "replace"):
        hashed = (hashed ^ byte) * 0x100000001B3 & 0xFFFF_FFFF_FFFF_FFFF
    return hashed.to_bytes(8, "big")


def sdk_of(resource: Mapping[str, Any]) -> str:
    """Who made the spans of `resource`: name/language/version of the SDK; empty where it does not say."""
    parts = (resource.get(f"telemetry.sdk.{part}") for part in ("name", "language", "version"))
    return "/".join(p for p in parts if isinstance(p, str) and p)


def status_of(tags: Mapping[str, Value]) -> tuple[int, str]:
    """OTLP's status number and message from the tags of a Zipkin or Jaeger span.

    `otel.status_code` and `otel.status_description` are what OpenTelemetry's exporters write; otherwise a tag `error`
    says so, and its text is the message unless it is only `true`. `false` is taken at its word.
    """
    message = tags.get("otel.status_description", "")
    match tags.get("otel.status_code"):
        case "OK":
            return 1, ""
        case "ERROR":
            return 2, message if isinstance(message, str) else ""
    error = tags.get("error", False)
    if error is None or (isinstance(error, (bool, str)) and str(error).lower() == "false"):
        return 0, ""
    return 2, error if isinstance(error, str) and error.lower() != "true" else ""


class Document(NamedTuple):
    """A parsed JSON document; in a `suspect` one, lone surrogates stand for what is not UTF-8."""

    root: Any
    suspect: bool


def parse_json(body: bytes) -> Document:
    """Parse a JSON document. Raises ChalkmarkError with the position of the fault where there is no reading it.

    Bytes that are not UTF-8, lone surrogates, NaN and Infinity do not cost the document: `SpanRows` repairs such texts
    span by span and marks those spans (UTF8_INVALID).
    """
    try:
        return Document(orjson.loads(body), False)
    except orjson.JSONDecodeError as fault:
        try:
            # A broken byte becomes a lone surrogate here.
            text = body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
            return Document(json.loads(text), True)
        except (ValueError, RecursionError):
            raise ChalkmarkError(f"not JSON: {fault}", "Send one whole JSON document.") from fault


class Rejections:
    """Counts what is refused, by sender and reason, with the first example of each."""

    def __init__(self, source: str, received_ns: int) -> None:
        self._source = source
        self._protocol = source.removeprefix("file:").split("-")[0]
        self._ts = received_ns // 1000
        self._counts: dict[tuple[str, str, Reason], tuple[int, str]] = {}

    def add(self, service: str, sdk: str, reason: Reason, example: str, spans: int = 1) -> None:
        """Count `spans` refused ones; `example` says which field held what."""
        key = (service or UNKNOWN_SERVICE, sdk or self._protocol, reason)
        count, first = self._counts.get(key, (0, example))
        self._counts[key] = (count + spans, first)

    def finish(self) -> pa.RecordBatch:
        """Schema REJECTION_BATCH; one row a sender and reason, in order of first appearance."""
        rows = [
            {
                "service": service,
                "sdk": sdk,
                "source": self._source,
                "reason": str(reason),
                "spans": count,
                "example": _SURROGATE.sub("\ufffd", example),
                "ts": self._ts,
            }
            for (service, sdk, reason), (count, example) in self._counts.items()
        ]
        return pa.RecordBatch.from_pylist(rows, REJECTION_BATCH)


class Sender:
    """The resource and scope that many spans share. Made by `SpanRows.sender`."""

    __slots__ = ("code", "findings", "sdk", "service")

    def __init__(self, code: int, service: str, sdk: str, findings: frozenset[Reason]) -> None:
        self.code = code
        self.service = service
        self.sdk = sdk
        self.findings = findings


class SpanRows:
    """Collects spans and rejections of one request, or of one batch of a file.

    `pads_identifiers` accepts identifiers without their leading zeros, as Zipkin and Jaeger write them; without it
    they have to be of full length (OTLP).
    """

    def __init__(self, source: str, received_ns: int, *, pads_identifiers: bool = True) -> None:
        self._source = source
        self._received_ns = received_ns
        self._pads = pads_identifiers
        self._rejections = Rejections(source, received_ns)
        self._senders: dict[bytes, Sender] = {}
        self._found: set[Reason] = set()
        self._suspect = False
        self._columns: dict[str, list[Any]] = {
            f.name: [] for f in SPAN_BATCH if f.name not in ("attributes", "annotations", "source", "quality", "received_ns")
        }
        self._attribute_keys: list[str] = []
        self._attribute_texts: list[str] = []
        self._attribute_ends = [0]
        self._annotations: list[Annotation] = []
        self._annotation_ends = [0]
        self._quality: list[list[str]] = []

    def __len__(self) -> int:
        return len(self._quality)

    def load(self, body: bytes) -> Any:
        """Parse a JSON document whose spans come next. Raises ChalkmarkError; see `parse_json`."""
        return self.enter(parse_json(body))

    def enter(self, document: Document) -> Any:
        """Begin with another document; gives its root."""
        self._suspect = document.suspect
        return document.root

    def spans(self, items: Iterable[object], decode: Decode, sender: Sender | None = None) -> None:
        """Call `decode` for every JSON object of `items`; what is no object, or raises SpanError, is rejected alone.

        `sender` is whom a rejection is counted under, where that is known before the span is decoded.
        """
        self._each(items, decode, sender, "span")

    def groups(self, items: Iterable[object], decode: Decode, what: str, sender: Sender | None = None) -> None:
        """The same for objects that hold spans or further groups; `what` names them in rejections."""
        self._each(items, decode, sender, what)

    def _each(self, items: Iterable[object], decode: Decode, sender: Sender | None, what: str) -> None:
        for item in items:
            self._found.clear()
            try:
                if type(item) is not dict:
                    raise undecodable(what, item, "an object")
                decode(self._repaired(item) if self._suspect and what == "span" else item)
            except SpanError as error:
                self.reject(sender, error.reason, str(error))

    def reject(self, sender: Sender | None, reason: Reason, example: str, spans: int = 1) -> None:
        """Count spans that are refused."""
        if sender is None:
            self._rejections.add("", "", reason, example, spans)
        else:
            self._rejections.add(sender.service, sender.sdk, reason, example, spans)

    def mark(self, reason: Reason) -> None:
        """Note something about the span that is being decoded; it is kept."""
        self._found.add(reason)

    def sender(self, resource: Mapping[str, Value], scope: Mapping[str, Any] | None = None) -> Sender:
        """The sender of the spans to come. `scope` may hold `name`, `version` and `attributes`."""
        before, self._found = self._found, set()
        try:
            document: dict[str, Any] = {"resource": self._plain_table(resource)}
            if scope:
                document["scope"] = self._plain_table(scope, depth=0)
            code = orjson.dumps(document)
            known = self._senders.get(code)
            if known is None:
                service = document["resource"].get("service.name")
                if not isinstance(service, str) or not service:
                    service = ""
                    self._found.add(Reason.SERVICE_MISSING)
                known = Sender(len(self._senders), service, sdk_of(document["resource"]), frozenset(self._found))
                self._senders[code] = known
            return known
        finally:
            self._found = before

    def add(
        self,
        sender: Sender,
        *,
        trace_id: object,
        span_id: object,
        parent_span_id: object,
        operation: str,
        kind: int,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, Value],
        annotations: Iterable[Annotation] = (),
        status: int = 0,
        status_message: str = "",
        flags: int = 0,
        trace_state: str = "",
    ) -> None:
        """Keep a span. Identifiers are hexadecimal text as sent, kind and status OTLP's numbers.

        Raises SpanError where the span cannot be identified; nothing of it is kept then.
        """
        notes: list[Annotation] = []
        trace = self._identifier(trace_id, TRACE_ID, notes)
        span = self._identifier(span_id, SPAN_ID, notes)
        parent = self._parent(parent_span_id, notes)
        found = self._found
        found |= sender.findings
        if not operation:
            found.add(Reason.OPERATION_MISSING)
        if not YEAR_2000_NS <= start_ns <= self._received_ns + DAY_NS:
            found.add(Reason.TIME_IMPLAUSIBLE)
        encoded = [self._encoded(value) for value in attributes.values()]

        self._attribute_keys += attributes
        self._attribute_texts += [t for t, _ in encoded]
        self._attribute_ends.append(len(self._attribute_keys))
        self._annotations += annotations
        self._annotations += notes
        self._annotation_ends.append(len(self._annotations))
        self._quality.append([r for r in Reason if r in found] if found else [])
        row = (
            trace,
            span,
            parent,
            operation or UNKNOWN_OPERATION,
            kind,
            start_ns,
            end_ns,
            status,
            status_message or None,
            flags,
            trace_state or None,
            "".join([letter for _, letter in encoded]),
            sender.code,
        )
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(value)

    def event(self, name: str, at_ns: int | None, attributes: Mapping[str, Value]) -> Annotation:
        """The annotation for an event of the span that is being decoded."""
        return ("event", name, _dumps(self._plain_table(attributes)), at_ns)

    def link(self, trace_id: object, span_id: object, trace_state: str, attributes: Mapping[str, Value]) -> Annotation:
        """The annotation for a link to another span; identifiers as in `add`."""
        sent = ((TRACE_ID, trace_id), (SPAN_ID, span_id))
        value: dict[str, Any] = {field.name: self._linked(v, field) for field, v in sent if v}
        if trace_state:
            value["trace_state"] = trace_state
        value["attributes"] = self._plain_table(attributes)
        return ("link", "link", _dumps(value), None)

    @staticmethod
    def note(name: str, remark: str) -> Annotation:
        """The annotation for a remark of a receiver, its own or another one's."""
        return ("note", name, _dumps(remark), None)

    def finish(self) -> Received:
        """Everything collected, as one batch."""
        count = len(self)
        arrays: dict[str, pa.Array] = {
            name: pa.array(v, SPAN_BATCH.field(name).type) for name, v in self._columns.items() if name != "sender"
        }
        keys, texts = pa.array(self._attribute_keys, pa.string()), pa.array(self._attribute_texts, pa.string())
        arrays["attributes"] = pa.MapArray.from_arrays(pa.array(self._attribute_ends, pa.int32()), keys, texts, type=TEXT_MAP)
        fields = zip(*self._annotations, strict=True) if self._annotations else ((),) * len(ANNOTATION)
        entries = pa.StructArray.from_arrays(
            [pa.array(values, f.type) for values, f in zip(fields, ANNOTATION, strict=True)], fields=list(ANNOTATION)
        )
        annotation_ends = pa.array(self._annotation_ends, pa.int32())
        arrays["annotations"] = pa.ListArray.from_arrays(annotation_ends, entries, type=SPAN_BATCH.field("annotations").type)
        senders = pa.array([code.decode() for code in self._senders], pa.string())
        arrays["sender"] = pa.DictionaryArray.from_arrays(pa.array(self._columns["sender"], pa.int32()), senders)
        arrays["source"] = pa.DictionaryArray.from_arrays(
            pa.array([0] * count, pa.int32()), pa.array([self._source], pa.string())
        )
        arrays["quality"] = pa.array(self._quality, pa.list_(pa.string()))
        arrays["received_ns"] = pa.array([self._received_ns] * count, pa.int64())
        spans = pa.RecordBatch.from_arrays([arrays[name] for name in SPAN_BATCH.names], schema=SPAN_BATCH)
        return Received(spans, self._rejections.finish())

    def _identifier(self, value: object, field: IdField, notes: list[Annotation]) -> bytes:
        identifier, is_hex = read_identifier(value, field, pads=self._pads)
        if not is_hex:
            self._found.add(Reason.ID_NOT_HEX)
            notes.append(self.note(field.name, str(value)))
        return identifier

    def _parent(self, value: object, notes: list[Annotation]) -> bytes | None:
        try:
            return self._identifier(value, PARENT_SPAN_ID, notes)
        except SpanError as error:
            if error.reason is PARENT_SPAN_ID.missing:
                return None
            self._found.add(Reason.PARENT_ID_MALFORMED)
            return nobody(value)

    def _linked(self, value: object, field: IdField) -> str:
        """The identifier of a link as hexadecimal text; one that is broken, or need not be padded, stays as it was sent."""
        try:
            if self._pads:
                return read_identifier(value, field, pads=True)[0].hex()
        except SpanError:
            pass
        return value.lower() if type(value) is str else shown(value)

    def _encoded(self, value: Value) -> tuple[str, str]:
        """An attribute value as its text and the letter of its type."""
        if type(value) is str:
            return value, "s"
        letter = _SCALAR_LETTERS[type(value)]
        plain = self._plain(value)
        # Non-finite numbers have no JSON form: their names stand bare, as the letter says that they are numbers.
        return (plain if letter == "d" and type(plain) is str else _dumps(plain)), letter

    def _plain_table(self, attributes: Mapping[str, Value], depth: int = 1) -> dict[str, Any]:
        if self._suspect:
            attributes = self._repaired(attributes)
        return {key: value if type(value) is str else self._plain(value, depth) for key, value in attributes.items()}

    def _plain(self, value: Value, depth: int = 1) -> Any:
        """`value` as JSON has it: bytes in base64, numbers that JSON lacks by their names, null below MAX_DEPTH."""
        if depth > MAX_DEPTH:
            self._found.add(Reason.VALUE_TOO_DEEP)
            return None
        if type(value) is list:
            return [self._plain(v, depth + 1) for v in value]
        if type(value) is dict:
            return {k: self._plain(v, depth + 1) for k, v in value.items()}
        if type(value) is bytes:
            return base64.b64encode(value).decode()
        if type(value) is float and not math.isfinite(value):
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        if type(value) is int and not INT64_MIN <= value <= INT64_MAX:
            raise undecodable("attribute", value, "within 64 bits")
        return value

    def _repaired(self, value: Any) -> Any:
        """`value` with every text free of what is not UTF-8."""
        if type(value) is str:
            if value.isascii() or not _SURROGATE.search(value):
                return value
            self._found.add(Reason.UTF8_INVALID)
            try:
                # As many U+FFFD as decoding the original bytes gives.
                return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            except UnicodeEncodeError:
                return _SURROGATE.sub("\ufffd", value)
        if type(value) is dict:
            return {self._repaired(k): self._repaired(v) for k, v in value.items()}
        if type(value) is list:
            return [self._repaired(v) for v in value]
        return value


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()
