import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalkmark.errors import ChalkmarkError
from chalkmark.histogram import H2, LATENCY, merge

VALUES = st.integers(0, 2**63 - 1)


def naive_index(value: int, g: int) -> int:
    """The definition, in unbounded integers: linear below 2^(g+1), then 2^g buckets a power of two."""
    if value < 2 ** (g + 1):
        return value
    power = value.bit_length() - 1
    offset = (value - 2**power) >> (power - g)
    return 2 ** (g + 1) + (power - g - 1) * 2**g + offset


@given(st.lists(VALUES, min_size=1), st.integers(0, 20))
def test_index_is_the_definition(values: list[int], g: int) -> None:
    assert H2(g).index(values).tolist() == [naive_index(v, g) for v in values]


@pytest.mark.parametrize("power", range(63))
@pytest.mark.parametrize("g", [0, 3, 5, 7])
def test_index_at_the_edges_of_powers(power: int, g: int) -> None:
    values = [max(0, 2**power - 1), 2**power, 2**power + 1, 2 ** (power + 1) - 1]
    assert H2(g).index(values).tolist() == [naive_index(v, g) for v in values]


# Worked by hand at grouping power 7: single values up to 255, then 128 buckets for each power of two.
@pytest.mark.parametrize(
    ("value", "index"),
    [(0, 0), (1, 1), (256, 256), (257, 256), (258, 257), (512, 384), (515, 384), (516, 385), (1024, 512), (1031, 512)],
)
def test_index_of_known_values(value: int, index: int) -> None:
    assert H2(7).index([value]).tolist() == [index]


def test_latency_has_1888_buckets_and_the_last_one_ends_at_the_greatest_value() -> None:
    assert LATENCY.buckets == 1888
    assert LATENCY.bounds([1887])[1].tolist() == [2**63 - 1]
    assert LATENCY.index([2**63 - 1, -1]).tolist() == [1887, 0]


@given(VALUES, st.integers(0, 12))
def test_bounds_hold_the_value_and_are_narrow(value: int, g: int) -> None:
    h = H2(g)
    low, high = (int(b[0]) for b in h.bounds(h.index([value])))
    assert low <= value <= high
    assert (high - low) * 2**g <= max(value, 1)
    assert h.index([low, high]).tolist() == h.index([value, value]).tolist()


def test_buckets_leave_no_gap() -> None:
    low, high = LATENCY.bounds(np.arange(LATENCY.buckets))
    assert (high[:-1] + 1 == low[1:]).all()


@given(st.lists(VALUES), st.lists(VALUES))
def test_merge_is_counting_all_at_once(a: list[int], b: list[int]) -> None:
    merged = merge([LATENCY.count(a), LATENCY.count(b)])
    together = LATENCY.count(a + b)
    assert [x.tolist() for x in merged] == [x.tolist() for x in together]


@given(st.lists(VALUES))
def test_downsampling_is_counting_coarsely(values: list[int]) -> None:
    coarse = LATENCY.downsample(LATENCY.count(values), 3)
    assert [x.tolist() for x in coarse] == [x.tolist() for x in H2(3).count(values)]


@given(st.lists(VALUES, min_size=1), st.floats(0, 1))
def test_quantile_is_within_a_bucket_of_the_sorted_value(values: list[int], q: float) -> None:
    exact = sorted(values)[max(1, int(np.ceil(q * len(values)))) - 1]
    assert LATENCY.quantile(LATENCY.count(values), q) == LATENCY.bounds(LATENCY.index([exact]))[1][0]


def test_quantile_of_nothing_is_none() -> None:
    assert LATENCY.quantile(LATENCY.count([]), 0.5) is None


def test_faults_are_named() -> None:
    with pytest.raises(ChalkmarkError, match="grouping power 9"):
        H2(9, 8)
    with pytest.raises(ChalkmarkError, match="quantile 2"):
        LATENCY.quantile(LATENCY.count([1]), 2)
    with pytest.raises(ChalkmarkError, match="out of range"):
        LATENCY.bounds([1888])
    with pytest.raises(ChalkmarkError, match="refine"):
        LATENCY.downsample(LATENCY.count([1]), 6)
