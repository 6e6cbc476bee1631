"""Files of spans: finding them, telling their format by their content, and reading them in batches of bounded size."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from chalkmark.errors import ChalkmarkError
from chalkmark.receive import delimited, jaeger, otlp_json, zipkin
from chalkmark.receive.rows import Document, Rejections, SpanRows, parse_json
from chalkmark.tables.landing import Received
from chalkmark.tables.quality import Reason


class Format(StrEnum):
    """What a file can be; the name of its source is `file:<format>`."""

    OTLP_JSON = "otlp-json"
    OTLP_PROTO = "otlp-proto"
    OTLP_STREAM = "otlp-stream"
    """Messages with a length before each, as the OpenTelemetry Collector's file exporter writes them."""
    ZIPKIN = "zipkin"
    JAEGER = "jaeger"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


BATCH_SPANS = 50_000
MAX_DOCUMENT_BYTES = 2 << 30
"""One document has to fit in memory, several times over; longer ones are refused."""
REQUEST_BYTES = 32 << 20
"""A protobuf request is cut into pieces of about this size, so that the batches stay small."""
_HEAD_BYTES = 1 << 20
_LINES_TRIED = 100
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_JSON: dict[Format, ModuleType] = {Format.OTLP_JSON: otlp_json, Format.ZIPKIN: zipkin, Format.JAEGER: jaeger}
_TABLES = (Format.CSV, Format.PARQUET, Format.ARROW)
_OTLP_SIGNALS = re.compile(r"resource_?(spans|metrics|logs|profiles)", re.IGNORECASE)


def find(paths: Sequence[Path]) -> list[Path]:
    """The files that `paths` name: files as they are, folders with all that is in them, sorted.

    Hidden files in folders are passed over. Raises ChalkmarkError for a path that is not there, or a folder without files.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
            if not inside:
                raise ChalkmarkError(f"{path}: there is no file in this folder.", "Name a file or folder of traces.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ChalkmarkError(f"{path}: there is no such file or folder.", "Check the spelling.")
    return list(dict.fromkeys(found))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked where it is gzip or Zstandard; what it is named does not matter."""
    with path.open("rb") as file:
        compression = _compression(file.read(4))
    with pa.OSFile(str(path)) as file:
        raw = pa.CompressedInputStream(file, compression) if compression else file
        yield io.BufferedReader(raw, _HEAD_BYTES)


def _compression(head: bytes) -> str | None:
    return next((name for magic, name in _COMPRESSIONS.items() if head.startswith(magic)), None)


def sniff(head: bytes) -> Format | None:
    """The format of a file that begins with `head`, or None for JSON, whose kind its first document tells.

    Raises ChalkmarkError, saying what was seen, where it is nothing known.
    """
    if not head:
        raise ChalkmarkError("the file is empty")
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return Format.ARROW
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return None
    if _is_message(head):
        return Format.OTLP_PROTO
    if len(head) > 4 and head[0] < 8 and (_is_message(head[4:]) or head[4:5] == b"{" or _compression(head[4:])):
        return Format.OTLP_STREAM
    line = head.splitlines()[0]
    if b"\0" not in line and delimited.delimiter(line.decode("utf-8", "replace")):
        return Format.CSV
    raise ChalkmarkError(
        f"the format is not recognised; the file begins with {head[:40]!r}",
        f"Known are {', '.join(Format)}; --input-format says which it is.",
    )


def _is_message(head: bytes) -> bool:
    """Whether this may be a protobuf export request: field 1 of a length, and in it a field 1, 2 or 3 of a length."""
    if head[:1] != b"\x0a":
        return False
    after = next((i + 1 for i in range(1, min(len(head), 11)) if head[i] < 0x80), 0)
    return after > 0 and head[after : after + 1] in (b"\x0a", b"\x12", b"\x1a")


def kind_of(document: Any) -> Format:
    """The format of a parsed JSON document. Raises ChalkmarkError where it is none that is known."""
    if isinstance(document, dict):
        if any(_OTLP_SIGNALS.fullmatch(key) for key in document):
            return Format.OTLP_JSON
        if "spans" in document or isinstance(document.get("data"), list):
            return Format.JAEGER
        if "traceId" in document and "id" in document:
            return Format.ZIPKIN
        seen = f"an object with {', '.join(map(repr, list(document)[:5])) or 'nothing in it'}"
    elif isinstance(document, list):
        first = next((item for item in document if isinstance(item, dict)), {})
        if "spans" in first:
            return Format.JAEGER
        if "traceId" in first or not document:
            return Format.ZIPKIN
        seen = "a list of something else"
    else:
        seen = "no object or list"
    raise ChalkmarkError(
        f"JSON, but no trace format that is known: {seen}",
        "Known are OTLP/JSON, Zipkin v2 and Jaeger; --input-format says which it is.",
    )


@dataclass(slots=True)
class SpanFile:
    """One file being read; `format` is known once reading has begun."""

    path: Path
    received_ns: int
    choose: delimited.Choose
    format: Format | None = None

    @property
    def source(self) -> str:
        return f"file:{self.format}"

    def batches(self) -> Iterator[Received]:
        """What is in the file, in batches of about BATCH_SPANS spans, in the order of the file.

        Broken lines, rows and spans are rejected alone. Raises ChalkmarkError where the content is not known, or where
        the file breaks off; all before the break has been given by then.
        """
        try:
            with opened(self.path) as stream:
                head = stream.peek(_HEAD_BYTES)
                if self.format is None:
                    self.format = sniff(head)
                if self.format is None or self.format in _JSON:
                    yield from self._json(stream)
                elif self.format in _TABLES:
                    yield from self._table(stream, head)
                else:
                    yield from self._otlp(stream)
        except (OSError, pa.ArrowException) as error:
            raise ChalkmarkError(f"cannot be read: {error}") from error

    def refused(self, error: ChalkmarkError) -> Received:
        """The record that reading this file failed with `error`."""
        rejections = Rejections(self.source if self.format else "file:unknown", self.received_ns)
        rejections.add("", "", Reason.REQUEST_UNDECODABLE, f"{self.path.name}: {error}")
        return Received(Received.nothing().spans, rejections.finish())

    def _table(self, stream: io.BufferedReader, head: bytes) -> Iterator[Received]:
        if self.format is Format.CSV:
            header = head.decode("utf-8-sig", "replace").splitlines()[0]
            return delimited.read_csv(stream, header, self.choose, self.source, self.received_ns)
        read = delimited.read_parquet if self.format is Format.PARQUET else delimited.read_arrow
        return read(self.path, self.choose, self.source, self.received_ns)

    def _otlp(self, stream: io.BufferedReader) -> Iterator[Received]:
        from chalkmark.receive import otlp  # compiled code; only those who need it wait for it

        messages = _messages(stream) if self.format is Format.OTLP_STREAM else _requests(_whole(stream))
        for number, message in enumerate(messages, 1):
            if _compression(message):
                message = pa.CompressedInputStream(pa.BufferReader(message), _compression(message)).read()
            decode = otlp_json.decode if message.lstrip()[:1] == b"{" else otlp.decode
            try:
                received = decode(message, self.source, self.received_ns)
            except ChalkmarkError as error:
                if self.format is not Format.OTLP_STREAM:
                    raise
                rejections = Rejections(self.source, self.received_ns)
                rejections.add("", "", Reason.REQUEST_UNDECODABLE, f"{self.path.name}, message {number}: {error}")
                received = Received(Received.nothing().spans, rejections.finish())
            yield from _bounded(received)

    def _json(self, stream: io.BufferedReader) -> Iterator[Received]:
        rows: SpanRows | None = None
        early: list[str] = []  # what is wrong with the lines before the one that tells the format
        for place, parsed in _documents(stream):
            try:
                if isinstance(parsed, ChalkmarkError):
                    raise parsed
                if self.format is None:
                    self.format = kind_of(parsed.root)
                rows = rows or self._rows()
                _JSON[self.format].read(rows.enter(parsed), rows)
            except ChalkmarkError as error:
                if not place:
                    raise
                early.append(f"{self.path.name}, {place}: {error}")
            if rows is None:
                continue
            for fault in early:
                rows.reject(None, Reason.REQUEST_UNDECODABLE, fault)
            early.clear()
            if len(rows) >= BATCH_SPANS:
                yield from _bounded(rows.finish())
                rows = None
        if early:
            raise ChalkmarkError(early[0].partition(": ")[2])
        if rows is not None:
            yield from _bounded(rows.finish())

    def _rows(self) -> SpanRows:
        return SpanRows(self.source, self.received_ns, pads_identifiers=self.format is not Format.OTLP_JSON)


def _documents(stream: io.BufferedReader) -> Iterator[tuple[str, Document | ChalkmarkError]]:
    """The JSON documents of a file, each with its place: `line 3` in JSON lines, empty where the file is one document.

    It is JSON lines if the first line is a document; or if the whole is none, but some line is.
    """
    first = _line(stream)
    parsed = _parsed(first)
    lines: Iterable[bytes]
    if isinstance(parsed, Document):
        lines = itertools.chain([first], iter(partial(_line, stream), b""))
    else:
        body = first + _whole(stream)
        parsed = _parsed(body)
        lines = body.splitlines()
        if isinstance(parsed, Document) or not any(isinstance(_parsed(line), Document) for line in lines[:_LINES_TRIED]):
            yield "", parsed
            return
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"line {number}", _parsed(line)
    except OSError as error:
        yield f"line {number + 1}", ChalkmarkError(f"the file is cut off: {error}")


def _parsed(body: bytes) -> Document | ChalkmarkError:
    try:
        return parse_json(body)
    except ChalkmarkError as error:
        return error


def _line(stream: io.BufferedReader) -> bytes:
    return _limited(stream.readline(MAX_DOCUMENT_BYTES + 1))


def _whole(stream: io.BufferedReader) -> bytes:
    return _limited(stream.read(MAX_DOCUMENT_BYTES + 1))


def _limited(body: bytes) -> bytes:
    if len(body) > MAX_DOCUMENT_BYTES:
        raise ChalkmarkError(f"one document is longer than {MAX_DOCUMENT_BYTES >> 30} GiB", "Split it, or use JSON lines.")
    return body


def _messages(stream: io.BufferedReader) -> Iterator[bytes]:
    """The messages of a file in which the length of each stands before it, in four bytes, big end first."""
    while prefix := stream.read(4):
        size = int.from_bytes(prefix, "big")
        message = stream.read(size) if len(prefix) == 4 and size <= MAX_DOCUMENT_BYTES else b""
        if len(message) < size or len(prefix) < 4:
            raise ChalkmarkError("the last message is cut off, or its length is wrong")
        yield message


def _requests(body: bytes) -> Iterator[bytes]:
    """An export request cut between its ResourceSpans into requests of at most REQUEST_BYTES, as far as they allow.

    What is no ResourceSpans (field 1, of a length) ends the cutting; the decoder says what is wrong with it.
    """
    begin = end = 0
    while end < len(body):
        size = shift = 0
        at = end + 1
        while body[end] == 0x0A and at < len(body) and shift < 35:
            size |= (body[at] & 0x7F) << shift
            shift += 7
            at += 1
            if body[at - 1] < 0x80:
                break
        following = at + size
        if not shift or following > len(body):
            break
        if following - begin > REQUEST_BYTES and end > begin:
            yield body[begin:end]
            begin = end
        end = following
    yield body[begin:]


def _bounded(received: Received) -> Iterator[Received]:
    """The same in batches of at most BATCH_SPANS spans; the rejections go with the first."""
    yield Received(received.spans.slice(0, BATCH_SPANS), received.rejections)
    for begin in range(BATCH_SPANS, received.spans.num_rows, BATCH_SPANS):
        yield Received(received.spans.slice(begin, BATCH_SPANS), received.rejections.slice(0, 0))
