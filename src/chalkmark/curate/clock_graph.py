"""The graph of hosts whose clocks are compared: kernels from samples to an interval for every host and minute.

Intervals, not point estimates, are carried through: what the samples say is certain only to that extent, and the true
offset stays inside as long as most samples are true.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np
from numba import njit

from chalkmark.curate.clock_evidence import MINUTE_NS, OPEN

MAX_DRIFT = 1e-4
"""Two quartz clocks of 50 ppm each, running apart: what a sample says loosens by 100 us a second that it is away."""

WANDER = 15e-6
"""The same where the drift is known and taken off, beside what it is not known by: NTP's frequency tolerance (RFC 5905, PHI)."""

MAX_SLEW = 5e-4
"""The kernel slews a clock that is being set by at most 500 ppm; what looks steeper is a step."""

MIN_AGREEING = 3
"""Fewer samples than this are an anecdote."""


@njit(cache=True)
def agreed(low, high, spare_low, spare_high):  # type: ignore[no-untyped-def]
    """The interval on which most of the intervals agree, and how many do (Marzullo's algorithm, as NTP selects its sources).

    Among equals, the one nearest to zero. It is widened to where `spare_low` or `spare_high` fewer agree: so many false
    intervals that cut off the truth on that side, but still overlap the others, then do no harm.
    """
    n = len(low)
    lows, highs = np.sort(low), np.sort(high)
    at = np.empty(2 * n, np.int64)
    cover = np.empty(2 * n, np.int64)  # intervals that hold between at[k] and at[k + 1]
    i = j = most = 0
    for k in range(2 * n):
        if i < n and lows[i] <= highs[j]:
            at[k] = lows[i]
            i += 1
        else:
            at[k] = highs[j]
            j += 1
        cover[k] = i - j
        most = max(most, i - j)
    best, distance = 0, OPEN
    for k in range(2 * n - 1):
        if cover[k] == most:
            away = max(at[k], -at[k + 1], 0)
            if away < distance:
                best, distance = k, away
    first = last = best
    while first > 0 and cover[first - 1] >= most - spare_low:
        first -= 1
    while cover[last + 1] >= most - spare_high and last + 1 < 2 * n - 1:
        last += 1
    return at[first], at[last + 1], most


@njit(cache=True)
def _drift(at, low, high):  # type: ignore[no-untyped-def]
    """How fast the difference grows (the median slope of samples half the window apart), and how sure that is."""
    closed = np.flatnonzero((low > -OPEN // 2) & (high < OPEN // 2))
    half = len(closed) // 2
    if half < MIN_AGREEING:
        return 0.0, MAX_DRIFT
    slopes = np.empty(half)
    for k in range(half):
        i, j = closed[k], closed[k + half]
        rise = (low[j] - low[i]) / 2 + (high[j] - high[i]) / 2
        slopes[k] = rise / max(at[j] - at[i], 1)
    slope = np.median(slopes)
    tolerance = WANDER + np.median(np.abs(slopes - slope))
    if abs(slope) > MAX_SLEW or tolerance > MAX_DRIFT:
        return 0.0, MAX_DRIFT
    return slope, tolerance


@njit(cache=True)
def pair_minutes(pair, at, low, high, narrow, drawn, late, outlasting, backward, brief):  # type: ignore[no-untyped-def]
    """What the samples of each pair say at the middle of each minute that has any, those of the minutes beside it included.

    Samples are sorted by (pair, at); `backward` ones are calls of b to a. Of `late` ones the server outlasted its client, so
    that only their start counts; `outlasting` is how many calls a sample stands for that are late. Returns pair, minute, low,
    high and the samples that agree, where these are enough. Where all of them hold zero, `brief` says no more than that.

    A server that ends late narrows the interval of its call, up to where it outlasts its client. So the narrowest are used
    while hardly any does, and where more do, those drawn by lot: of these, twice as many may be wrong as are seen to be late.
    """
    n = len(pair)
    out_pair = np.empty(n, np.int64)
    out_minute = np.empty(n, np.int64)
    out_low = np.zeros(n, np.int64)
    out_high = np.zeros(n, np.int64)
    out_agree = np.empty(n, np.int64)
    away, lows, highs = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)  # of one window
    out = begin = end = i = 0
    while i < n:
        p, minute = pair[i], at[i] // MINUTE_NS
        while pair[begin] != p or at[begin] // MINUTE_NS < minute - 1:
            begin += 1
        while end < n and pair[end] == p and at[end] // MINUTE_NS <= minute + 1:
            end += 1
        narrowest = lasted = 0
        for k in range(begin, end):
            narrowest += narrow[k]
            lasted += outlasting[k]
        clean = 2 * lasted <= narrowest // 10
        used = against = open_lows = open_highs = late_lows = late_highs = 0
        for k in range(begin, end):
            if narrow[k] if clean else drawn[k]:
                used += 1
                against += low[k] > 0 or high[k] < 0
                open_lows += low[k] <= -OPEN // 2
                open_highs += high[k] >= OPEN // 2
                late_lows += late[k] and not backward[k]
                late_highs += late[k] and backward[k]
        spare_low, spare_high = used // 10 + 2 * late_lows, used // 10 + 2 * late_highs
        if used < MIN_AGREEING:
            told, least, greatest, most = False, 0, 0, 0
        elif brief and not against:
            told, least, greatest, most = used - open_lows > spare_low and used - open_highs > spare_high, 0, 0, used
        else:
            middle = minute * MINUTE_NS + MINUTE_NS // 2
            j = 0
            for k in range(begin, end):
                if narrow[k] if clean else drawn[k]:
                    away[j], lows[j], highs[j] = at[k] - middle, low[k], high[k]
                    j += 1
            drift, tolerance = 0.0, MAX_DRIFT
            if used >= 2 * MIN_AGREEING:
                drift, tolerance = _drift(away[:used], lows[:used], highs[:used])
            if not against or not clean:  # what a few late ends look like is no drift
                drift, tolerance = 0.0, tolerance + abs(drift)
            for j in range(used):
                moved, slack = int(away[j] * drift), int(abs(away[j]) * tolerance)
                lows[j] -= moved + slack
                highs[j] += slack - moved
            least, greatest, most = agreed(lows[:used], highs[:used], spare_low, spare_high)
            told = 2 * most > used and least > -OPEN // 2 and greatest < OPEN // 2
        if told and most >= MIN_AGREEING:
            out_pair[out], out_minute[out], out_low[out], out_high[out], out_agree[out] = p, minute, least, greatest, most
            out += 1
        while i < n and pair[i] == p and at[i] // MINUTE_NS == minute:
            i += 1
        if end < i:
            end = i
    return out_pair[:out], out_minute[:out], out_low[:out], out_high[:out], out_agree[:out]


@njit(cache=True)
def _components(a, b, joins, alive, label):  # type: ignore[no-untyped-def]
    """Labels each host with the lowest host that it is joined to, over pairs of hosts that are alive."""
    for h in range(len(label)):
        label[h] = h
    for e in range(len(a)):
        if joins[e] and alive[a[e]] and alive[b[e]]:
            x, y = a[e], b[e]
            while label[x] != x:
                label[x] = label[label[x]]
                x = label[x]
            while label[y] != y:
                label[y] = label[label[y]]
                y = label[y]
            label[max(x, y)] = min(x, y)
    for h in range(len(label)):
        label[h] = label[label[h]]


@njit(cache=True)
def trusted(hosts, a, b, conflict, hops):  # type: ignore[no-untyped-def]
    """The hosts whose clocks are taken to be right: in each connected part of the graph, the most that agree with each other.

    `a`, `b` are the pairs, `conflict` tells where zero was ever ruled out, `hops` is each host's calls. True for a trusted host.
    Where hosts that agree with a common third are in conflict, the one in the most conflicts goes first.
    """
    alive = np.ones(hosts, np.bool_)
    group = np.empty(hosts, np.int64)
    _components(a, b, ~conflict, alive, group)
    while True:
        conflicts = np.zeros(hosts, np.int64)
        for e in range(len(a)):
            if conflict[e] and group[a[e]] == group[b[e]] and alive[a[e]] and alive[b[e]]:
                conflicts[a[e]] += 1
                conflicts[b[e]] += 1
        worst = 0
        for h in range(1, hosts):
            if conflicts[h] > conflicts[worst] or (conflicts[h] == conflicts[worst] and hops[h] < hops[worst]):
                worst = h
        if hosts == 0 or conflicts[worst] == 0:
            break
        alive[worst] = False
    _components(a, b, ~conflict, alive, group)
    part = np.empty(hosts, np.int64)
    _components(a, b, np.ones(len(a), np.bool_), np.ones(hosts, np.bool_), part)
    members = np.zeros(hosts, np.int64)
    calls = np.zeros(hosts, np.int64)
    for h in range(hosts):
        if alive[h]:
            members[group[h]] += 1
            calls[group[h]] += hops[h]
    chosen = np.full(hosts, -1, np.int64)
    for g in range(hosts):
        c = chosen[part[g]]
        if members[g] and (c < 0 or (members[g], calls[g]) > (members[c], calls[c])):
            chosen[part[g]] = g
    right = np.zeros(hosts, np.bool_)
    for h in range(hosts):
        right[h] = alive[h] and chosen[part[h]] == group[h]
    return right


@njit(cache=True)
def spread(right, order, a, b, minute, low, high, agree):  # type: ignore[no-untyped-def]
    """The interval of every host's offset in every minute, and the offset that is taken off.

    `right` tells which hosts are trusted, `order` them, the best reference first; the first one that a part of the minute's graph
    holds is its reference. Pairs are sorted by minute; `low`, `high` bound b's clock - a's, as `agree` samples say. Returns
    columns: host, minute, reference, low, high, samples, 1 where the host's neighbours do not agree on it, offset.
    """
    n, hosts = len(a), len(right)
    out = np.zeros((2 * n, 8), np.int64)
    path = np.empty((2 * n, 3), np.int64)  # row of the host before on its path, and the bounds of the pair with that
    rows = 0
    head = np.full(hosts, -1, np.int64)  # each host's pairs, as 2 x pair + side, linked by `after`
    after = np.empty(2 * n, np.int64)
    row_of = np.full(hosts, -1, np.int64)
    begin = 0
    while begin < n:
        end = begin
        while end < n and minute[end] == minute[begin]:
            for side in range(2):
                h = b[end] if side else a[end]
                after[2 * end + side] = head[h]
                head[h] = 2 * end + side
            end += 1
        first_row = rows
        for reference in order:
            if head[reference] >= 0 and row_of[reference] < 0:
                rows = _from_reference(reference, head, after, a, b, low, high, out, path, rows, row_of)
        out[first_row:rows, 1] = minute[begin]
        _hear_neighbours(first_row, rows, head, after, a, b, low, high, agree, out, row_of)
        _decide(first_row, rows, right, path, out)
        for e in range(begin, end):
            head[a[e]] = head[b[e]] = row_of[a[e]] = row_of[b[e]] = -1
        begin = end
    return out[:rows]


@njit(cache=True)
def _from_reference(reference, head, after, a, b, low, high, out, path, rows, row_of):  # type: ignore[no-untyped-def]
    """Writes a row for each host that is reached: its interval along the path of least uncertainty (Dijkstra's)."""
    heap = [(0, reference, rows, 0, 0)]
    while heap:
        width, h, before, least, most = heappop(heap)
        if row_of[h] >= 0:
            continue
        row_of[h] = rows
        path[rows, 0], path[rows, 1], path[rows, 2] = before, least, most
        out[rows, 0], out[rows, 2], out[rows, 3], out[rows, 4] = h, reference, out[before, 3] + least, out[before, 4] + most
        k = head[h]
        while k >= 0:
            e = k >> 1
            if k & 1 == 0 and row_of[b[e]] < 0:
                heappush(heap, (width + high[e] - low[e], b[e], rows, low[e], high[e]))
            elif k & 1 == 1 and row_of[a[e]] < 0:
                heappush(heap, (width + high[e] - low[e], a[e], rows, -high[e], -low[e]))
            k = after[k]
        rows += 1
    return rows


@njit(cache=True)
def _hear_neighbours(first_row, rows, head, after, a, b, low, high, agree, out, row_of):  # type: ignore[no-untyped-def]
    """Narrows each host's interval to that on which most of its neighbours agree; where no majority does, leaves it, marked."""
    before = out[first_row:rows, 3:5].copy()
    for row in range(first_row, rows):
        h = out[row, 0]
        pairs = 0
        k = head[h]
        while k >= 0:
            pairs += 1
            k = after[k]
        lows, highs = np.empty(pairs, np.int64), np.empty(pairs, np.int64)
        samples = pairs = 0
        k = head[h]
        while k >= 0:
            e = k >> 1
            other = row_of[a[e] if k & 1 else b[e]] - first_row
            lows[pairs] = before[other, 0] + (low[e] if k & 1 else -high[e])
            highs[pairs] = before[other, 1] + (high[e] if k & 1 else -low[e])
            samples += agree[e]
            pairs += 1
            k = after[k]
        lowest, highest, most = agreed(lows, highs, 0, 0)
        out[row, 5], out[row, 6] = samples, 2 * most <= pairs
        if out[row, 2] != h and 2 * most > pairs:
            out[row, 3], out[row, 4] = lowest, highest


@njit(cache=True)
def _decide(first_row, rows, right, path, out):  # type: ignore[no-untyped-def]
    """What is taken off each clock: nothing where possible, else the same as of the host before it on its path, else the middle.

    A host that is not trusted also has to fit the host before it as that was decided: of two that are right relative to each
    other, one is never moved without the other. A contested host is left alone.
    """
    for row in range(first_row, rows):
        before = path[row, 0]
        low, high = out[row, 3], out[row, 4]
        near, near_low, near_high = out[before, 7], out[before, 7] + path[row, 1], out[before, 7] + path[row, 2]
        if right[out[row, 0]] or out[before, 6]:
            near_low, near_high = low, high
        if before == row or out[row, 6] or (max(low, near_low) <= 0 <= min(high, near_high)):
            out[row, 7] = 0
        elif max(low, near_low) <= near <= min(high, near_high):
            out[row, 7] = near
        else:
            out[row, 7] = min(max((low + high) // 2, near_low), near_high)
