import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalkmark.curate import reasons
from chalkmark.errors import ChalkmarkError
from chalkmark.tables.quality import Reason

LISTS = pa.list_(pa.string())


@given(st.lists(st.lists(st.sampled_from(list(Reason)), unique=True), max_size=30), st.integers(0, 5))
def test_bits_hold_what_lists_say(rows: list[list[Reason]], skipped: int) -> None:
    array = pa.array([[str(r) for r in row] for row in rows], LISTS).slice(min(skipped, len(rows)))
    back = reasons.lists(reasons.masks(array))
    assert back.type == LISTS
    assert [set(row) for row in back.to_pylist()] == [set(row) for row in array.to_pylist()]


def test_reasons_come_back_by_name_and_once() -> None:
    masks = reasons.masks(pa.array([["shared_id", "duplicate", "shared_id", "id_not_hex"], None], LISTS))
    assert reasons.lists(masks).to_pylist() == [["duplicate", "id_not_hex", "shared_id"], []]


def test_bits_of_several_reasons_add_up() -> None:
    both = reasons.bit(Reason.DUPLICATE, Reason.PARENT_CYCLE, Reason.DUPLICATE)
    assert both == reasons.bit(Reason.DUPLICATE) | reasons.bit(Reason.PARENT_CYCLE)
    assert reasons.lists(np.array([both])).to_pylist() == [["duplicate", "parent_cycle"]]


def test_a_reason_of_a_newer_version_is_not_dropped_in_silence() -> None:
    with pytest.raises(ChalkmarkError, match="moon_phase"):
        reasons.masks(pa.array([["duplicate"], ["moon_phase"]], LISTS))
