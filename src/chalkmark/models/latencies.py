"""Quantiles of latency over groups of call paths, from the sum of their histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from chalkmark.histogram import LATENCY
from chalkmark.models.path_rows import Flags, Ints, PathRows


class _Histograms(NamedTuple):
    """Sparse histograms of the rows of one source, one after another."""

    path: Ints
    lengths: Ints
    bucket: Ints
    calls: Ints


def latency_quantiles(rows: PathRows, groups: Sequence[Ints], quantiles: Sequence[float]) -> list[list[int | None]]:
    """For each quantile a latency in ns for each group of nodes; None where a group has no histogram.

    It is the upper bound of the bucket that holds the ceil(q * n)-th smallest of n. A node may be in several groups.
    """
    every = np.concatenate(groups)
    shown = np.zeros(len(rows.path_id), bool)
    shown[every] = True
    nodes = np.flatnonzero(shown)
    path = (np.cumsum(shown) - 1)[every]
    group = np.repeat(np.arange(len(groups)), [len(members) for members in groups])
    sources = [
        _Histograms(at, *_entries(table["latency_buckets"], table["latency_counts"]))
        for at, table in rows.each(nodes, ["latency_buckets", "latency_counts"])
    ]
    sources = [source for source in sources if len(source.bucket)]
    if not sources:
        return [[None] * len(groups) for _ in quantiles]
    low = min(int(source.bucket.min()) for source in sources)
    width = max(int(source.bucket.max()) for source in sources) - low + 1
    sums = np.zeros(len(groups) * width)  # float64 is exact up to 2^53 calls
    # Each round adds every path to one of its groups and goes on with the paths that have more.
    order = np.argsort(path, kind="stable")
    path, group = path[order], group[order]
    while len(path):
        first = np.concatenate(([True], path[1:] != path[:-1]))
        begin = np.zeros(len(nodes), np.int64)
        begin[path[first]] = group[first] * width - low
        for source in sources:
            cell = np.repeat(begin[source.path], source.lengths)
            cell += source.bucket
            sums += np.bincount(cell, source.calls, len(sums))
        path, group = path[~first], group[~first]
        more = np.zeros(len(nodes), bool)
        more[path] = True
        sources = [_only(source, more[source.path]) for source in sources]
    below = np.cumsum(sums.reshape(-1, width), axis=1)
    total = below[:, -1]
    results: list[list[int | None]] = []
    for q in quantiles:
        rank = np.maximum(np.ceil(q * total), 1)
        _, upper = LATENCY.bounds(low + np.minimum((below < rank[:, None]).sum(axis=1), width - 1))
        results.append([value if calls else None for value, calls in zip(upper.tolist(), total.tolist(), strict=True)])
    return results


def _entries(buckets: pa.ChunkedArray, counts: pa.ChunkedArray) -> tuple[Ints, Ints, Ints]:
    """Lengths of the lists, and the elements of both."""
    buckets, counts = buckets.combine_chunks(), counts.combine_chunks()
    return np.diff(buckets.offsets.to_numpy()), buckets.flatten().to_numpy(), counts.flatten().to_numpy()


def _only(source: _Histograms, kept: Flags) -> _Histograms:
    elements = np.repeat(kept, source.lengths)
    return _Histograms(source.path[kept], source.lengths[kept], source.bucket[elements], source.calls[elements])
