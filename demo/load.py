"""The shoppers: `python -m demo.load RATE` sends requests to the frontend until SIGTERM, untraced, as browsers are."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Iterator

import httpx

from demo.calls import addresses
from demo.fleet import SHOPPING

TIMEOUT_S = 30.0
MOST_AT_ONCE = 32
"""Requests in flight; a fleet that is slower than its load sees fewer requests, not a growing heap of them."""


async def shop(rate: float) -> None:
    """Sends `rate` requests a second on average, at random moments (a Poisson process)."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    room = asyncio.Semaphore(MOST_AT_ONCE)
    async with (
        httpx.AsyncClient(base_url=f"http://{addresses()['frontend']}", timeout=TIMEOUT_S, trust_env=False) as client,
        asyncio.TaskGroup() as requests,
    ):
        for endpoint in shuffled_decks():
            await room.acquire()
            requests.create_task(_request(client, endpoint)).add_done_callback(lambda _: room.release())
            try:
                await asyncio.wait_for(stopped.wait(), random.expovariate(rate))
            except TimeoutError:
                continue
            return


def shuffled_decks() -> Iterator[str]:
    """Endpoints, without end; every `sum(SHOPPING.values())` of them hold each exactly as often as SHOPPING says."""
    deck = [endpoint for endpoint, count in SHOPPING.items() for _ in range(count)]
    while True:
        random.shuffle(deck)
        yield from deck


async def _request(client: httpx.AsyncClient, endpoint: str) -> None:
    method, path = endpoint.split()
    try:
        await client.request(method, path.format(sku=random.randrange(100)))
    except httpx.HTTPError as error:
        print(f"{endpoint}: {str(error) or type(error).__name__}", flush=True)


if __name__ == "__main__":
    asyncio.run(shop(float(sys.argv[1])))
