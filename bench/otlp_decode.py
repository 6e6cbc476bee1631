"""How fast OTLP protobuf becomes Arrow, all fields, on one thread: request by request, and as a busy receiver takes them,
some together; spans with a few events, and spans with one more event each.

python -m bench.otlp_decode [--json FILE]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.generate import otlp_requests
from bench.harness import Case, run
from chalkmark.receive.intake import GROUP_BYTES
from chalkmark.receive.otlp import compile_decoder, decode, decode_together

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
    compile_decoder()

    def decode_alone(bodies: list[bytes]) -> None:
        now = time.time_ns()
        for body in bodies:
            decode(body, "otlp-grpc", now)

    def decode_groups(bodies: list[bytes]) -> None:
        now = time.time_ns()
        size = max(1, GROUP_BYTES // len(bodies[0]))
        for i in range(0, len(bodies), size):
            decode_together(bodies[i : i + size], "otlp-grpc", now)

    # On a thread, as in the receiver: the main thread's heap gives memory back that the next group takes again.
    with ThreadPoolExecutor(1) as thread:

        def on_thread(decode_all: Callable[[list[bytes]], None], bodies: list[bytes]) -> None:
            thread.submit(decode_all, bodies).result()

        run(
            "otlp_decode",
            [
                Case(f"{name}, {way}", partial(on_thread, decode_all, bodies), SPANS, "spans")
                for name, bodies in cases.items()
                for way, decode_all in (("alone", decode_alone), ("together", decode_groups))
            ],
            parameters={"per_request": PER_REQUEST, "seed": SEED, "bytes_per_span": sum(map(len, plain)) / SPANS},
            argv=sys.argv[1:],
        )


if __name__ == "__main__":
    main()
