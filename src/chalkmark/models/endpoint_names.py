"""What people mean by `SERVICE` or `SERVICE:OPERATION`, and what they may have meant where there is no such endpoint."""

from __future__ import annotations

import difflib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chalkmark.models.path_rows import Flags


def meant(services: pa.Array | pa.ChunkedArray, operations: pa.Array | pa.ChunkedArray, name: str) -> Flags:
    """True where an endpoint is meant by `name`, which is split at any colon; a service of that name wins."""
    colons = [i for i, letter in enumerate(name) if letter == ":"]
    flags = pc.equal(services, name)
    for i in colons:
        if pc.any(flags).as_py():
            break
        flags = pc.and_(pc.equal(services, name[:i]), pc.equal(operations, name[i + 1 :]))
    return np.array(flags, dtype=bool)


def nearest(name: str, services: list[str], operations: list[str]) -> list[str] | None:
    """Up to five names like `name`; None where `name` itself is a service or an endpoint."""
    names = {*services, *map(":".join, zip(services, operations, strict=True))}
    if name in names:
        return None
    # Names that hold the text come first: people remember a part of a name better than its beginning.
    parts = sorted((n for n in names if name.lower() in n.lower()), key=lambda n: (len(n), n))
    return list(dict.fromkeys([*parts, *difflib.get_close_matches(name, sorted(names), n=5, cutoff=0.5)]))[:5]
