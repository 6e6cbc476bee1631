"""Who calls a service and whom does it call, directly and through others, and how many times: from `call_paths` alone.

A focus is a service or one operation of it. Everything above its calls in the calling-context trees is a caller,
everything beneath them a callee. Load amplification is the number of calls that one call of the caller causes.

Recursion: a call of the focus beneath another call of the focus is a call like any other (it counts, it has a caller,
and it is a callee of the outer one), but what it calls was caused by the outermost call. So amplification of callees is
per outermost call (`entries`), and every call beneath the focus counts once, at its distance from the nearest one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from chalkmark.errors import ChalkmarkError
from chalkmark.models.calling_tree import CallingTree
from chalkmark.models.endpoint_names import meant, nearest
from chalkmark.models.latencies import latency_quantiles
from chalkmark.models.path_rows import Flags, Ints, PathRows


def _field(name: str, type_: pa.DataType, unit: str = "") -> pa.Field:
    return pa.field(name, type_, metadata={"unit": unit} if unit else None)


_COUNTED = (
    _field("calls", pa.int64(), "calls"),
    _field("share", pa.float64()),
    _field("errors", pa.int64(), "calls"),
    _field("p50_ns", pa.int64(), "ns"),
    _field("p99_ns", pa.int64(), "ns"),
    _field("paths", pa.int64(), "paths"),
)

OPERATIONS = pa.schema(
    [_field("service", pa.string()), _field("operation", pa.string()), *_COUNTED, _field("self_ns", pa.int64(), "ns")]
)
"""One row an operation of the focus; `share` is of the focus's calls."""

NEIGHBOURS = pa.schema(
    [
        _field("relation", pa.string()),
        _field("service", pa.string()),
        _field("operation", pa.string()),
        _field("hops", pa.int64(), "calls"),
        _field("amplification", pa.float64()),
        *_COUNTED,
    ]
)
"""One row a relation and endpoint.

`relation` is `entry` (the focus is the root), `unknown caller` (the caller never arrived), `caller`, `indirect caller`,
`callee` or `indirect callee`; the first two have no service. `hops` is the least number of calls between the two.
For callers, `calls` are the focus's calls that came through the endpoint, `share` is of the focus's calls, and
`amplification` is calls of the focus per call of the endpoint that leads here. For callees, `calls` are the endpoint's
beneath the focus, `share` is of all calls beneath it, and `amplification` is per outermost call of the focus. Errors,
latencies and call paths are those of `calls`.

Over `entry`, `unknown caller` and `caller` the calls add up to the focus's; over `callee` and `indirect callee` to all
calls that the focus caused.
"""

ROOTS = pa.schema(
    [
        _field("service", pa.string()),
        _field("operation", pa.string()),
        _field("partial", pa.bool_()),
        _field("requests", pa.int64(), "traces"),
        _field("touched_at_least", pa.float64()),
        _field("touched_at_most", pa.float64()),
        _field("amplification", pa.float64()),
        _field("calls", pa.int64(), "calls"),
        _field("share", pa.float64()),
        _field("errors", pa.int64(), "calls"),
        _field("paths", pa.int64(), "paths"),
    ]
)
"""One row a root endpoint that leads to the focus; `partial` where the true root never arrived.

`amplification` is calls of the focus per call of the root. `touched_...` are bounds of the fraction of `requests` that
reach the focus: call paths count traces one by one, so what several paths share is not known.
"""

PATHS = pa.schema(
    [
        _field("relation", pa.string()),
        _field("path", pa.string()),
        _field("calls", pa.int64(), "calls"),
        _field("per_root_call", pa.float64()),
        _field("per_caller_call", pa.float64()),
        _field("per_focus_call", pa.float64()),
        _field("traces", pa.int64(), "traces"),
        _field("errors", pa.int64(), "calls"),
        _field("path_id", pa.int64()),
    ]
)
"""One row a call path that ends at the focus (`relation` is `focus`) or beneath it (`callee`), with its load
amplification: `per_focus_call` is per call of the outermost focus on the same path."""

Row = dict[str, Any]
Group = tuple[Row, Ints]
"""A row, and the nodes of the forest that it counts."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The answer for one focus. Rows of each table: the most calls first."""

    focus: str
    calls: int
    entries: int
    """Calls of the focus that are not beneath another one; `calls - entries` are recursive."""
    errors: int
    p50_ns: int | None
    p99_ns: int | None
    total_ns: int
    self_ns: int
    paths: int
    """Distinct call paths that end at the focus."""
    least_depth: int
    greatest_depth: int
    requests: int
    """Traces that begin at the roots that lead here."""
    requests_at_least: int
    requests_at_most: int
    """Bounds of how many of those reach the focus."""
    calls_beneath: int
    """Calls that the focus causes, directly or through others."""
    operations: pa.Table
    neighbours: pa.Table
    roots: pa.Table
    call_paths: pa.Table


def dependencies(call_paths: pa.Table, focus: str, root: str | None = None, *, limit: int | None = None) -> Dependencies:
    """Dependencies of `focus` (`SERVICE` or `SERVICE:OPERATION`) in rows of `call_paths`, of one hour or many.

    `root` (the same form) keeps only what that endpoint's requests do. `limit` keeps that many rows a relation.
    Raises ChalkmarkError, with the nearest names, where the focus or the root is not among the rows.
    """
    return dependencies_in(PathRows([call_paths.select]), focus, root, limit=limit)


def dependencies_in(rows: PathRows, focus: str, root: str | None = None, *, limit: int | None = None) -> Dependencies:
    """As `dependencies`, of rows that lie in files."""
    if not len(rows.path_id):
        raise ChalkmarkError("There are no call paths in this time range.", "Widen --since and --until, or send traces first.")
    whole = CallingTree.of(rows)
    tree = whole
    if root is not None:
        roots = rows.shared(["root_service", "root_operation"])
        tree = whole.only(meant(roots["root_service"], roots["root_operation"], root))
    marked = meant(tree.services, tree.operations, focus)[tree.endpoint] if len(tree) else np.zeros(0, bool)
    if not marked.any():
        raise _absent(whole, focus, root)
    related = tree.above_and_beneath(marked)
    return _Explorer(rows, tree.only(related), marked[related], limit).answer(focus)


def _absent(tree: CallingTree, focus: str, root: str | None) -> ChalkmarkError:
    """What to say when the focus was not found, or not beneath the root: the nearest names."""
    begins = pa.array(np.unique(tree.endpoint[tree.parent < 0]))
    endpoints = (tree.services.to_pylist(), tree.operations.to_pylist())
    roots = (tree.services.take(begins).to_pylist(), tree.operations.take(begins).to_pylist())
    for name, what, known in ((focus, "service or operation", endpoints), (root, "root endpoint", roots)):
        near = None if name is None else nearest(name, *known)
        if near is not None:
            some = sorted(set(known[0]) if known is endpoints else map(":".join, zip(*known, strict=True)))[:20]
            hint = f"Nearest: {', '.join(near)}." if near else f"Among them are: {', '.join(some)}."
            return ChalkmarkError(f"There is no {what} {name!r}.", hint)
    return ChalkmarkError(
        f"No request that begins at {root!r} reaches {focus!r}.", f"`chalkmark deps {focus!r}` lists its roots."
    )


class _Explorer:
    """One pass over one forest for one focus."""

    def __init__(self, rows: PathRows, tree: CallingTree, marked: Flags, limit: int | None) -> None:
        self.rows = rows
        self.tree = tree
        self.marked = marked
        self.limit = limit
        counts = rows.sums(tree.node, ["calls", "traces", "errors", "total_ns", "self_ns"])
        self.calls, self.traces, self.errors = counts["calls"], counts["traces"], counts["errors"]
        self.total_ns, self.self_ns = counts["total_ns"], counts["self_ns"]
        self.focus = np.flatnonzero(marked)
        self.hops_below = tree.hops_below(marked)
        self.entries = self.focus[self.hops_below[self.focus] == 0]
        self.beneath = np.flatnonzero(self.hops_below > 0)

    def answer(self, name: str) -> Dependencies:
        tree, focus, depth = self.tree, self.focus, self.tree.depth
        operations = list(self._operations())
        neighbours = [*self._direct_callers(), *self._indirect_callers(), *self._callees()]
        groups = [({}, focus), *operations, *neighbours]
        p50, p99 = latency_quantiles(self.rows, [tree.node[nodes] for _, nodes in groups], (0.5, 0.99))
        for number, (row, _) in enumerate(groups):
            row["p50_ns"], row["p99_ns"] = p50[number], p99[number]
        least, most = tree.touched_between(self.marked, self.traces)
        roots = np.unique(tree.root[focus])
        return Dependencies(
            focus=name,
            calls=_sum(self.calls[focus]),
            entries=_sum(self.calls[self.entries]),
            errors=_sum(self.errors[focus]),
            p50_ns=p50[0],
            p99_ns=p99[0],
            total_ns=_sum(self.total_ns[focus]),
            self_ns=_sum(self.self_ns[focus]),
            paths=len(focus),
            least_depth=int(depth[focus].min()),
            greatest_depth=int(depth[focus].max()),
            requests=_sum(self.traces[roots]),
            requests_at_least=_sum(least[roots]),
            requests_at_most=_sum(most[roots]),
            calls_beneath=_sum(self.calls[self.beneath]),
            operations=pa.Table.from_pylist([row for row, _ in operations], OPERATIONS),
            neighbours=pa.Table.from_pylist([row for row, _ in neighbours], NEIGHBOURS),
            roots=pa.Table.from_pylist(list(self._roots(least, most)), ROOTS),
            call_paths=pa.Table.from_pylist(list(self._paths()), PATHS),
        )

    def _operations(self) -> Iterator[Group]:
        total = _sum(self.calls[self.focus])
        for endpoint, at in self._ranked(self.tree.endpoint[self.focus], self.focus):
            nodes = self.focus[at]
            yield self._name(endpoint) | self._counts(nodes, total) | {"self_ns": _sum(self.self_ns[nodes])}, nodes

    def _direct_callers(self) -> Iterator[Group]:
        parent, cut = self.tree.parent[self.focus], self.tree.cut[self.focus]
        total = _sum(self.calls[self.focus])
        for relation, chosen in (("entry", (parent < 0) & ~cut), ("unknown caller", cut)):
            if chosen.any():
                nodes = self.focus[chosen]
                yield {"relation": relation, "hops": 1} | self._counts(nodes, total), nodes
        called, callers = self.focus[parent >= 0], parent[parent >= 0]
        for endpoint, at in self._ranked(self.tree.endpoint[callers], called):
            row: Row = {"relation": "caller", "hops": 1} | self._name(endpoint) | self._counts(called[at], total)
            row["amplification"] = _ratio(row["calls"], _sum(self.calls[np.unique(callers[at])]))
            yield row, called[at]

    def _indirect_callers(self) -> Iterator[Group]:
        """Endpoints two calls or more above. Where one stands several times on a path, the outermost counts."""
        hops = list(self.tree.ancestors(self.focus))[1:]
        if not hops:
            return
        reached = self.focus[np.concatenate([at for at, _ in hops])]
        callers = np.concatenate([above for _, above in hops])
        distance = np.repeat(np.arange(2, len(hops) + 2), [len(at) for at, _ in hops])
        distinct, inverse = np.unique(callers, return_inverse=True)
        outermost = ~self.tree.repeats(distinct)[inverse]
        nearest = np.full(len(self.tree.services), len(hops) + 2)
        np.minimum.at(nearest, self.tree.endpoint[callers], distance)
        reached, callers = reached[outermost], callers[outermost]
        total = _sum(self.calls[self.focus])
        for endpoint, at in self._ranked(self.tree.endpoint[callers], reached):
            row: Row = {"relation": "indirect caller", "hops": int(nearest[endpoint])} | self._name(endpoint)
            row |= self._counts(reached[at], total)
            row["amplification"] = _ratio(row["calls"], _sum(self.calls[np.unique(callers[at])]))
            yield row, reached[at]

    def _callees(self) -> Iterator[Group]:
        total, entries = _sum(self.calls[self.beneath]), _sum(self.calls[self.entries])
        hops = self.hops_below[self.beneath]
        for relation, members in (("callee", self.beneath[hops == 1]), ("indirect callee", self.beneath[hops > 1])):
            for endpoint, at in self._ranked(self.tree.endpoint[members], members):
                nodes = members[at]
                row: Row = {"relation": relation, "hops": int(self.hops_below[nodes].min())} | self._name(endpoint)
                row |= self._counts(nodes, total)
                yield row | {"amplification": _ratio(row["calls"], entries)}, nodes

    def _roots(self, least: Ints, most: Ints) -> Iterator[Row]:
        tree = self.tree
        total = _sum(self.calls[self.focus])
        # A partial tree may begin at the endpoint at which whole ones begin: two rows, as their requests differ in kind.
        by_kind = tree.endpoint * 2 + tree.cut
        root_of = tree.root[self.focus]
        for kind, at in self._ranked(by_kind[root_of], self.focus, lambda kind: kind // 2):
            nodes, roots = self.focus[at], np.unique(root_of[at])
            requests = _sum(self.traces[roots])
            row = self._name(kind // 2) | self._counts(nodes, total) | {"partial": bool(kind % 2), "requests": requests}
            row |= {
                "touched_at_least": _ratio(_sum(least[roots]), requests),
                "touched_at_most": _ratio(_sum(most[roots]), requests),
            }
            yield row | {"amplification": _ratio(row["calls"], _sum(self.calls[roots]))}

    def _paths(self) -> Iterator[Row]:
        tree = self.tree
        outermost = tree.outermost_above(self.marked)
        for relation, nodes in (("focus", self.focus), ("callee", self.beneath[~self.marked[self.beneath]])):
            most_calls_first = nodes[np.lexsort((tree.path_id[nodes], -self.calls[nodes]))][: self.limit]
            for node in most_calls_first.tolist():
                parent, calls = int(tree.parent[node]), int(self.calls[node])
                yield {
                    "relation": relation,
                    "path": " > ".join(f"{service}:{operation}" for service, operation in tree.names(node)),
                    "calls": calls,
                    "traces": int(self.traces[node]),
                    "errors": int(self.errors[node]),
                    "per_root_call": _ratio(calls, int(self.calls[tree.root[node]])),
                    "per_caller_call": _ratio(calls, int(self.calls[parent])) if parent >= 0 else None,
                    "per_focus_call": _ratio(calls, int(self.calls[outermost[node]])),
                    "path_id": int(tree.path_id[node]),
                }

    def _ranked(self, keys: Ints, nodes: Ints, endpoint_of: Callable[[int], int] = lambda key: key) -> Iterator[tuple[int, Ints]]:
        """Each key with the positions that hold it, the most calls of `nodes` first, then by name; `limit` of them.

        Python touches the ranked ones only: a focus may have ten thousand callees of which twenty are shown.
        """
        distinct, inverse = np.unique(keys, return_inverse=True)
        calls = np.zeros(len(distinct), np.int64)
        np.add.at(calls, inverse, self.calls[nodes])
        kept = np.arange(len(distinct))
        if self.limit is not None and self.limit < len(kept):
            kept = np.flatnonzero(calls >= np.partition(calls, -self.limit)[-self.limit])

        def rank(group: int) -> tuple[int, str, str]:
            name = self._name(endpoint_of(int(distinct[group])))
            return -int(calls[group]), name["service"], name["operation"]

        order = np.argsort(inverse, kind="stable")
        ends = np.searchsorted(inverse[order], kept, side="right")
        starts = np.searchsorted(inverse[order], kept, side="left")
        positions = {group: order[start:end] for group, start, end in zip(kept.tolist(), starts, ends, strict=True)}
        for group in sorted(positions, key=rank)[: self.limit]:
            yield int(distinct[group]), positions[group]

    def _name(self, endpoint: int) -> Row:
        return {"service": self.tree.services[endpoint].as_py(), "operation": self.tree.operations[endpoint].as_py()}

    def _counts(self, nodes: Ints, total: int) -> Row:
        calls = _sum(self.calls[nodes])
        return {"calls": calls, "share": _ratio(calls, total), "errors": _sum(self.errors[nodes]), "paths": len(nodes)}


def _sum(values: Ints) -> int:
    return int(values.sum())


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
