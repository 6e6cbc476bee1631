"""Rows of the table `annotations`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chalkmark.curate import columns
from chalkmark.curate.group import group, widened
from chalkmark.curate.measure import Measured
from chalkmark.tables.annotations import ANNOTATIONS
from chalkmark.tables.spec import TIMESTAMP

_TEXTS = ("kind", "key", "value")
_NEVER = np.iinfo(np.int64).max


def rows(m: Measured, annotations: pa.Table) -> pa.Table:
    """Each annotation of the part's traces once, sorted by trace (as in `m`), span, time and content.

    `annotations` has the columns of the table but `ts`; it names spans by the identifiers that were sent. A 64-bit
    trace identifier follows its trace to the 128-bit one. Where client and server shared a span identifier, nothing
    tells whose an annotation is: all stay with the client half, which kept the identifier.
    """
    high, low = columns.ids(annotations["trace_id"])
    traces = len(m.trace_highs)
    number, highs, lows = group(np.concatenate([m.trace_highs, high]), np.concatenate([m.trace_lows, low]))
    trace = widened(highs, lows)[number[traces:]]  # the part's traces came first, so they are numbered as in `m`
    (span_id,) = columns.ids(annotations["span_id"])
    at = columns.numbers(annotations["at_ns"], _NEVER)
    coded = [columns.codes(columns.array(annotations[name]).dictionary_encode()) for name in _TEXTS]
    ranked = [columns.unified(column) for column in coded]
    keys = [codes[0] for codes, _ in reversed(ranked)] + [at, span_id, trace]

    order = np.lexsort(keys)
    order = order[trace[order] < traces]
    new = np.zeros(len(order), np.bool_)
    new[:1] = True
    for key in keys:
        new[1:] |= key[order][1:] != key[order][:-1]
    order = order[new]
    trace, at = trace[order], at[order]
    said = {name: columns.texts(codes[0][order], texts) for name, (codes, texts) in zip(_TEXTS, ranked, strict=True)}
    return columns.table(
        ANNOTATIONS,
        said
        | {
            "trace_id": columns.binary(m.trace_highs[trace], m.trace_lows[trace]),
            "span_id": columns.binary(span_id[order]),
            "at_ns": pa.array(at, mask=at == _NEVER),
            "ts": pa.array(m.began_us[trace], TIMESTAMP),
        },
    )
