"""Senders: who made a span. A few texts that many spans share, so each is read once and not once a span.

Names are those of OpenTelemetry's semantic conventions for resources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa

from chalkmark.tables.resource import attribute_text

UNKNOWN_SERVICE = "unknown_service"

_HOST = ("host.name", "k8s.node.name", "host.id", "k8s.pod.name", "host.ip", "net.host.ip")
_INSTANCE = ("service.instance.id", "k8s.pod.name", "container.id")
_ZONE = ("cloud.availability_zone", "cloud.region")
_SDK = ("telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version")


@dataclass(frozen=True, slots=True)
class Sender:
    """What the text of a sender says about the spans it sent."""

    service: str
    service_missing: bool
    host: str | None
    instance: str | None
    zone: str | None
    sdk: str
    """Name, language and version of its SDK; empty where it does not say."""
    scope_name: str
    scope_version: str


@lru_cache(maxsize=1 << 14)
def read_sender(text: str) -> Sender:
    """Reads a sender's JSON (SPAN_BATCH, column `sender`)."""
    document = orjson.loads(text)
    resource = document.get("resource", {})
    scope = document.get("scope", {})
    service = (_first(resource, ("service.name",)) or "").strip()
    host = _first(resource, _HOST)
    pid = _first(resource, ("process.pid",))
    return Sender(
        service=service or UNKNOWN_SERVICE,
        # SDKs that were told no name say `unknown_service` or `unknown_service:<process>` themselves.
        service_missing=service.split(":")[0] in ("", UNKNOWN_SERVICE),
        host=host,
        instance=_first(resource, _INSTANCE) or (f"{host}:{pid}" if host and pid else None),
        zone=_first(resource, _ZONE),
        sdk="/".join(part for key in _SDK if (part := _first(resource, (key,)))),
        scope_name=attribute_text(scope.get("name", "")),
        scope_version=attribute_text(scope.get("version", "")),
    )


def protocol(source: str) -> str:
    """The protocol in the name of a source: `zipkin` for `zipkin-http`, `jaeger` for `file:jaeger`."""
    return source.removeprefix("file:").split("-")[0]


def per_sender(senders: pa.DictionaryArray, value: Callable[[Sender], str | None]) -> pa.DictionaryArray:
    """`value` of each row's sender, as dictionary codes; a row is null where the value is."""
    return recode(senders.indices, [value(read_sender(text)) for text in senders.dictionary.to_pylist()])


def recode(codes: pa.Int32Array, texts: Sequence[str | None]) -> pa.DictionaryArray:
    """Rows of `texts[code]` as a dictionary that holds each text once."""
    distinct = {text: i for i, text in enumerate(dict.fromkeys(text for text in texts if text is not None))}
    dictionary = pa.array(list(distinct), pa.string())
    if list(distinct) == list(texts):
        return pa.DictionaryArray.from_arrays(codes, dictionary)
    new = pa.array([None if text is None else distinct[text] for text in texts], pa.int32())
    return pa.DictionaryArray.from_arrays(new.take(codes), dictionary)


def _first(resource: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    """The first of these attributes that holds anything; of a list (`host.ip` is one) its first value."""
    for key in keys:
        value = resource.get(key)
        if isinstance(value, list) and value:
            value = value[0]
        if value not in (None, "", [], {}):
            return attribute_text(value)
    return None
