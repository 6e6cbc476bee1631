"""The curator: takes received spans from the landing folder to committed tables, and keeps the parts in good order.

A trace is curated when it has been quiet for a while. Spans that come later bring the part of their trace back: it is
curated again as a whole and replaced. Small parts are merged the same way, so there is one operation: these parts and
these received spans become those parts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from chalkmark.engine.clocks import EXTRAS, settled
from chalkmark.engine.commits import recover
from chalkmark.engine.draft import Draft
from chalkmark.engine.inbox import Inbox, Keys, Rows, Traces
from chalkmark.engine.lock import CuratorLock
from chalkmark.engine.parts import HOUR_NS, MAX_ROWS, Part, mergeable, parts
from chalkmark.engine.quarantine import set_aside
from chalkmark.engine.shape_index import ShapeIndex
from chalkmark.engine.trace_index import parts_holding
from chalkmark.tables.lake import Lake
from chalkmark.tables.landing import Received
from chalkmark.tables.landing_store import landing_folder, write_landing
from chalkmark.tables.memory import prefer_jemalloc

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

log = logging.getLogger("chalkmark.curate")

NS = 1_000_000_000
SMALL_ROWS = 100_000
"""A part up to this size is curated again at once for a late span; larger ones at most once in `late_s`."""


def quietly(what: str, done: int, total: int) -> None:
    """Progress for nobody."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of the curator did."""

    spans: int
    """Spans written, those of replaced parts included."""
    traces: int
    waiting: int
    """Spans that stay in the landing folder, because their traces may still grow."""


class Curator:
    """Holds the data folder's lock while it lives; finishes what an interrupted predecessor left."""

    def __init__(self, data: Path, *, quiet_s: float = 5.0, longest_wait_s: float = 30.0, late_s: float = 60.0) -> None:
        prefer_jemalloc()
        self._data = Path(data).resolve()  # intents keep whole paths
        self._lock = CuratorLock(self._data)
        self.lake = Lake(self._data)
        landing_folder(self._data).mkdir(parents=True, exist_ok=True)
        recover(self.lake)
        self._shapes = ShapeIndex(self.lake)
        self._quiet_ns = int(quiet_s * NS)
        self._longest_ns = int(longest_wait_s * NS)
        self._late_s = late_s
        self._large_at = -late_s

    def close(self) -> None:
        """Let another process curate."""
        self._lock.release()

    def __enter__(self) -> Curator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def draft(self) -> Draft:
        """A new, empty change of the lake."""
        return Draft(self.lake, self._shapes)

    def forget_shapes(self) -> None:
        """Learn anew which shapes are stored."""
        self._shapes = ShapeIndex(self.lake)

    def step(self, *, flush: bool = False, progress: Progress = quietly) -> Step:
        """Curate the traces that are ready; with `flush`, all of them."""
        inbox = Inbox(self._data)
        if not inbox.files:
            return Step(0, 0, 0)
        draft = self.draft()
        ready = np.empty(0, np.int64)
        if len(inbox):
            traces = inbox.traces()
            chosen = np.arange(len(traces)) if flush else self._ready(traces, time.time_ns())
            ready = self._curate(draft, inbox, traces, chosen, flush, progress)
        self._consume(draft, inbox, ready)
        draft.commit()
        return Step(draft.spans, draft.traces, len(inbox) - len(ready))

    def _ready(self, traces: Traces, now_ns: int) -> Rows:
        quiet = traces.last_ns <= now_ns - self._quiet_ns
        overdue = traces.first_ns <= now_ns - self._longest_ns
        return np.flatnonzero(quiet | overdue)

    def _curate(self, draft: Draft, inbox: Inbox, traces: Traces, chosen: Rows, flush: bool, progress: Progress) -> Rows:
        """Draft the chosen traces; returns the rows of the inbox that are done with."""
        if not len(chosen):
            return np.empty(0, np.int64)
        late, waiting = self._late(traces, chosen, flush)
        fresh = chosen[~np.isin(traces.keys[chosen], np.concatenate([*late.values(), waiting]))]
        total = int((traces.starts[chosen + 1] - traces.starts[chosen]).sum())
        done: list[Rows] = []
        chunks = list(inbox.chunks(traces, fresh))
        if len(chunks) > 1:
            self._observe(draft, inbox, [traces.rows_of(chunk) for chunk in chunks], progress)
        for chunk in chunks:
            done.append(traces.rows_of(chunk))
            self._curate_or_set_aside(draft, inbox, traces, chunk)
            progress("curating", sum(map(len, done)), total)
        for names, keys in batches(late, {p.name: p.rows for p in parts(self.lake)}):
            members = np.searchsorted(traces.keys, keys)
            done.append(traces.rows_of(members))
            self._curate_or_set_aside(draft, inbox, traces, members, names)
            progress("curating", sum(map(len, done)), total)
        return np.sort(np.concatenate(done)) if done else np.empty(0, np.int64)

    def _observe(self, draft: Draft, inbox: Inbox, chunks: Sequence[Rows], progress: Progress) -> None:
        def spans() -> Iterator[pa.Table]:
            for number, rows in enumerate(chunks, start=1):
                yield inbox.take(rows, without=EXTRAS)
                progress("looking at clocks", number, len(chunks))

        try:
            draft.clocks.observe(spans())
        except (OSError, MemoryError):
            raise
        except Exception:  # found again, and set aside, when these spans are curated
            log.exception("clocks are not looked at beforehand")

    def _curate_or_set_aside(
        self, draft: Draft, inbox: Inbox, traces: Traces, members: Rows, replaced: Sequence[str] = ()
    ) -> None:
        """Curate some traces; one that cannot be curated, which is a defect of ours, must not hold up the others."""
        spans = inbox.take(traces.rows_of(members))
        try:
            draft.curate(spans, replaced)
        except (OSError, MemoryError):  # the machine's trouble, not the data's
            raise
        except Exception as error:
            if len(members) > 1 and not replaced:
                for half in np.array_split(members, 2):
                    self._curate_or_set_aside(draft, inbox, traces, half)
            else:
                log.exception("%d spans of %d traces cannot be curated", spans.num_rows, len(members))
                draft.reject([set_aside(self._data, spans, error)])

    def _late(self, traces: Traces, chosen: Rows, flush: bool) -> tuple[dict[str, Keys], Keys]:
        """Traces that parts hold already: by part those to be curated with it now, and those that have to wait."""
        # A trace with an absurd start is filed under the hour of its arrival: look there too.
        hours = np.concatenate([traces.began_ns[chosen], traces.last_ns[chosen]]) // HOUR_NS
        held = parts_holding(self.lake, traces.keys[chosen], np.unique(hours))
        size = {p.name: p.rows for p in parts(self.lake)}
        large = {name for name in held if size.get(name, 0) > SMALL_ROWS}
        now = time.monotonic()
        if not large or flush or now - self._large_at >= self._late_s:
            if large:
                self._large_at = now
            return held, np.empty(0, np.uint64)
        waiting = np.concatenate([held.pop(name) for name in large])
        return held, waiting

    def _consume(self, draft: Draft, inbox: Inbox, ready: Rows) -> None:
        """Take files that are done with out of the landing folder; rows that wait move to a file of their own."""
        start = 0
        rest, rejections = [], []
        for file in inbox.files:
            end = start + file.spans.num_rows
            low, high = np.searchsorted(ready, (start, end))
            if high > low or start == end:
                draft.intent.consume.append(str(file.path))
                rejections.append(file.rejections)
                stay = np.ones(end - start, bool)
                stay[ready[low:high] - start] = False
                if stay.any():
                    rest.append(file.spans.filter(pa.array(stay)))
            start = end
        draft.reject([r for r in rejections if r.num_rows])
        if rest:
            none = Received.nothing().rejections
            groups = [Received(batch, none) for table in rest for batch in table.to_batches()]
            draft.intent.publish.append(str(write_landing(landing_folder(self._data), groups)))

    def merge(self, *, everything: bool = False, before_hour: int | None = None, progress: Progress = quietly) -> int:
        """Merge small parts; with `everything`, down to one part an hour where it fits. Returns parts merged."""
        return self._again(mergeable(self._parts(before_hour), everything=everything), "merging", progress)

    def settle(self, *, before_hour: int | None = None, progress: Progress = quietly) -> int:
        """Curate again the parts of hours whose clock offsets have become known better since; returns how many.

        Offsets are estimated from all traces around an hour, so what the first parts of an hour were measured with is
        provisional. After this, results depend only on the spans, not on the order in which they came.
        """
        stored = self._parts(before_hour)
        groups = []
        for hour in sorted({p.hour for p in stored}):
            known = settled(self.lake, hour)
            groups += [[p] for p in stored if p.hour == hour and p.clock != known]
        return self._again(groups, "settling clocks", progress)

    def _parts(self, before_hour: int | None) -> list[Part]:
        return [p for p in parts(self.lake) if before_hour is None or p.hour < before_hour]

    def _again(self, groups: list[list[Part]], what: str, progress: Progress) -> int:
        total = sum(len(g) for g in groups)
        done = 0
        for group in groups:
            # One commit a group: a crash costs one group, and memory holds one.
            draft = self.draft()
            draft.curate(None, replaced=[p.name for p in group], clock_hours=(group[0].hour, group[0].hour))
            draft.commit()
            done += len(group)
            progress(what, done, total)
        return total


def batches(late: dict[str, Keys], sizes: dict[str, int]) -> list[tuple[list[str], Keys]]:
    """Groups of parts to be curated again together, with the keys of the late traces; a part of MAX_ROWS stands alone."""
    groups: list[tuple[list[str], list[Keys]]] = []
    rows = MAX_ROWS
    seen = np.empty(0, np.uint64)
    for name, keys in sorted(late.items()):
        keys = np.setdiff1d(keys, seen)  # a trace in two parts: its late spans go to one
        seen = np.union1d(seen, keys)
        if rows + sizes.get(name, 0) > MAX_ROWS:
            groups.append(([], []))
            rows = 0
        groups[-1][0].append(name)
        groups[-1][1].append(keys)
        rows += sizes.get(name, 0)
    return [(names, np.unique(np.concatenate(keys))) for names, keys in groups]
