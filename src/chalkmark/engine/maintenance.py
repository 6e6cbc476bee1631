"""Keeping the lake small and quick: retention, snapshots, files that nobody points to, dictionaries of shapes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chalkmark.engine.curator import Curator, Progress, quietly
from chalkmark.engine.draft import Draft
from chalkmark.engine.files import read
from chalkmark.engine.parts import PART_TABLES, parse_hour, written_hour
from chalkmark.tables import TABLES
from chalkmark.tables.lake import Lake
from chalkmark.tables.landing_store import landing_folder

GRACE_S = 600.0
"""How long files that readers may still have planned are kept after the tables have let go of them."""

SETTLE_AFTER_S = 300.0
"""An hour is closed this long after its end: its parts are merged and its clocks settled."""


@dataclass(slots=True)
class Maintained:
    """What one round of maintenance did."""

    merged_parts: int = 0
    settled_parts: int = 0
    expired_files: int = 0
    expired_snapshots: int = 0
    removed_files: int = 0
    removed_bytes: int = 0


def maintain(
    curator: Curator,
    *,
    retention_days: float,
    retention_paths_days: float,
    grace_s: float = GRACE_S,
    open_hours: bool = True,
    progress: Progress = quietly,
) -> Maintained:
    """One full round. Retention counts from the hour in which traces began or were last curated; 0 days keep everything.

    Call paths are kept for `retention_paths_days`: they are small, and what an hour looked like is asked for years
    later. Without `open_hours`, hours that are still being written are left to the curator's own merging.
    """
    done = Maintained()
    draft = curator.draft()
    done.expired_files = expire(curator.lake, draft, _limits(retention_days, retention_paths_days))
    draft.commit()
    before = None if open_hours else int((time.time() - SETTLE_AFTER_S) // 3600)
    done.settled_parts = curator.settle(before_hour=before, progress=progress)
    done.merged_parts = curator.merge(everything=True, before_hour=before, progress=progress)
    compact_small_tables(curator)
    done.expired_snapshots = expire_snapshots(curator.lake, grace_s)
    done.removed_files, done.removed_bytes = remove_orphans(curator.lake, grace_s)
    return done


def _limits(days: float, paths_days: float) -> dict[str, int]:
    limits = {}
    for table in (*PART_TABLES, "rejections"):
        keep = paths_days if table == "call_paths" else days
        if keep > 0:
            limits[table] = int((time.time() - keep * 86_400) // 3600)
    return limits


def expire(lake: Lake, draft: Draft, before_hour: dict[str, int]) -> int:
    """Let go of files of hours before `before_hour[table]` (hours since the epoch); returns how many.

    A file also has to have been written before then: traces of years ago that are imported today stay their time.
    """
    expired = 0
    for table, hour in before_hour.items():
        old = [f.path for f in lake.plan(table) if max(parse_hour(f.part[:10]), written_hour(f.part)) < hour]
        if old:
            draft.intent.table(table).delete.extend(old)
            expired += len(old)
    return expired


def compact_small_tables(curator: Curator) -> None:
    """Make one file of the shapes that traces still have, and one file an hour of the rejections."""
    lake, draft = curator.lake, curator.draft()
    change = draft.intent.table
    shapes = lake.files("shapes")
    if len(shapes) > 1:
        used = [pq.read_table(f, columns=["shape_id"], partitioning=None)["shape_id"].to_numpy() for f in lake.files("traces")]
        live = np.unique(np.concatenate(used)) if used else np.empty(0, np.int64)
        for table in ("shapes", "shape_paths"):
            rows = pa.concat_tables(read(f, table) for f in lake.files(table))
            rows = rows.filter(pa.array(np.isin(rows["shape_id"].to_numpy(), live)))
            change(table).delete.extend(lake.files(table))
            change(table).add.append(lake.write(table, draft.intent.id, rows))
    by_hour: dict[str, list[str]] = {}
    for file in lake.plan("rejections"):
        by_hour.setdefault(file.part[:10], []).append(file.path)
    for hour, files in by_hour.items():
        if len(files) > 1:
            rows = pa.concat_tables(read(f, "rejections") for f in files)
            change("rejections").delete.extend(files)
            change("rejections").add.append(lake.write("rejections", f"{hour}-{draft.intent.id}", rows))
    draft.commit()
    curator.forget_shapes()


def expire_snapshots(lake: Lake, grace_s: float) -> int:
    """Let go of the snapshots that have been replaced for longer than the grace time. Returns how many."""
    before = datetime.now(UTC) - timedelta(seconds=grace_s)
    expired = 0
    for name in TABLES:
        table = lake.open(name)
        count = len(table.snapshots())
        if count > 1:
            # Times in Iceberg's metadata are UTC without saying so, and pyiceberg compares them so.
            table.maintenance.expire_snapshots().older_than(before.replace(tzinfo=None)).commit()
            expired += count - len(lake.open(name).snapshots())
    return expired


def remove_orphans(lake: Lake, grace_s: float) -> tuple[int, int]:
    """Delete files of the lake that no snapshot needs, and temporary files of writers that died. Files and bytes."""
    before = time.time() - grace_s
    files = size = 0
    for name in TABLES:
        needed = referenced(lake, name)
        for path in lake.folder(name).rglob("*"):
            if path.is_file() and path.name != "plan.json" and str(path) not in needed:
                removed = remove_if_older(path, before)
                files += removed > 0
                size += removed
    for path in landing_folder(lake.data).glob("*.tmp"):
        removed = remove_if_older(path, min(before, time.time() - 3600))
        files += removed > 0
        size += removed
    return files, size


def referenced(lake: Lake, name: str) -> set[str]:
    """Every file that some snapshot of the table, or its metadata, points to."""
    table = lake.open(name)
    found = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    for snapshot in table.snapshots():
        found.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in found:
                found.add(manifest.manifest_path)
                entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
                found.update(e.data_file.file_path for e in entries)
    return {f.removeprefix("file://") for f in found}


def remove_if_older(path: Path, before: float) -> int:
    """Delete a file last written before a time (seconds since the epoch); its size, or 0 where it stays."""
    try:
        status = path.stat()
        if status.st_mtime >= before:
            return 0
        path.unlink()
    except FileNotFoundError:
        return 0
    return max(status.st_size, 1)
