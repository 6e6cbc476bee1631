"""Receiving as a service: all receivers in front of one landing folder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalkmark.receive.serve import Ports, ReceiverConfig
from chalkmark.receive.serve import serve as serve_receivers
from chalkmark.tables.landing_store import LandingWriter
from chalkmark.tables.memory import prefer_jemalloc


@dataclass(frozen=True, slots=True)
class ReceivingConfig:
    """Where to listen, and where what comes goes."""

    data: Path
    receivers: ReceiverConfig


def serve(config: ReceivingConfig, stop: threading.Event, ready: Callable[[Any], None]) -> None:
    """Receive until `stop` is set; `ready` gets the ports. What was acknowledged is in the landing folder."""
    prefer_jemalloc()
    landing = LandingWriter(config.data)
    try:
        asyncio.run(_serve(config.receivers, landing, stop, ready))
    finally:
        landing.close()


async def _serve(config: ReceiverConfig, landing: LandingWriter, stop: threading.Event, ready: Callable[[Ports], None]) -> None:
    stopped = asyncio.Event()
    serving = asyncio.create_task(serve_receivers(config, landing, stopped, ready))
    # A signal handler sets the event between two instructions of this thread, so there is nobody to wake the loop.
    while not stop.is_set() and not serving.done():
        await asyncio.sleep(0.1)
    stopped.set()
    await serving
