"""What every receiver does with a request, whatever its protocol: decode it, make it durable, say what was refused.

A request of 500 spans costs nearly as much to hand around, to set columns up for and to write as to decode. So requests
of a kind are taken together while the disk is busy with those before them, which they would wait for anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Protocol, TypeAlias

from chalkmark.errors import ChalkmarkError, OverloadedError
from chalkmark.receive.rows import Rejections
from chalkmark.tables.landing import Received
from chalkmark.tables.quality import Reason

Decoder: TypeAlias = Callable[[bytes, str, int], Received]
"""From a request's bytes, the name of its source and the time in ns to what it holds. ChalkmarkError: it is not of the format."""

GroupDecoder: TypeAlias = Callable[[Sequence[bytes], str, int], tuple[Received, list[Received]]]
"""The same of several requests: what they hold together, and what each of them became. Raises nothing, whatever the bytes."""

GROUP_BYTES = 2 << 20
"""Requests of so many bytes are decoded together: enough to share the costs of a batch, and a few ms of work for a thread."""

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
    """Takes requests, decodes them on threads of its own, and waits until they are durable. For one event loop.

    `max_waiting_bytes` bounds the requests that are under way; one is always let in. Whoever takes hears of

    - OverloadedError: there is no room,
    - UndecodableError: the request is not of its format (it is counted all the same),
    - what the landing raises when it fails.
    """

    def __init__(self, landing: Landing, *, threads: int, max_waiting_bytes: int) -> None:
        self._landing = landing
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting_bytes = 0
        self._groups: dict[tuple[GroupDecoder, str], _Groups] = {}

    async def take(self, decode: Decoder, body: bytes, source: str) -> Received:
        """What became of a request, once it is durable."""
        self._enter(len(body))
        try:
            loop = asyncio.get_running_loop()
            received = await loop.run_in_executor(self._threads, _decoded, decode, body, source, time.time_ns())
            await asyncio.wrap_future(self._landing.submit(received))
        finally:
            self._leave(len(body))
        return _decodable(received)

    async def take_together(self, decode: GroupDecoder, body: bytes, source: str) -> Received:
        """What became of a request that shares a batch with others, once that is durable."""
        groups = self._groups.get((decode, source))
        if groups is None:
            groups = self._groups[decode, source] = _Groups(decode, source, self._threads, self._landing)
        self._enter(len(body))
        answer = groups.add(body)
        answer.add_done_callback(lambda _: self._leave(len(body)))
        # A client that goes away does not take its request out of the group, and its room is free when that ends.
        return _decodable(await asyncio.shield(answer))

    def close(self) -> None:
        """Ends the threads when they have finished what they do."""
        self._threads.shutdown()

    def _enter(self, size: int) -> None:
        if self._waiting_bytes and self._waiting_bytes + size > self._max_waiting_bytes:
            raise OverloadedError(f"{self._waiting_bytes:,} bytes of other requests are not durable yet.", RETRY_S)
        self._waiting_bytes += size

    def _leave(self, size: int) -> None:
        self._waiting_bytes -= size


class _Groups:
    """Requests of one kind on their way into the landing, in groups.

    Only one group is under way, from its first byte decoded to its last one durable, unless GROUP_BYTES wait for another:
    an idle receiver decodes at once, and a busy one uses all threads, on groups that are worth it.
    """

    def __init__(self, decode: GroupDecoder, source: str, threads: Executor, landing: Landing) -> None:
        self._decode = decode
        self._source = source
        self._threads = threads
        self._landing = landing
        self._waiting: deque[tuple[bytes, asyncio.Future[Received]]] = deque()
        self._waiting_bytes = 0
        self._under_way: set[asyncio.Task[None]] = set()

    def add(self, body: bytes) -> asyncio.Future[Received]:
        """What became of the request, once it is durable."""
        answer: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        self._waiting.append((body, answer))
        self._waiting_bytes += len(body)
        self._begin()
        return answer

    def _begin(self) -> None:
        while self._waiting and (not self._under_way or self._waiting_bytes >= GROUP_BYTES):
            bodies: list[bytes] = []
            answers: list[asyncio.Future[Received]] = []
            room = GROUP_BYTES
            while self._waiting and (not bodies or len(self._waiting[0][0]) <= room):
                body, answer = self._waiting.popleft()
                bodies.append(body)
                answers.append(answer)
                room -= len(body)
            self._waiting_bytes -= GROUP_BYTES - room
            task = asyncio.create_task(self._finish(bodies, answers))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.remove(task)
        self._begin()

    async def _finish(self, bodies: list[bytes], answers: list[asyncio.Future[Received]]) -> None:
        try:
            loop = asyncio.get_running_loop()
            whole, parts = await loop.run_in_executor(self._threads, self._decode, bodies, self._source, time.time_ns())
            await asyncio.wrap_future(self._landing.submit(whole))
        except Exception as error:
            for answer in answers:
                answer.set_exception(error)
            return
        for answer, part in zip(answers, parts, strict=True):
            answer.set_result(part)


def _decoded(decode: Decoder, body: bytes, source: str, received_ns: int) -> Received:
    try:
        return decode(body, source, received_ns)
    except ChalkmarkError as error:
        rejections = Rejections(source, received_ns)
        rejections.add("", "", Reason.REQUEST_UNDECODABLE, str(error))
        return Received(Received.nothing().spans, rejections.finish())


def _decodable(received: Received) -> Received:
    """Raises UndecodableError for a request of which nothing was kept because of its bytes."""
    if not received.spans.num_rows:
        for rejection in received.rejections.to_pylist():
            if rejection["reason"] == Reason.REQUEST_UNDECODABLE:
                raise UndecodableError(f"{Reason.REQUEST_UNDECODABLE}: {rejection['example']}")
    return received


def refusals(received: Received) -> str:
    """What was refused of a request, in words: the reasons with their counts and first examples; empty if nothing was."""
    rows = received.rejections.to_pylist()
    return "; ".join(f"{row['spans']} of {row['service']}: {row['reason']} ({row['example']})" for row in rows)
