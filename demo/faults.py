"""`billing`, whose home-made tracing is wrong in every way that Chalkmark has a rule for: `python -m demo.faults URL`.

It sends real OTLP requests, one a beat: a good trace, then a fault, in turn until SIGTERM. FAULTS maps the rule that
Chalkmark must name (docs/quality.md) to a function that makes the request.
"""

from __future__ import annotations

import itertools
import secrets
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from demo.fleet import APP_B2

SERVICE = "billing"
SDK = "home-made"
BEAT_S = 0.5
TIMEOUT_S = 10.0
MS = 1_000_000
HOUR_NS = 3_600_000 * MS


def good() -> bytes:
    """A root with two children, as it should be."""
    root = _span("reconcile", ms=40)
    return _request([root, _span("load ledger", root, ms=20), _span("compare", root, at_ms=20, ms=15)])


def no_service() -> bytes:
    return _request([_span("reconcile")], service=None)


def no_name() -> bytes:
    return _request([_span("")])


def zero_trace_id() -> bytes:
    return _request([_span("reconcile"), _changed(_span("zero trace id"), trace_id=bytes(16))])


def short_trace_id() -> bytes:
    return _request([_span("reconcile"), _changed(_span("short trace id"), trace_id=b"short")])


def zero_span_id() -> bytes:
    return _request([_span("reconcile"), _changed(_span("zero span id"), span_id=bytes(8))])


def long_span_id() -> bytes:
    return _request([_span("reconcile"), _changed(_span("long span id"), span_id=secrets.token_bytes(16))])


def short_parent_id() -> bytes:
    return _request([_changed(_span("short parent id"), parent_span_id=b"short")])


def kind_of_the_future() -> bytes:
    return _request([_changed(_span("reconcile"), kind=42)])


def status_of_the_future() -> bytes:
    span = _span("reconcile")
    span.status.MergeFromString(b"\x18\x11")  # code = 17
    return _request([span])


def text_in_latin_1() -> bytes:
    # The protobuf library refuses to write such a text, so it is put in afterwards, at the same length.
    in_ascii = _request([_span("Abschluss pr?fen")])
    return in_ascii.replace(b"pr?fen", "prüfen".encode("latin-1"))


def value_nested_20_deep() -> bytes:
    value = AnyValue(string_value="the bottom")
    for _ in range(20):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    span = _span("reconcile")
    span.attributes.append(KeyValue(key="ledger", value=value))
    return _request([span])


def ends_before_it_starts() -> bytes:
    span = _span("reconcile")
    return _request([_changed(span, end_time_unix_nano=span.start_time_unix_nano - 5 * MS)])


def lasts_30_hours() -> bytes:
    span = _span("reconcile")
    return _request([_changed(span, end_time_unix_nano=span.start_time_unix_nano + 30 * HOUR_NS)])


def seconds_for_nanoseconds() -> bytes:
    now_s = int(time.time())
    return _request([_changed(_span("reconcile"), start_time_unix_nano=now_s, end_time_unix_nano=now_s + 1)])


def sent_twice() -> bytes:
    root = _span("reconcile")
    return _request([root, root])


def identifier_used_twice() -> bytes:
    root = _span("reconcile")
    child = _span("load ledger", root)
    return _request([root, child, _changed(_span("compare", root), span_id=child.span_id)])


def parent_never_sent() -> bytes:
    return _request([_span("compare", _span("reconcile"))])


def own_parent() -> bytes:
    root, child = _span("reconcile"), _span("compare")
    return _request([root, _changed(child, trace_id=root.trace_id, parent_span_id=child.span_id)])


def ring_of_parents() -> bytes:
    root = _span("reconcile")
    first = _span("load ledger", root)
    second = _span("compare", first)
    return _request([root, _changed(first, parent_span_id=second.span_id), second])


def two_roots() -> bytes:
    first = _span("reconcile")
    return _request([first, _changed(_span("compare", at_ms=20), trace_id=first.trace_id)])


def half_a_trace_id() -> bytes:
    root = _span("reconcile")
    return _request([root, _changed(_span("compare", root), trace_id=root.trace_id[8:])])


def child_starts_first() -> bytes:
    root = _span("reconcile")
    return _request([root, _span("load ledger", root, at_ms=-8)])


def callee_ends_last() -> bytes:
    caller = _changed(_span("reconcile"), kind=Span.SPAN_KIND_CLIENT)
    return _request([caller, _changed(_span("load ledger", caller, ms=80), kind=Span.SPAN_KIND_SERVER)])


def broken_span() -> bytes:
    # A span of three bytes whose first field claims to be 255 bytes long, behind a whole one.
    broken = b"\x0a\xff\x01"
    scope_spans = ScopeSpans(spans=[_span("reconcile")]).SerializeToString() + _field(2, broken)
    resource_spans = ResourceSpans(resource=_resource(SERVICE)).SerializeToString() + _field(2, scope_spans)
    return _field(1, resource_spans)


def no_protobuf() -> bytes:
    return b"%PDF-1.7 is not a trace"


FAULTS: dict[str, Callable[[], bytes]] = {
    "service_missing": no_service,
    "operation_missing": no_name,
    "trace_id_missing": zero_trace_id,
    "trace_id_malformed": short_trace_id,
    "span_id_missing": zero_span_id,
    "span_id_malformed": long_span_id,
    "parent_id_malformed": short_parent_id,
    "kind_unknown": kind_of_the_future,
    "status_unknown": status_of_the_future,
    "utf8_invalid": text_in_latin_1,
    "value_too_deep": value_nested_20_deep,
    "end_before_start": ends_before_it_starts,
    "duration_absurd": lasts_30_hours,
    "time_implausible": seconds_for_nanoseconds,
    "duplicate": sent_twice,
    "duplicate_conflict": identifier_used_twice,
    "parent_missing": parent_never_sent,
    "root_missing": parent_never_sent,
    "parent_self": own_parent,
    "parent_cycle": ring_of_parents,
    "several_roots": two_roots,
    "trace_id_mixed": half_a_trace_id,
    "starts_before_parent": child_starts_first,
    "outlives_parent": callee_ends_last,
    "span_undecodable": broken_span,
    "request_undecodable": no_protobuf,
}


def main(url: str) -> None:
    """Posts to `url` (OTLP/HTTP, `.../v1/traces`) until SIGTERM; prints what the answers to the faults were."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    for reason, fault in itertools.cycle(FAULTS.items()):
        _post(url, good())
        print(f"{reason}: {_post(url, fault())}", flush=True)
        if stopped.wait(BEAT_S):
            return


def _post(url: str, body: bytes) -> str:
    request = urllib.request.Request(url, body, {"Content-Type": "application/x-protobuf"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            partial = ExportTraceServiceResponse.FromString(answer.read()).partial_success
            return f"{partial.rejected_spans} spans refused: {partial.error_message}" if partial.rejected_spans else "accepted"
    except urllib.error.HTTPError as refused:
        return f"{refused.code} {refused.reason}"
    except (urllib.error.URLError, TimeoutError) as error:
        return f"not sent: {error}"


def _request(spans: Sequence[Span], service: str | None = SERVICE) -> bytes:
    resource_spans = ResourceSpans(resource=_resource(service), scope_spans=[ScopeSpans(spans=spans)])
    body: bytes = ExportTraceServiceRequest(resource_spans=[resource_spans]).SerializeToString()
    return body


def _resource(service: str | None) -> Resource:
    attributes = {"host.name": APP_B2.name, "cloud.availability_zone": APP_B2.zone, "telemetry.sdk.name": SDK}
    if service is not None:
        attributes["service.name"] = service
    return Resource(attributes=[KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()])


def _span(name: str, parent: Span | None = None, at_ms: int = 0, ms: int = 10) -> Span:
    """A span of `ms`, `at_ms` after its parent's start; a root began 100 ms ago."""
    start = parent.start_time_unix_nano if parent else time.time_ns() - 100 * MS
    start += at_ms * MS
    return Span(
        trace_id=parent.trace_id if parent else secrets.token_bytes(16),
        span_id=secrets.token_bytes(8),
        parent_span_id=parent.span_id if parent else b"",
        name=name,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=start,
        end_time_unix_nano=start + ms * MS,
    )


def _changed(span: Span, **fields: bytes | int) -> Span:
    changed = Span()
    changed.CopyFrom(span)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field; payloads here are shorter than 16 KiB, so two bytes hold every length."""
    length = len(payload)
    return bytes([number << 3 | 2, length & 0x7F | 0x80, length >> 7]) + payload


if __name__ == "__main__":
    main(sys.argv[1])
