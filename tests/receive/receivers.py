"""Real receivers on free ports for tests, in a thread of their own, with a landing that only remembers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

from chalkmark.errors import ChalkmarkError, OverloadedError
from chalkmark.receive.serve import Ports, ReceiverConfig, serve
from chalkmark.tables.landing import Received

FREE = ReceiverConfig(otlp_grpc_port=0, otlp_http_port=0, zipkin_port=0)


class Memory:
    """A landing that keeps what it gets; `refuse` requests are told to come back, `fail` ones meet a full disk."""

    def __init__(self) -> None:
        self.kept: list[Received] = []
        self.refuse = 0
        self.fail = 0
        self.asked = 0
        self.hold: threading.Event | None = None
        self.holding = threading.Event()

    def submit(self, received: Received) -> Future[None]:
        self.asked += 1
        done: Future[None] = Future()
        if self.refuse:
            self.refuse -= 1
            raise OverloadedError("The landing is full.", 0.25)
        if self.fail:
            self.fail -= 1
            done.set_exception(OSError(28, "No space left on device"))
            return done
        self.kept.append(received)
        if self.hold is None:
            done.set_result(None)
        else:
            hold = self.hold
            self.holding.set()
            threading.Thread(target=lambda: (hold.wait(), done.set_result(None))).start()
        return done

    @property
    def operations(self) -> list[str]:
        return [name for received in self.kept for name in received.spans["operation"].to_pylist()]


class Running:
    """Receivers that run; `stop` asks them to end and `join` waits for it."""

    def __init__(self, landing: Memory, config: ReceiverConfig) -> None:
        self.landing = landing
        self.ports = Ports(None, None, None)
        self._config = config
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait()
        if self._error:
            self._thread.join()
            raise self._error

    def _run(self) -> None:
        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await serve(self._config, self.landing, self._stop, self._started)

        try:
            asyncio.run(main())
        except ChalkmarkError as error:
            self._error = error
        finally:
            self._ready.set()

    def _started(self, ports: Ports) -> None:
        self.ports = ports
        self._ready.set()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)

    def join(self) -> None:
        self._thread.join()

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.ports.otlp_grpc}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.ports.otlp_http}"

    @property
    def zipkin(self) -> str:
        return f"http://127.0.0.1:{self.ports.zipkin}"


@contextmanager
def running(config: ReceiverConfig = FREE, **changes: object) -> Iterator[Running]:
    receivers = Running(Memory(), replace(config, **changes))  # type: ignore[arg-type]
    try:
        yield receivers
    finally:
        if receivers.landing.hold:
            receivers.landing.hold.set()
        receivers.stop()
        receivers.join()
