"""The checks of `chalkmark doctor`. Each looks at one thing and says what to do where it is not as it should be."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from chalkmark import __version__, config

OLDEST_PYTHON = (3, 11)
LOW_DISK = 2 << 30
"""An hour of a busy demo fleet is some 100 MB; compaction needs room for a second copy of an hour."""
LOW_MEMORY = 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `mend` says what to do and is empty where nothing is to be done."""

    check: str
    state: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""


def run_checks(settings: config.Settings) -> list[Finding]:
    """Every check, in the order in which a newcomer can mend things."""
    return [
        _python(),
        *_libraries(),
        *_variables(os.environ),
        _data_folder(settings.data),
        _disk(settings.data),
        _memory(),
        *_ports(settings),
        _numba_cache(),
    ]


def _python() -> Finding:
    found = f"chalkmark {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("python", "fail", found, "Install Python 3.11 or newer.")
    return Finding("python", "ok", found)


def _libraries() -> Iterator[Finding]:
    """Every library that the installed package asks for, and whether it is there."""
    found, missing = [], []
    for requirement in metadata.requires("chalkmark") or ():
        if "extra ==" in requirement:
            continue
        name = requirement.split(";")[0]
        for sign in "[<>=!~ ":
            name = name.split(sign)[0]
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("libraries", "fail", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    yield Finding("libraries", "ok", ", ".join(found))


def _variables(env: Iterable[str]) -> Iterator[Finding]:
    for name, nearest in config.unknown_variables(dict.fromkeys(env, "")).items():
        mend = f"Did you mean {nearest}?" if nearest else "Unset it; docs/configuration.md lists the names."
        yield Finding("environment", "warn", f"{name} sets nothing", mend)


def _data_folder(data: Path) -> Finding:
    folder = _existing(data)
    if not folder.is_dir():
        return Finding("data folder", "fail", f"{folder} is not a folder", "Choose another one with --data.")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("data folder", "fail", f"{folder} is not writable", "Choose another one with --data, or change its owner.")
    return Finding("data folder", "ok", str(data) if folder == data else f"{data} (made on first use)")


def _disk(data: Path) -> Finding:
    usage = shutil.disk_usage(_existing(data))
    found = f"{usage.free / 1e9:,.1f} GB of {usage.total / 1e9:,.1f} GB free"
    if usage.free < LOW_DISK:
        return Finding("disk", "warn", found, "Free some, shorten CHALKMARK_RETENTION_DAYS, or move with --data.")
    return Finding("disk", "ok", found)


def _memory() -> Finding:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return Finding("memory", "warn", "unknown: no /proc/meminfo", "Chalkmark is made for Linux.")
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    free = kib["MemAvailable"] * 1024
    found = f"{free / 1e9:,.1f} GB of {kib['MemTotal'] * 1024 / 1e9:,.1f} GB available"
    if free < LOW_MEMORY:
        return Finding("memory", "warn", found, "Limit queries with CHALKMARK_SQL_MEMORY=1GB, or stop something.")
    return Finding("memory", "ok", found)


def _ports(settings: config.Settings) -> Iterator[Finding]:
    for name in ("otlp_grpc_port", "otlp_http_port", "zipkin_port"):
        port = getattr(settings, name)
        if port:
            yield _port(name, settings.host, port)


def _port(name: str, host: str, port: int) -> Finding:
    check = f"port {port}"
    variable = config.ENV_PREFIX + name.upper()
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Finding(check, "warn", f"taken by {_listener(port)}", f"Stop it, or choose another port with {variable}.")
        return Finding(
            check, "fail", f"{host}: {error.strerror}", f"Set {variable} or CHALKMARK_HOST to an address of this machine."
        )
    return Finding(check, "ok", f"free for {name.removesuffix('_port').replace('_', ' ')} on {host}")


def _listener(port: int) -> str:
    """The process that listens on a TCP port, as far as /proc shows it to this user."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A: listening
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:  # another user's process, or one that just ended
            continue
    return "a process of another user"


def _numba_cache() -> Finding:
    """Numba keeps compiled kernels beside the package, or in the user's cache folder, or nowhere."""
    beside = Path(__file__).resolve().parents[1]
    cache = os.environ.get("NUMBA_CACHE_DIR")
    if cache:
        ok = os.access(_existing(Path(cache)), os.W_OK)
        return Finding(
            "kernel cache", "ok" if ok else "warn", cache, "" if ok else "NUMBA_CACHE_DIR has to be a writable folder."
        )
    if os.access(beside, os.W_OK):
        return Finding("kernel cache", "ok", str(beside))
    if os.access(_existing(Path.home() / ".cache"), os.W_OK):
        return Finding("kernel cache", "ok", str(Path.home() / ".cache"))
    return Finding(
        "kernel cache",
        "warn",
        "nowhere to keep compiled kernels: every start compiles them",
        "Set NUMBA_CACHE_DIR to a writable folder.",
    )


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
