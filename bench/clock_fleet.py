"""A simulated fleet whose clocks are known, and the peers' rule, which corrects span by span: the oracle.

Requests run through a tree of services in two zones, on hosts drawn anew for each call. The network is slower in one
direction, jitters, and servers queue under load. Every host writes its times by a clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
Clock = Callable[[Ints], Ints]
"""The error of a clock (ns ahead) at true times (ns)."""

SERVER, CLIENT = 2, 3
US, MS, SECOND, MINUTE = 1_000, 1_000_000, 1_000_000_000, 60_000_000_000
EPOCH = 1_780_000_020 * SECOND

CALLS: dict[str, list[str]] = {
    "gateway": ["cart", "search", "home"],
    "cart": ["stock", "price"],
    "search": ["index", "price"],
    "home": ["advert"],
    "price": ["store"],
    "stock": ["store"],
    "index": [],
    "advert": [],
    "store": [],
}
"""Who calls whom, one call after the other."""


@dataclass(frozen=True)
class Fleet:
    """Hosts by service (names end in their zone, `-a` or `-b`), and the clocks of those that are not right."""

    replicas: int = 4
    clocks: dict[str, Clock] = field(default_factory=dict)
    asymmetry: float = 1.5
    """How much longer a message takes towards zone b than back."""
    rare: tuple[str, ...] = ()
    """Hosts that get one call in a thousand."""

    late: float = 0.0
    """The share of calls whose server goes on after it has answered, for 0.3 to 15 ms, the longer the rarer."""

    @property
    def hosts(self) -> list[str]:
        """Names of all hosts; as many of a service in each zone."""
        return [f"{service}-{i}-{'ab'[i % 2]}" for service in CALLS for i in range(self.replicas)]

    def clock_error(self, host: npt.NDArray[np.integer[Any]], at: Ints) -> Ints:
        """ns by which each host's clock is ahead at the true time `at`."""
        error = np.zeros(len(at), np.int64)
        for name, clock in self.clocks.items():
            rows = host == self.hosts.index(name)
            error[rows] = clock(at[rows])
        return error


@dataclass
class Spans:
    """Spans of many traces; one entry a span, parents before children; times as the host wrote them, `true_*` as they were."""

    parent: Ints
    kind: npt.NDArray[np.int8]
    host: npt.NDArray[np.int32]
    start: Ints
    end: Ints
    true_start: Ints
    true_end: Ints
    corrupt: npt.NDArray[np.bool_]


def offset_by(ns: int, ppm: float = 0.0) -> Clock:
    """A clock that is ahead by `ns`, and by `ppm` more as time goes on."""
    return lambda at: ns + ((at - EPOCH) * (ppm * 1e-6)).astype(np.int64)


def steps(ns: int, after: int) -> Clock:
    """A clock that is right, and is set `ns` ahead `after` ns from the start."""
    return lambda at: np.where(at >= EPOCH + after, ns, 0)


def skewed_fleet() -> Fleet:
    """36 hosts, eight of which are wrong: +-50 ms, 50 ppm, a step of 2 s; one of them is hardly ever called."""
    return Fleet(
        clocks={
            "cart-0-a": offset_by(50 * MS),
            "cart-3-b": offset_by(-50 * MS),
            "price-1-b": offset_by(3 * MS, ppm=50),
            "store-2-a": offset_by(0, ppm=-50),
            "index-0-a": offset_by(-8 * MS, ppm=20),
            "stock-1-b": steps(2 * SECOND, after=5 * MINUTE + 17 * SECOND),
            "search-2-a": offset_by(3600 * SECOND),
            "advert-3-b": offset_by(20 * MS),
        },
        rare=("advert-3-b",),
    )


def simulate(fleet: Fleet, traces: int, seconds: int, corrupt: float = 0.0, seed: int = 1) -> Spans:
    """Spans of `traces` requests over `seconds`; the share `corrupt` of server spans has a wrong start or end."""
    rng = np.random.default_rng(seed)
    hosts = fleet.hosts
    parents: list[Ints] = []
    kinds: list[int] = []
    on: list[Ints] = []
    starts: list[Ints] = []
    ends: list[Ints] = []

    def draw(scale_ns: float) -> Ints:
        return rng.exponential(scale_ns, traces).astype(np.int64)

    def place(service: str) -> Ints:
        rows = np.array([i for i, name in enumerate(hosts) if name.startswith(f"{service}-")])
        share = np.array([0.001 if hosts[i] in fleet.rare else 1.0 for i in rows])
        return rng.choice(rows, traces, p=share / share.sum())

    def add(parent: int, kind: int, host: Ints, start: Ints) -> int:
        parents.append(np.full(traces, parent))
        kinds.append(kind)
        on.append(host)
        starts.append(start)
        ends.append(start)
        return len(kinds) - 1

    def serve(service: str, parent: int, host: Ints, start: Ints) -> Ints:
        span = add(parent, SERVER, host, start)
        now = start + draw(400 * US)
        for callee in CALLS[service]:
            there = place(callee)
            client = add(span, CLIENT, host, now)
            base = np.where(host % 2 == there % 2, 80 * US, 400 * US)
            out = (
                base * np.where(there % 2 == 1, fleet.asymmetry, 1.0)
                + draw(60 * US)
                + draw(300 * US) * (rng.random(traces) < load)
            )
            back = base * np.where(host % 2 == 1, fleet.asymmetry, 1.0) + draw(60 * US)
            now = serve(callee, client, there, now + out.astype(np.int64)) + back.astype(np.int64)
            ends[client] = now
            now = now + draw(100 * US)
        ends[span] = now
        if fleet.late:
            after = np.minimum(300 * US * (1 + rng.pareto(1.0, traces)), 15 * MS).astype(np.int64)
            ends[span] = now + np.where(rng.random(traces) < fleet.late, after, 0)
        return now

    begin = np.sort(EPOCH + (rng.random(traces) * seconds * SECOND).astype(np.int64))
    load = 0.5 + 0.4 * np.sin((begin - EPOCH) / (seconds * SECOND) * 6.28)  # how many calls find a queue
    serve("gateway", -1, place("gateway"), begin)

    spans = len(kinds)
    parent = np.stack(parents, axis=1)
    parent = np.where(parent < 0, -1, parent + np.arange(traces)[:, None] * spans).ravel()
    host = np.stack(on, axis=1).ravel()
    true_start, true_end = np.stack(starts, axis=1).ravel(), np.stack(ends, axis=1).ravel()
    kind = np.tile(np.array(kinds, np.int8), traces)
    start = true_start + fleet.clock_error(host, true_start)
    end = true_end + fleet.clock_error(host, true_start)
    bad = (rng.random(len(kind)) < corrupt) & (kind == SERVER)
    which = rng.integers(0, 3, len(kind))
    wrong = rng.integers(-5 * SECOND, 5 * SECOND, len(kind))
    start = start + np.where(bad & (which != 1), wrong, 0)  # 0: a start, 1: an end, 2: both
    end = np.maximum(end + np.where(bad & (which != 0), wrong, 0), start)
    return Spans(parent, kind, host.astype(np.int32), start, end, true_start, true_end, bad)


@njit(cache=True)
def pairwise(parent, host, start, end):  # type: ignore[no-untyped-def]
    """The peers' rule (Jaeger's, and much like it Zipkin's): what is added to each span; parents come before children.

    A child on another host that does not fit in its parent is centred in it, or starts with it where it lasts longer. What
    runs on a host is shifted like the span there that was called.
    """
    shift = np.zeros(len(start), np.int64)
    for i in range(len(start)):
        p = parent[i]
        if p < 0:
            continue
        if host[i] == host[p]:
            shift[i] = shift[p]
            continue
        begin, finish = start[p] + shift[p], end[p] + shift[p]
        if end[i] - start[i] > finish - begin:
            shift[i] = max(begin - start[i], 0)
        elif start[i] < begin or end[i] > finish:
            shift[i] = begin + (finish - begin - (end[i] - start[i])) // 2 - start[i]
    return shift


def judge(fleet: Fleet, spans: Spans, shift: Ints) -> dict[str, Any]:
    """How good it is to add `shift` to the spans' times, told from those that are not corrupt.

    Errors are |corrected - true start| in us: over the spans of hosts whose clock is wrong, and over all. A violation is a call
    between hosts whose server begins before its client or ends after it. Moved needlessly is a span whose clock was right.
    """
    sound = ~spans.corrupt
    wrong_clock = np.isin(np.array(fleet.hosts)[spans.host], list(fleet.clocks))
    error = np.abs(spans.start + shift - spans.true_start) / US
    start, end = spans.start + shift, spans.end + shift
    called = (spans.kind == SERVER) & (spans.parent >= 0) & sound
    parent = spans.parent[called]
    violated = (start[called] < start[parent]) | (end[called] > end[parent])
    clock_right = fleet.clock_error(spans.host, spans.true_start) == 0

    def percentiles(rows: npt.NDArray[np.bool_]) -> dict[str, float]:
        if not rows.any():
            return {}
        return {name: round(float(np.percentile(error[rows], q)), 1) for name, q in (("p50", 50), ("p99", 99), ("max", 100))}

    return {
        "error_us_wrong_clocks": percentiles(sound & wrong_clock),
        "error_us_all": percentiles(sound),
        "violations": int(violated.sum()),
        "moved_needlessly": int((shift[sound & clock_right] != 0).sum()),
    }
