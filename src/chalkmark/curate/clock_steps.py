"""When exactly a clock was set: minutes tell only between which two it happened, the samples between them tell to the call."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chalkmark.curate.clock_evidence import MINUTE_NS, Ints
from chalkmark.curate.clock_graph import MAX_DRIFT


def stepped(low: Ints, high: Ints, at: Ints) -> npt.NDArray[np.bool_]:
    """Whether drift cannot lead from one interval to the next, for each but the last."""
    drift = (np.abs(np.diff(at)) * MAX_DRIFT).astype(np.int64)
    apart: npt.NDArray[np.bool_] = (low[1:] - high[:-1] > drift) | (low[:-1] - high[1:] > drift)
    return apart


def locate(found: Ints, horizon_ns: int, a: Ints, b: Ints, at: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Where to set knots around each step: rows of `found` (`clock_graph.spread`), and the host's time that each also holds at.

    `found` is sorted by host and minute; the samples (b's clock - a's at `at`) are sorted by `at`. A step is put where the
    fewest samples contradict it: the row before holds until the last sample before, the row after from the first sample after.
    A clock that is set back shows some times twice; there it is the other way round, so that those times lie between the knots.
    """
    host, minute, _, lows, highs, *_ = found.T
    middle = minute * MINUTE_NS + MINUTE_NS // 2
    offset = (lows + highs) // 2
    same = (np.diff(host) == 0) & (np.diff(middle) <= horizon_ns)
    key = host * (1 << 32) + minute
    rows: list[int] = []
    times: list[int] = []
    for row in np.flatnonzero(same & stepped(lows, highs, middle)):
        begin, end = np.searchsorted(at, (middle[row], middle[row + 1]))
        is_b = b[begin:end] == host[row]
        mine = begin + np.flatnonzero(is_b | (a[begin:end] == host[row]))
        is_b, other = b[mine] == host[row], np.where(b[mine] == host[row], a[mine], b[mine])
        wanted = other * (1 << 32) + at[mine] // MINUTE_NS
        partner = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        # The difference between the sample and its partner is what it says of this host.
        least = lows[partner] + np.where(is_b, low[mine], -high[mine])
        most = highs[partner] + np.where(is_b, high[mine], -low[mine])
        before = (least <= highs[row]) & (most >= lows[row])
        after = (least <= highs[row + 1]) & (most >= lows[row + 1])
        tells = (key[partner] == wanted) & (before != after)
        when, new = at[mine][tells], after[tells]
        wrong = np.concatenate([[0], np.cumsum(new)]) + np.concatenate([np.cumsum(~new[::-1])[::-1], [0]])
        split = int(np.argmin(wrong))
        if 0 < split < len(when):
            ends = int(when[split - 1] + offset[row]), int(when[split] + offset[row + 1])
            rows += [int(row), int(row) + 1]
            times += [min(ends), max(ends)]
    return np.array(rows, np.int64), np.array(times, np.int64)
