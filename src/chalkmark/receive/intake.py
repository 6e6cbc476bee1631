"""What every receiver does with a request, whatever its protocol: decode it, make it durable, say what was refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeAlias

from chalkmark.errors import ChalkmarkError, OverloadedError
from chalkmark.receive.rows import Rejections
from chalkmark.tables.landing import Received
from chalkmark.tables.quality import Reason

Decoder: TypeAlias = Callable[[bytes, str, int], Received]
"""From a request's bytes, the name of its source and the time in ns to what it holds. ChalkmarkError: it is not of the format."""

RETRY_S = 1.0
"""When a sender that found no room for its bytes is told to come back."""


class Landing(Protocol):
    """Where received spans become durable: `tables.landing_store.LandingWriter`."""

    def submit(self, received: Received) -> Future[None]:
        """The future resolves when `received` is durable. Raises OverloadedError at once where there is no room."""
        ...


class UndecodableError(ChalkmarkError):
    """A request of which nothing could be kept because its bytes are not of the format they claim."""


class Intake:
    """Takes requests, decodes them on threads of its own, and waits until they are durable.

    `max_waiting_bytes` bounds the requests that are under way; one is always let in.
    """

    def __init__(self, landing: Landing, *, threads: int, max_waiting_bytes: int) -> None:
        self._landing = landing
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting_bytes = 0

    async def take(self, decode: Decoder, body: bytes, source: str) -> Received:
        """What became of a request, once it is durable.

        Raises OverloadedError where there is no room and UndecodableError where the request is not of its format (it is
        counted all the same); what the landing raises when it fails goes through.
        """
        if self._waiting_bytes and self._waiting_bytes + len(body) > self._max_waiting_bytes:
            raise OverloadedError(f"{self._waiting_bytes:,} bytes of other requests are not durable yet.", RETRY_S)
        self._waiting_bytes += len(body)
        try:
            loop = asyncio.get_running_loop()
            received = await loop.run_in_executor(self._threads, _decoded, decode, body, source, time.time_ns())
            await asyncio.wrap_future(self._landing.submit(received))
        finally:
            self._waiting_bytes -= len(body)
        if not received.spans.num_rows:
            for rejection in received.rejections.to_pylist():
                if rejection["reason"] == Reason.REQUEST_UNDECODABLE:
                    raise UndecodableError(f"{Reason.REQUEST_UNDECODABLE}: {rejection['example']}")
        return received

    def close(self) -> None:
        """Ends the threads when they have finished what they do."""
        self._threads.shutdown()


def _decoded(decode: Decoder, body: bytes, source: str, received_ns: int) -> Received:
    try:
        return decode(body, source, received_ns)
    except ChalkmarkError as error:
        rejections = Rejections(source, received_ns)
        rejections.add("", "", Reason.REQUEST_UNDECODABLE, str(error))
        return Received(Received.nothing().spans, rejections.finish())


def refusals(received: Received) -> str:
    """What was refused of a request, in words: the reasons with their counts and first examples; empty if nothing was."""
    rows = received.rejections.to_pylist()
    return "; ".join(f"{row['spans']} of {row['service']}: {row['reason']} ({row['example']})" for row in rows)
