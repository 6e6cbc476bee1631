"""The one histogram: H2, log-linear in base 2, mergeable, the form that Rezolus and the Rust crate `histogram` use.

Values below 2^(g+1) have a bucket each; every higher power of two is cut into 2^g equal buckets, so a bucket is never
wider than 2^-g of its values. Buckets of a lower grouping power are unions of those of a higher one: a histogram can
be made coarser exactly. Stored sparse: ascending bucket indices beside their counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chalkmark.errors import ChalkmarkError

Ints = npt.NDArray[np.int64]
Sparse = tuple[Ints, Ints]
"""Ascending bucket indices, and the count of each (never 0)."""


@dataclass(frozen=True, slots=True)
class H2:
    """Bucketing of non-negative integers below 2^max_value_power, with a relative error of at most 2^-grouping_power.

    Source: the configuration of the crate `histogram` (docs.rs/histogram, `Config`). Greater values count in the last
    bucket, negative ones in the first. Raises ChalkmarkError for powers that fit no int64.
    """

    grouping_power: int = 5
    max_value_power: int = 63

    def __post_init__(self) -> None:
        if not 0 <= self.grouping_power < self.max_value_power <= 63:
            raise ChalkmarkError(
                f"histogram: grouping power {self.grouping_power}, max value power {self.max_value_power}",
                "They must satisfy 0 <= grouping power < max value power <= 63.",
            )

    @property
    def buckets(self) -> int:
        """Number of buckets; an index is below this."""
        return (self.max_value_power - self.grouping_power + 1) << self.grouping_power

    def index(self, values: npt.ArrayLike) -> Ints:
        """Bucket of each value."""
        v = np.clip(np.asarray(values, np.int64), 0, (1 << self.max_value_power) - 1)
        # frexp rounds to 53 bits, which can carry into the next power of two: only there is the exponent one too high.
        power = np.frexp(v.astype(np.float64))[1].astype(np.int64) - 1
        power -= (v >> np.maximum(power, 0)) == 0
        shift = np.maximum(power - self.grouping_power, 0)
        return (shift << self.grouping_power) + (v >> shift)

    def bounds(self, index: npt.ArrayLike) -> tuple[Ints, Ints]:
        """Least and greatest value of each bucket, both inclusive. Raises ChalkmarkError for an index that is none."""
        i = np.asarray(index, np.int64)
        if i.size and (i.min() < 0 or i.max() >= self.buckets):
            raise ChalkmarkError("histogram: bucket index out of range", f"Indices go from 0 to {self.buckets - 1}.")
        group = i >> self.grouping_power
        shift = np.maximum(group - 1, 0)
        low = (i - (shift << self.grouping_power)) << shift
        return low, low + ((np.int64(1) << shift) - 1)

    def count(self, values: npt.ArrayLike) -> Sparse:
        """Histogram of the values."""
        indices, counts = np.unique(self.index(values), return_counts=True)
        return indices, counts.astype(np.int64)

    def quantile(self, histogram: Sparse, q: float) -> int | None:
        """Upper bound of the bucket that holds the ceil(q * n)-th smallest of n values; None where there is none.

        Raises ChalkmarkError unless 0 <= q <= 1.
        """
        if not 0 <= q <= 1:
            raise ChalkmarkError(f"quantile {q:g} is not between 0 and 1", "0.99 is the 99th percentile.")
        indices, counts = histogram
        if not len(indices):
            return None
        cumulative = np.cumsum(counts)
        rank = max(1, int(np.ceil(q * int(cumulative[-1]))))
        _, high = self.bounds(indices[np.searchsorted(cumulative, rank)])
        return int(high)

    def downsample(self, histogram: Sparse, grouping_power: int) -> Sparse:
        """The same values at a lower grouping power; exact. Raises ChalkmarkError where the power is not lower."""
        if grouping_power > self.grouping_power:
            raise ChalkmarkError(
                f"histogram: cannot refine grouping power {self.grouping_power} to {grouping_power}", "Count the values again."
            )
        indices, counts = histogram
        coarse = H2(grouping_power, self.max_value_power).index(self.bounds(indices)[0])
        return merge([(coarse, counts)])


def merge(histograms: Iterable[Sparse]) -> Sparse:
    """Sum of histograms of one bucketing."""
    parts = list(histograms)
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    indices, inverse = np.unique(np.concatenate([i for i, _ in parts]), return_inverse=True)
    counts = np.zeros(len(indices), np.int64)
    np.add.at(counts, inverse, np.concatenate([c for _, c in parts]))
    return indices.astype(np.int64), counts


LATENCY = H2()
"""The bucketing of every stored latency: 1,888 buckets, 3.1 % relative error, nanoseconds."""
