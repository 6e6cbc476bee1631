"""Who sent OTLP spans: a Resource and an InstrumentationScope from their wire bytes to JSON text.

The same few senders come with every request, so what they decode to is remembered by their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from numba import njit

from chalkmark.receive.borrowed import Int, pointer
from chalkmark.receive.otlp_value import ROOM, TOO_DEEP, UTF8_BROKEN, write_container
from chalkmark.receive.protobuf_wire import field
from chalkmark.receive.rows import sdk_of
from chalkmark.tables.quality import Reason

REMEMBERED = 1024
REMEMBERED_BYTES = 16 << 10
"""At most so many senders of at most so many bytes are remembered: 16 MiB, whatever is sent."""

_ATTRIBUTES_OF_RESOURCE, _ATTRIBUTES_OF_SCOPE = 1 << 3 | 2, 3 << 3 | 2
_NAME, _VERSION = 1 << 3 | 2, 2 << 3 | 2


@dataclass(frozen=True, slots=True)
class OtlpSender:
    """A resource and scope. `findings` hold for each of its spans."""

    text: str
    """JSON as in `tables.landing`, column `sender`."""
    service: str
    """Empty where it is missing."""
    sdk: str
    findings: frozenset[Reason]


def read_sender(resource: bytes, scope: bytes) -> OtlpSender:
    """Decodes a sender. A Resource or scope whose bytes are broken counts as empty: its spans are whole and are kept."""
    if len(resource) + len(scope) > REMEMBERED_BYTES:
        return _read_sender(resource, scope)
    return _remembered(resource, scope)


def _read_sender(resource: bytes, scope: bytes) -> OtlpSender:
    findings: set[Reason] = set()
    document = b'{"resource":' + _attributes(resource, _ATTRIBUTES_OF_RESOURCE, findings)
    members = _scope_members(scope, findings)
    if members:
        document += b',"scope":{' + b",".join(members) + b"}"
    document += b"}"
    attributes: dict[str, Any] = orjson.loads(document)["resource"]
    service = attributes.get("service.name")
    if not isinstance(service, str) or not service:
        service = ""
        findings.add(Reason.SERVICE_MISSING)
    return OtlpSender(document.decode(), service, sdk_of(attributes), frozenset(findings))


_remembered = lru_cache(maxsize=REMEMBERED)(_read_sender)


def _attributes(message: bytes, tag: int, findings: set[Reason]) -> bytes:
    """The attributes of a message, in its fields with `tag`, as a JSON object."""
    out = np.empty(ROOM * len(message) + 16, np.uint8)
    end, marks = _write_attributes(np.frombuffer(message, np.uint8), tag, out)
    if end < 0:
        return b"{}"
    if marks & UTF8_BROKEN:
        findings.add(Reason.UTF8_INVALID)
    if marks & TOO_DEEP:
        findings.add(Reason.VALUE_TOO_DEEP)
    return out[:end].tobytes()


def _scope_members(message: bytes, findings: set[Reason]) -> list[bytes]:
    """The members of the scope's JSON object: those that are not empty."""
    whole, *extents = _find_texts(np.frombuffer(message, np.uint8))
    if not whole:
        return []
    members = []
    for name, (start, stop) in zip((b"name", b"version"), extents, strict=True):
        text = message[start:stop].decode("utf-8", "replace")
        if text:
            members.append(b'"%b":%b' % (name, orjson.dumps(text)))
        if text.encode() != message[start:stop]:
            findings.add(Reason.UTF8_INVALID)
    attributes = _attributes(message, _ATTRIBUTES_OF_SCOPE, findings)
    if attributes != b"{}":
        members.append(b'"attributes":' + attributes)
    return members


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write_attributes(message: Any, tag: Int, out: Any) -> tuple[Int, Int]:
    wire, keyed, start = pointer(message), np.bool_(True), np.int64(0)
    end, marks = write_container(wire, start, len(message), tag, keyed, start, pointer(out), start)
    return end, marks


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _find_texts(message: Any) -> tuple[bool, tuple[Int, Int], tuple[Int, Int]]:
    """Whether a scope's bytes are whole, and the extents of its name and version."""
    wire = pointer(message)
    name = version = (np.int64(0), np.int64(0))
    p = np.int64(0)
    while p < len(message):
        tag, start, p = field(wire, p, len(message))
        if p < 0:
            return False, name, version
        if tag == _NAME:
            name = (start, p)
        elif tag == _VERSION:
            version = (start, p)
    return True, name, version
