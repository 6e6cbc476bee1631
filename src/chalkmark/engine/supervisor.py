"""Several processes that live and die together: the children of `chalkmark up`.

A child that crashes is started again, later each time it does. Children are stopped in their order, so that what
receives stops before what it hands on to. They die with their parent, even when that is killed.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from chalkmark.errors import ChalkmarkError

log = logging.getLogger("chalkmark.up")

Work = Callable[[Any, threading.Event, Callable[[Any], None]], None]
"""What a child does, given its configuration, an event that tells it to stop, and a function to call once it is ready,
with whatever its parent should know (addresses, say)."""

STOP_WITHIN_S = 20.0
FIRST_RESTART_S, LAST_RESTART_S = 1.0, 60.0
STABLE_S = 300.0
"""A child that ran this long is taken to be well, and its next restart is quick again."""
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Child:
    """One process to be kept running. `work` is found by import, so it has to be a module's function."""

    name: str
    work: Work
    config: Any


class _Running:
    """A child and what is known about it."""

    def __init__(self, child: Child, log_level: int) -> None:
        self.child = child
        self.log_level = log_level
        self.restart_s = FIRST_RESTART_S
        self.restart_at: float | None = None
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.told, tell = context.Pipe(duplex=False)
        self.process: SpawnProcess = context.Process(
            target=_run, args=(self.child, tell, os.getpid(), self.log_level), name=f"chalkmark-{self.child.name}"
        )
        self.process.start()
        tell.close()
        self.started = time.monotonic()
        self.restart_at = None

    def ready(self) -> Any:
        """Wait until the child is ready; returns what it says. Raises what kept it from that."""
        try:
            kind, value = self.told.recv()
        except EOFError:
            self.process.join()
            raise ChalkmarkError(
                f"the {self.child.name} process ended with code {self.process.exitcode} before it was ready",
                "Its messages are above; `chalkmark doctor` checks the machine.",
            ) from None
        if kind == "error":
            raise ChalkmarkError(*value)
        return value

    def crashed(self) -> None:
        """Note a crash and when to start again."""
        if time.monotonic() - self.started > STABLE_S:
            self.restart_s = FIRST_RESTART_S
        log.error("%s ended with code %s; starting it again in %g s", self.child.name, self.process.exitcode, self.restart_s)
        self.restart_at = time.monotonic() + self.restart_s
        self.restart_s = min(2 * self.restart_s, LAST_RESTART_S)

    def stop(self) -> None:
        """Ask the child to end, and see to it."""
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(STOP_WITHIN_S)
        if self.process.is_alive():
            log.error("%s does not stop; killing it", self.child.name)
            self.process.kill()
            self.process.join()


def supervise(
    children: Sequence[Child], stop: threading.Event, on_ready: Callable[[dict[str, Any]], None], *, log_level: int
) -> None:
    """Start the children in reverse order, so that what is handed on to is there first; keep them until `stop` is set.

    `on_ready` gets what each child said when it was ready. Raises ChalkmarkError where one cannot be started at all.
    """
    running: list[_Running] = []
    try:
        for child in reversed(children):
            running.insert(0, _Running(child, log_level))
        on_ready({r.child.name: r.ready() for r in running})
        while not stop.is_set():
            wait([r.process.sentinel for r in running if r.restart_at is None], timeout=0.2)
            for r in running:
                if r.restart_at is None and not r.process.is_alive() and not stop.is_set():
                    r.crashed()
                elif r.restart_at is not None and time.monotonic() >= r.restart_at:
                    r.start()
    finally:
        for r in running:
            r.stop()


def _run(child: Child, tell: Connection, parent: int, log_level: int) -> None:
    """The child's main function."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what follows
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    configure_logging(log_level)
    try:
        child.work(child.config, stop, lambda value: tell.send(("ready", value)))
    except ChalkmarkError as error:
        log.error("%s: %s %s", child.name, error, error.hint)  # noqa: TRY400 - a sentence for people, not a traceback
        tell.send(("error", (str(error), error.hint)))
        sys.exit(2)


def configure_logging(level: int) -> None:
    """Messages of Chalkmark's processes on stderr, with time and origin."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
