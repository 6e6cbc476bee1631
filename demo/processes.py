"""Processes that belong together: started with a log file each, watched, counted, and stopped without leaving one behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOG_LINES = 12
"""Lines of a dead process's log that are shown."""
POLL_S = 0.05


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to look at."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process and all its descendants take."""

    memory_bytes: int
    """Proportional set size: a page that processes share counts once in all."""
    cpu_s: float
    """CPU time since each started, including that of descendants that have ended."""


class Processes:
    """A group of child processes by name. The kernel terminates them should this process die, however it dies."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Starts `command`; what it prints goes to `<logs>/<name>.log`. Raises DemoError if there is no such program."""
        parent = os.getpid()

        def die_with_parent() -> None:
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died in between
                os._exit(1)

        try:
            with self.log(name).open("wb") as log:
                self._running[name] = subprocess.Popen(
                    command,
                    env={**os.environ, **(environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for this process alone, which stops the others in order
                    preexec_fn=die_with_parent,
                )
        except OSError as error:
            raise DemoError(f"{name} cannot be started: {error.strerror}: {error.filename}") from error

    def log(self, name: str) -> Path:
        """Where what `name` prints goes."""
        return self._logs / f"{name}.log"

    def check(self) -> None:
        """Raises DemoError if a process has ended by itself."""
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                lines = self.log(name).read_text(errors="replace").splitlines()[-LOG_LINES:]
                raise DemoError("\n".join([f"{name} ended with exit code {code}. The end of {self.log(name)}:", *lines]))

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Waits for `ready()`. Raises DemoError if a process ends or the time is over before; `what` says what was awaited."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"{what} is not there after {timeout_s:.0f} s. The logs are in {self._logs}.")
            time.sleep(POLL_S)

    def stop(self, *names: str, grace_s: float) -> list[str]:
        """Terminates these processes together, kills the group of each that has not ended in time, and names those."""
        stopping = {name: self._running.pop(name) for name in names if name in self._running}
        for process in stopping.values():
            process.terminate()
        deadline = time.monotonic() + grace_s
        killed = []
        for name, process in stopping.items():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                killed.append(name)
            with contextlib.suppress(ProcessLookupError):  # the usual case: nobody is left in its session
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return killed

    def names(self) -> list[str]:
        """Those that were started and not stopped, in that order."""
        return list(self._running)


def footprint() -> Footprint:
    """Of this process and its descendants, from /proc."""
    ticks = os.sysconf("SC_CLK_TCK")
    memory, cpu = 0, 0.0
    for pid in _family(os.getpid()):
        with contextlib.suppress(OSError):  # it ended meanwhile
            cpu += sum(map(int, _stat(pid)[11:15])) / ticks  # utime stime cutime cstime
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            memory += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    return Footprint(memory, cpu)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def is_free(port: int) -> bool:
    """True where `port` of the loopback interface can be listened on."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(address: str) -> bool:
    """True where somebody listens at `127.0.0.1:port`, or at the name of a datagram socket."""
    host, _, port = address.rpartition(":")
    family, kind, target = (
        (socket.AF_INET, socket.SOCK_STREAM, (host, int(port))) if host else (socket.AF_UNIX, socket.SOCK_DGRAM, address)
    )
    with socket.socket(family, kind) as s:
        s.settimeout(1)
        return s.connect_ex(target) == 0


def _family(ancestor: int) -> list[int]:
    """`ancestor` and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    family = [ancestor]
    for pid in family:  # grows while it is walked
        family += children.get(pid, [])
    return family


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (state) on; the second, the name, may hold anything, even brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
