"""Settings: a flag wins over `CHALKMARK_<NAME>`, that over `chalkmark.toml`, that over the default.

`Settings` is the one list of them. `docs/configuration.md`, the environment variables, the keys of the file and the
check of their types all come from its fields.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from chalkmark.errors import ChalkmarkError

FILE_NAME = "chalkmark.toml"
ENV_PREFIX = "CHALKMARK_"
ENV_FILE = "CHALKMARK_CONFIG"
"""Names a file to read instead of searching for one."""


def default_data() -> Path:
    """The user's data folder, by the platform's convention (`$XDG_DATA_HOME/chalkmark` on Linux)."""
    import platformdirs

    return platformdirs.user_data_path("chalkmark", appauthor=False)


def _setting(default: Any, doc: str, unit: str = "", *, least: int | None = None, most: int | None = None) -> Any:
    """A field of `Settings`; `least` and `most` are the smallest and largest value allowed."""
    about = {"doc": doc, "unit": unit, "least": least, "most": most}
    return field(default_factory=default, metadata=about) if callable(default) else field(default=default, metadata=about)


_port = partial(_setting, unit="TCP port, 0 for none", least=0, most=65535)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Names are a contract: they are flags, variables and keys of the file at once."""

    data: Path = _setting(default_data, "Folder that holds the tables and all other state.")  # noqa: RUF009 - it is a field
    host: str = _setting(
        "127.0.0.1",
        "Address that the receivers listen on. `0.0.0.0` accepts spans from other machines; there is no authentication.",
    )
    otlp_grpc_port: int = _port(4317, "OTLP over gRPC.")
    otlp_http_port: int = _port(4318, "OTLP over HTTP, protobuf and JSON.")
    zipkin_port: int = _port(9411, "Zipkin v2 JSON over HTTP.")
    quiet_s: float = _setting(5.0, "A trace is curated when no span of it came for this long.", "s", least=0)
    late_s: float = _setting(60.0, "Hours that got late spans are curated again at most this often.", "s", least=0)
    max_request_bytes: int = _setting(64 << 20, "Larger requests, unpacked, are refused.", "bytes", least=1024)
    max_waiting_bytes: int = _setting(
        256 << 20, "Received and not yet durable; beyond it senders are told to try later.", "bytes", least=1 << 20
    )
    retention_days: int = _setting(
        30,
        "Spans, traces, edges, annotations and rejections are deleted this long after they began or were imported; 0 keeps them.",
        "days",
        least=0,
    )
    retention_paths_days: int = _setting(730, "Call paths are deleted after this long; 0 keeps them.", "days", least=0)
    sql_threads: int = _setting(0, "Threads of one SQL session; 0 for one a CPU.", "threads", least=0)
    sql_memory: str = _setting("", "Memory of one SQL session, such as `4GB`; empty for 80 % of the machine's.")


def load(flags: Mapping[str, Any] | None = None, *, env: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """The settings in force.

    `flags` holds what the command line gave (None means not given), `env` stands for the environment and `folder` for
    the current folder. Raises ChalkmarkError for an unknown key or a value of the wrong type, naming it and its place.
    """
    env = os.environ if env is None else env
    values: dict[str, Any] = {}
    path = find_file(env, folder or Path())
    if path is not None:
        values |= _from_file(path)
    for f in fields(Settings):
        name = ENV_PREFIX + f.name.upper()
        if name in env:
            values[f.name] = _convert(f.name, env[name], f"environment variable {name}", text=True)
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = _convert(name, value, f"option --{name.replace('_', '-')}", text=False)
    return Settings(**values)


def find_file(env: Mapping[str, str], folder: Path) -> Path | None:
    """The file that is read: the one that CHALKMARK_CONFIG names, else the current folder's, else the user's."""
    if env.get(ENV_FILE):
        path = Path(env[ENV_FILE])
        if not path.is_file():
            raise ChalkmarkError(f"{ENV_FILE} names {path}, which is not a file.", "Correct the path or unset the variable.")
        return path
    if (folder / FILE_NAME).is_file():
        return folder / FILE_NAME
    import platformdirs

    path = platformdirs.user_config_path("chalkmark", appauthor=False) / FILE_NAME
    return path if path.is_file() else None


def unknown_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Variables that begin with CHALKMARK_ and set nothing, each with the nearest name that does (or an empty text)."""
    known = [ENV_PREFIX + f.name.upper() for f in fields(Settings)] + [ENV_FILE]
    return {name: _nearest(name, known) for name in sorted(env) if name.startswith(ENV_PREFIX) and name not in known}


def _from_file(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ChalkmarkError(
            f"{path}: {error}", 'The file has to be TOML: lines such as `data = "/var/lib/chalkmark"`.'
        ) from error
    known = [f.name for f in fields(Settings)]
    for key in document:
        if key not in known:
            nearest = _nearest(key, known)
            raise ChalkmarkError(
                f"{path}: unknown key {key!r}.", f"Did you mean {nearest!r}?" if nearest else f"Keys are: {', '.join(known)}."
            )
    values = {key: _convert(key, value, f"{path}: key {key!r}", text=False) for key, value in document.items()}
    if "data" in values and not values["data"].is_absolute():
        values["data"] = path.parent / values["data"]  # a file means the same from wherever it is read
    return values


_WANTED = {"Path": "a path", "str": "a text", "int": "a whole number", "float": "a number"}


def _convert(name: str, value: Any, place: str, *, text: bool) -> Any:
    """`value` as the type of setting `name`; `text` says that it comes as text (from the environment)."""
    setting = next(f for f in fields(Settings) if f.name == name)
    kind = str(setting.type)  # annotations are text in this module
    typed = _typed(kind, value, text=text)
    if typed is None:
        raise ChalkmarkError(f"{place} is {value!r}.", f"It has to be {_WANTED[kind]}.")
    least, most = setting.metadata["least"], setting.metadata["most"]
    if (least is not None and typed < least) or (most is not None and typed > most):
        bounds = f"from {least} to {most}" if most is not None else f"{least} or more"
        raise ChalkmarkError(f"{place} is {value!r}.", f"It has to be {bounds}.")
    return typed


def _typed(kind: str, value: Any, *, text: bool) -> Any:
    """The value as `kind`, or None where it is none of that kind."""
    if kind == "Path":
        return Path(value).expanduser() if isinstance(value, (str, Path)) and str(value) else None
    if kind == "str":
        return value if isinstance(value, str) else None
    allowed = str if text else int if kind == "int" else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool):
        return None
    try:
        number = int(value) if kind == "int" else float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _nearest(word: str, known: list[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, n=1)), "")
