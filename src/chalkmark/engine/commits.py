"""Commits over several tables that a crash cannot tear.

Iceberg commits one table at a time. What curation does touches all of them and the landing folder, so it is written
down first: files are written where nobody looks, then one small file, the intent, says which files every table gains
and loses, which landing files are consumed and which appear. That file is the point of no return. Carrying it out is
idempotent, and whoever opens the data folder for writing carries out what is left of an intent before anything else.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from chalkmark.tables.lake import Lake
from chalkmark.tables.landing_store import landing_folder, publish, sync_folder

# The order in which tables change: what others point to comes first, what people start from comes last.
ORDER = (
    "shapes",
    "shape_paths",
    "clock_evidence",
    "rejections",
    "spans",
    "annotations",
    "edges",
    "call_paths",
    "traces",
)


@dataclass(slots=True)
class Change:
    """The Parquet files that one table gains and loses."""

    add: list[str] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Intent:
    """Everything that one commit does. Paths are absolute."""

    id: str
    tables: dict[str, Change] = field(default_factory=dict)
    publish: list[str] = field(default_factory=list)
    """Landing files under temporary names: rows that wait, in place of the consumed files they came from."""
    consume: list[str] = field(default_factory=list)
    """Landing files whose rows are now in the tables or in a published file."""

    def table(self, name: str) -> Change:
        """The change of one table, made where there is none yet."""
        return self.tables.setdefault(name, Change())

    def __bool__(self) -> bool:
        return bool(self.tables or self.publish or self.consume)


def commit(lake: Lake, intent: Intent) -> None:
    """Make an intent true. When this returns, readers see it and it survives a power failure."""
    for name, change in intent.tables.items():
        if change.add:
            sync_folder(lake.folder(name) / "data")
    path = _intent_file(lake)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(orjson.dumps(asdict(intent)))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)
    _carry_out(lake, intent)


def recover(lake: Lake) -> bool:
    """Carry out what a crash left half done; true where there was something."""
    path = _intent_file(lake)
    if not path.exists():
        return False
    raw = orjson.loads(path.read_bytes())
    raw["tables"] = {name: Change(**change) for name, change in raw["tables"].items()}
    _carry_out(lake, Intent(**raw))
    return True


def _intent_file(lake: Lake) -> Path:
    return lake.data / "intent.json"


def _carry_out(lake: Lake, intent: Intent) -> None:
    for name in sorted(intent.tables, key=ORDER.index):
        change = intent.tables[name]
        lake.commit(name, intent.id, add=change.add, delete=change.delete)
    for path in map(Path, intent.publish):
        if path.exists():
            publish(path)
    for path in map(Path, intent.consume):
        path.unlink(missing_ok=True)
    if intent.consume:
        sync_folder(landing_folder(lake.data))
    _intent_file(lake).unlink(missing_ok=True)
    sync_folder(lake.data)
