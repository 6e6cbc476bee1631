"""Occurrences: each path of calls in each trace, with the number of calls along it, and the shape they add up to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chalkmark.curate import sums
from chalkmark.curate.calls import Calls
from chalkmark.curate.group import group_within
from chalkmark.curate.hashing import Hashes, chain

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Occurrences:
    """One entry a trace x path, traces in order, paths in the order in which they first occur."""

    of_call: Ints
    """The occurrence that each call is part of."""
    call: Ints
    """The first call of each."""
    trace: Ints
    path: Hashes
    multiplicity: Ints
    """Number of calls."""
    shapes: Hashes
    """Of each trace: hash of its root's path and of its set of (path, multiplicity)."""


def occurrences(calls: Calls, trace: Ints, roots: Ints) -> Occurrences:
    """Occurrences in these calls. `trace` is the trace of each call, `roots` the root span of each trace."""
    of_call, first = group_within(trace, calls.path)
    multiplicity = np.bincount(of_call, minlength=len(first))
    with np.errstate(over="ignore"):
        # A sum, because the set has no order; SplitMix64 keeps the sums of different sets apart.
        every = sums.total(trace[first], chain(calls.path[first], multiplicity.astype(np.uint64)), len(roots))
        shapes = chain(calls.path[calls.of_span[roots]], every)
    return Occurrences(
        of_call=of_call,
        call=first,
        trace=trace[first],
        path=calls.path[first],
        multiplicity=multiplicity,
        shapes=shapes,
    )
