"""Calls: the spans of a trace as a tree of calls between services, and the path that leads to each.

A span begins a call where work arrives at a service:
- at the top of a tree: a root, or a span whose parent never arrived;
- where its kind is server or consumer, even within one service, which then calls itself;
- where its service is not its parent's, whatever the kinds: data without kinds has calls too;
- where it is a client or producer that nobody answered (no span of the called service lies below it) and that names
  its peer: the call is to that peer, by the name of the client's operation.
Every other span belongs to the call that its parent belongs to; a client without an answer or a peer stays with its
caller, and what lies below an unanswered client is detail of that same call. A retry is a call of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from chalkmark.curate import raw
from chalkmark.curate.columns import Codes
from chalkmark.curate.hashing import U64, Hashes, chain
from chalkmark.curate.tree import NONE

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_SERVER, _CLIENT, _PRODUCER, _CONSUMER = (raw.KINDS.index(k) for k in ("server", "client", "producer", "consumer"))
_COMPLETE, _PARTIAL = U64(1), U64(2)
"""What the path of a root begins with, and the path of a span whose callers are unknown."""

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of a part, in the order of the spans that begin them. Durations in ns; -1 where unknown."""

    span: Ints
    """The span that begins the call."""
    of_span: Ints
    """The call that each span belongs to."""
    caller: Ints
    """The calling call; -1 at the top of a tree."""
    path: Hashes
    depth: npt.NDArray[np.int32]
    top: Ints
    """The call at the top of the tree."""
    partial: Flags
    """The path begins at a span whose parent never arrived."""
    service: Codes
    operation: Codes
    total_ns: Ints
    """The callee's duration, or else the caller's."""
    client: Ints
    """The caller's span, where there is one that stands for this call alone."""
    client_ns: Ints
    server_ns: Ints
    waited: Flags
    """Both durations are known and the caller waited: the difference is what the network took."""


@njit(cache=True)
def _answered(top_down, parent, kind, service):  # type: ignore[no-untyped-def]
    """Whether a call arrives at, or below, a child of each span without leaving its service before."""
    out = np.zeros(parent.size, np.bool_)
    for k in range(top_down.size - 1, -1, -1):
        i = top_down[k]
        p = parent[i]
        if p != NONE and (out[i] or kind[i] == _SERVER or kind[i] == _CONSUMER or service[i] != service[p]):
            out[p] = True
    return out


@njit(cache=True)
def _begin(top_down, parent, kind, service, operation, peer, sent_parent, service_hash, operation_hash):  # type: ignore[no-untyped-def]
    """The span that begins each span's call; of those that begin one: its path, depth, top and called service.

    `answers` counts the calls that arrive at the children of each span.
    """
    n = parent.size
    answered = _answered(top_down, parent, kind, service)
    begin = np.empty(n, np.int64)
    path = np.zeros(n, np.uint64)
    depth = np.zeros(n, np.int32)
    top = np.zeros(n, np.int64)
    callee = np.full(n, -1, np.int32)
    answers = np.zeros(n, np.int32)
    to_peer = np.zeros(n, np.bool_)
    for i in top_down:
        p = parent[i]
        if p == NONE:
            begin[i] = i
            callee[i] = service[i]
            top[i] = i
            previous = _PARTIAL if sent_parent[i] else _COMPLETE
        else:
            caller = begin[p]
            if kind[i] == _SERVER or kind[i] == _CONSUMER or service[i] != service[p]:
                callee[i] = service[i]
                answers[p] += 1
            elif (kind[i] == _CLIENT or kind[i] == _PRODUCER) and peer[i] >= 0 and not answered[i] and not to_peer[caller]:
                callee[i] = peer[i]
                to_peer[i] = True
            else:
                begin[i] = caller
                continue
            begin[i] = i
            top[i] = top[caller]
            depth[i] = depth[caller] + 1
            previous = path[caller]
        path[i] = chain(chain(previous, service_hash[callee[i]]), operation_hash[operation[i]])
    return begin, path, depth, top, callee, answers, to_peer


def calls(
    top_down: Ints,
    parent: Ints,
    kind: Codes,
    service: Codes,
    operation: Codes,
    peer: Codes,
    sent_parent: Flags,
    duration: Ints,
    service_hash: Hashes,
    operation_hash: Hashes,
) -> Calls:
    """The calls that spans make up. `service` and `peer` are codes of one dictionary; `top_down` lists parents first."""
    begin, path, depth, top, callee, answers, to_peer = _begin(
        top_down, parent, kind, service, operation, peer, sent_parent, service_hash, operation_hash
    )
    span = np.flatnonzero(begin == np.arange(len(begin)))
    number = np.empty(len(begin), np.int64)
    number[span] = np.arange(len(span))
    of_span = number[begin]
    parent_span = parent[span]
    is_top = parent_span == NONE

    asked = np.where(is_top, 0, kind[parent_span])
    asked_by_message = asked == _PRODUCER
    unanswered = to_peer[span]
    alone = ~is_top & ((asked == _CLIENT) | asked_by_message) & (answers[parent_span] == 1)
    total_ns = duration[span]
    client = np.where(unanswered, span, np.where(alone, parent_span, NONE))
    client_ns = np.where(client == NONE, UNKNOWN, duration[client])
    server_ns = np.where(unanswered, UNKNOWN, total_ns)
    waited = alone & ~unanswered & ~asked_by_message & (kind[span] != _CONSUMER)
    return Calls(
        span=span,
        of_span=of_span,
        caller=np.where(is_top, NONE, of_span[parent_span]),
        path=path[span],
        depth=depth[span],
        top=of_span[top[span]],
        partial=sent_parent[top[span]],
        service=callee[span],
        operation=operation[span],
        total_ns=total_ns,
        client=client,
        client_ns=client_ns,
        server_ns=server_ns,
        waited=waited,
    )
