import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chalkmark.curate.group import group, group_within, widened

WORDS = st.integers(0, 2**64 - 1)


@given(st.lists(st.tuples(st.one_of(st.just(0), WORDS), st.one_of(st.integers(0, 3), WORDS))))
def test_equal_identifiers_have_one_number(ids: list[tuple[int, int]]) -> None:
    high, low = (np.array([i[w] for i in ids], np.uint64) for w in (0, 1))
    number, highs, lows = group(high, low)
    assert list(zip(highs.tolist(), lows.tolist(), strict=True)) == list(dict.fromkeys(ids))
    assert (highs[number] == high).all()
    assert (lows[number] == low).all()


def test_the_table_grows_with_the_number_of_groups() -> None:
    low = np.random.default_rng(1).permutation(np.repeat(np.arange(50_000, dtype=np.uint64), 2))
    number, highs, lows = group(low % np.uint64(7), low)
    assert len(lows) == 50_000
    assert (lows[number] == low).all()
    assert (highs == lows % np.uint64(7)).all()


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=60), max_size=6))
def test_keys_are_grouped_within_their_trace(traces: list[list[int]]) -> None:
    rows = [(t, key) for t, keys in enumerate(traces) for key in keys]
    number, first = group_within(np.array([t for t, _ in rows], np.int64), np.array([k for _, k in rows], np.uint64))
    assert [rows[i] for i in first] == list(dict.fromkeys(rows))
    assert [rows[first[n]] for n in number] == rows


def test_a_short_identifier_stands_for_the_only_long_one() -> None:
    high, low = np.array([0, 5, 6, 0, 0, 7], np.uint64), np.array([1, 1, 2, 2, 9, 2], np.uint64)
    assert widened(high, low).tolist() == [1, 1, 2, 3, 4, 5]
