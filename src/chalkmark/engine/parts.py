"""Parts: sets of whole traces of one hour that were curated together, one file a table.

A part is what curation replaces. Late spans, merging, clock settling: each is "these parts become those parts", and all
that is stored about a part is its name: `<hour>-<commit>-<number>-<clock>`, where the hour is that of the traces' starts
(UTC) and the clock is the fingerprint of the offsets it was measured with.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from chalkmark.tables.lake import Lake

PART_TABLES = ("clock_evidence", "spans", "annotations", "edges", "call_paths", "traces")
"""Tables that a part has a file in (none where it would be empty)."""

MAX_ROWS = 1_000_000
"""A part of this many spans is not merged further: curating it again for one late span costs about 3 CPU-seconds."""

MERGE_COUNT = 8
"""So many parts of one size class become one: a span is written log8(MAX_ROWS / first part) times in its life."""

HOUR_NS = 3_600_000_000_000

_RANDOM_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Part:
    """One part, as its name and its file in `spans` tell."""

    name: str
    rows: int

    @property
    def hour(self) -> int:
        """Hour in which its traces began, in hours since the epoch."""
        return parse_hour(self.name[:10])

    @property
    def clock(self) -> str:
        """Fingerprint of the clock offsets it was measured with."""
        return self.name.rsplit("-", 1)[1]

    @property
    def size_class(self) -> int:
        """Parts of one class are merged with each other."""
        return int(math.log(max(self.rows, 1000) / 1000, MERGE_COUNT))


def new_commit_id(now_ns: int | None = None) -> str:
    """Name of a commit at a time (ns since the epoch; now), in hexadecimal ms, so that files of later commits sort later.

    Its random end lets two data folders be joined.
    """
    return f"{(time.time_ns() if now_ns is None else now_ns) // 1_000_000:x}{uuid.uuid4().hex[:_RANDOM_DIGITS]}"


def written_hour(name: str) -> int:
    """When the part or file of this name was written, in hours since the epoch."""
    return int(name.split("-")[1][:-_RANDOM_DIGITS], 16) // 3_600_000


def part_name(hour: int, commit_id: str, number: int, clock: str) -> str:
    """Name of a new part; `hour` in hours since the epoch."""
    return f"{format_hour(hour)}-{commit_id}-{number}-{clock}"


def format_hour(hour: int) -> str:
    """`2026112301` for the hour beginning at 2026-11-23 01:00 UTC."""
    return datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y%m%d%H")


def parse_hour(text: str) -> int:
    """Hours since the epoch, from what `format_hour` writes."""
    return int(datetime.strptime(text, "%Y%m%d%H").replace(tzinfo=UTC).timestamp()) // 3600


def parts(lake: Lake) -> list[Part]:
    """The parts in the lake, by hour."""
    return [Part(f.part, f.rows) for f in lake.plan("spans")]


def files_of(lake: Lake, names: Iterable[str]) -> dict[str, list[str]]:
    """The files of some parts, by table."""
    wanted = set(names)
    return {table: [f.path for f in lake.plan(table) if f.part in wanted] for table in PART_TABLES}


def mergeable(candidates: Iterable[Part], *, everything: bool = False) -> list[list[Part]]:
    """Groups of parts of one hour that should become one part each.

    While an hour is open only full groups of one size class are merged; with `everything`, all that fits together is.
    """
    classes: dict[tuple[int, int], list[Part]] = defaultdict(list)
    for part in candidates:
        if part.rows < MAX_ROWS:
            classes[part.hour, -1 if everything else part.size_class].append(part)
    groups = []
    for _, members in sorted(classes.items()):
        group: list[Part] = []
        for part in sorted(members, key=lambda p: (p.rows, p.name)):
            if sum(p.rows for p in group) + part.rows > MAX_ROWS:
                groups.append(group)
                group = []
            group.append(part)
        groups.append(group)
    return [g for g in groups if len(g) >= (2 if everything else MERGE_COUNT)]
