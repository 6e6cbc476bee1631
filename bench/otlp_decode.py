"""How fast OTLP protobuf becomes Arrow, all fields, on one thread: plain spans, and spans with an event each.

python -m bench.otlp_decode [--json FILE]
"""

from __future__ import annotations

import sys
import time
from functools import partial

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.generate import otlp_requests
from bench.harness import Case, run
from chalkmark.receive.otlp import decode

SPANS, PER_REQUEST, SEED = 50_000, 500, 1


def with_events(body: bytes) -> bytes:
    """The request with one event of two attributes in every span."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                event = span.events.add(name="exception", time_unix_nano=span.start_time_unix_nano)
                event.attributes.add(key="exception.type").value.string_value = "java.net.SocketTimeoutException"
                event.attributes.add(key="exception.escaped").value.bool_value = False
    return bytes(request.SerializeToString())


def main() -> None:
    plain = list(otlp_requests(SPANS, per_request=PER_REQUEST, seed=SEED))
    cases = {"8 attributes": plain, "8 attributes and an event": [with_events(body) for body in plain]}

    def decode_all(bodies: list[bytes]) -> None:
        now = time.time_ns()
        for body in bodies:
            decode(body, "otlp-grpc", now)

    run(
        "otlp_decode",
        [Case(name, partial(decode_all, bodies), SPANS, "spans") for name, bodies in cases.items()],
        parameters={"per_request": PER_REQUEST, "seed": SEED, "bytes_per_span": sum(map(len, plain)) / SPANS},
        argv=sys.argv[1:],
    )


if __name__ == "__main__":
    main()
