"""Hypothesis strategies for hostile JSON: documents of a format in which anything may be replaced by anything."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

UNTIMED = settings(deadline=None)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=8),
    st.sampled_from(["", "0", "root", "12ab", "00000000000000000000000000000000", "-1", "1e999", "NaN", "server", "\ud800"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)


def may_be(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what `strategy` gives, sometimes anything."""
    return st.one_of(strategy, strategy, strategy, JSON)


def message(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object whose fields may be absent or wrong."""
    return may_be(st.fixed_dictionaries({}, optional={name: may_be(value) for name, value in fields.items()}))


HEX = st.text("0123456789abcdef", min_size=1, max_size=32)
SPAN_HEX = st.text("0123456789abcdef", min_size=16, max_size=16)
TRACE_HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
TIME = st.one_of(st.integers(0, 2**53), st.integers(0, 2**64).map(str))
