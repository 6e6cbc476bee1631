"""Requests that share a batch: what each of their senders hears, and when a batch begins."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator

import pytest

from chalkmark.errors import OverloadedError
from chalkmark.receive import intake as intake_module
from chalkmark.receive.intake import Intake, UndecodableError, refusals
from chalkmark.receive.otlp import compile_decoder, decode_together
from chalkmark.tables.landing import Received
from chalkmark.tables.quality import Reason
from receive.otlp_requests import request
from receive.receivers import Memory

GARBAGE = b"\x0a\x7fgarbage"


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    compile_decoder()


@pytest.fixture
def landing() -> Iterator[Memory]:
    """A landing in which nothing becomes durable before its `hold` is set."""
    landing = Memory()
    landing.hold = threading.Event()
    yield landing
    landing.hold.set()


def body(*names: str, trace_id: bytes = b"t" * 16) -> bytes:
    return request(*names, trace_id=trace_id).SerializeToString()


def run(landing: Memory, test: Callable[[Intake], Coroutine[None, None, None]], max_waiting_bytes: int = 1 << 20) -> None:
    intake = Intake(landing, threads=2, max_waiting_bytes=max_waiting_bytes)
    try:
        asyncio.run(test(intake))
    finally:
        intake.close()


def start(intake: Intake, sent: bytes) -> asyncio.Task[Received]:
    return asyncio.create_task(intake.take_together(decode_together, sent, "otlp-grpc"))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def held(intake: Intake, landing: Memory) -> asyncio.Task[Received]:
    """A request that is under way until the landing lets it go, so that later ones wait."""
    first = start(intake, body("first"))
    await until(lambda: landing.asked == 1)
    return first


def test_requests_that_wait_become_one_batch_and_each_sender_hears_of_its_own(landing: Memory) -> None:
    async def test(intake: Intake) -> None:
        first = await held(intake, landing)
        bad = body("bad", trace_id=b"")
        tasks = [start(intake, sent) for sent in (body("a", "b"), GARBAGE, body("c") + bad + bad, bad, b"")]
        await asyncio.sleep(0.02)
        assert landing.asked == 1
        assert not first.done()
        landing.hold.set()
        ab, garbage, c, nothing, empty = tasks
        assert (await first).spans["operation"].to_pylist() == ["first"]
        assert ((await ab).spans["operation"].to_pylist(), refusals(await ab)) == (["a", "b"], "")
        with pytest.raises(UndecodableError, match="a length runs past the end"):
            await garbage
        assert ((await c).spans["operation"].to_pylist(), (await c).rejected) == (["c"], 2)
        assert refusals(await c).startswith("2 of checkout: trace_id_missing")
        assert ((await nothing).spans.num_rows, (await nothing).rejected) == (0, 1)
        assert ((await empty).spans.num_rows, (await empty).rejected) == (0, 0)

    run(landing, test)
    assert landing.operations == ["first", "a", "b", "c"]
    assert [received.rejected for received in landing.kept] == [0, 4]
    counts = {row["reason"]: row["spans"] for row in landing.kept[1].rejections.to_pylist()}
    assert counts[Reason.REQUEST_UNDECODABLE] == 1


def test_full_group_does_not_wait_for_the_one_before(landing: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = body("x")
    monkeypatch.setattr(intake_module, "GROUP_BYTES", 3 * len(sent))

    async def test(intake: Intake) -> None:
        first = await held(intake, landing)
        tasks = [start(intake, sent) for _ in range(5)]
        await until(lambda: landing.asked == 2)
        await asyncio.sleep(0.02)
        assert [received.spans.num_rows for received in landing.kept] == [1, 3]
        landing.hold.set()
        await asyncio.gather(first, *tasks)

    run(landing, test)
    assert [received.spans.num_rows for received in landing.kept] == [1, 3, 2]


def test_request_larger_than_a_group_is_one_by_itself(landing: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "GROUP_BYTES", 1)

    async def test(intake: Intake) -> None:
        tasks = [start(intake, body(name)) for name in "abc"]
        await until(lambda: landing.asked == 3)
        landing.hold.set()
        await asyncio.gather(*tasks)

    run(landing, test)
    assert sorted(landing.operations) == ["a", "b", "c"]


def test_landing_without_room_is_heard_by_every_sender_of_the_batch(landing: Memory) -> None:
    async def test(intake: Intake) -> None:
        first = await held(intake, landing)
        landing.refuse = 1
        tasks = [start(intake, body(name)) for name in "abc"]
        await asyncio.sleep(0)
        landing.hold.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [OverloadedError] * 3
        await first
        assert (await start(intake, body("again"))).spans.num_rows == 1

    run(landing, test)
    assert landing.operations == ["first", "again"]


def test_requests_that_wait_for_a_group_count_as_waiting(landing: Memory) -> None:
    size = len(body("first"))

    async def test(intake: Intake) -> None:
        first = await held(intake, landing)
        second = start(intake, body("other"))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await start(intake, body("third"))
        landing.hold.set()
        await asyncio.gather(first, second)
        assert (await start(intake, body("third"))).spans.num_rows == 1

    run(landing, test, max_waiting_bytes=2 * size)


def test_client_that_goes_away_keeps_its_room_until_its_request_is_done(landing: Memory) -> None:
    size = len(body("first"))

    async def test(intake: Intake) -> None:
        first = await held(intake, landing)
        gone = start(intake, body("gone!"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        with pytest.raises(OverloadedError):
            await start(intake, body("third"))
        landing.hold.set()
        await first
        await until(lambda: landing.asked == 2)

    run(landing, test, max_waiting_bytes=2 * size)
    assert landing.operations == ["first", "gone!"]


def test_idle_receiver_decodes_at_once(landing: Memory) -> None:
    landing.hold.set()

    async def test(intake: Intake) -> None:
        for name in "abc":
            assert (await start(intake, body(name))).spans["operation"].to_pylist() == [name]

    run(landing, test)
    assert landing.asked == 3
