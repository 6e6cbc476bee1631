"""Parts: their names say what they are, and the right ones are merged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chalkmark.engine.parts import MAX_ROWS, MERGE_COUNT, Part, format_hour, mergeable, parse_hour, part_name


@given(st.integers(0, 1_000_000))
def test_hours_survive_their_text(hour: int) -> None:
    assert parse_hour(format_hour(hour)) == hour


def test_names_sort_by_hour_and_tell_hour_and_clock() -> None:
    early, late = part_name(497_000, "ffff", 0, "0"), part_name(497_001, "0000", 3, "ab12")
    assert early < late
    assert (Part(late, 1).hour, Part(late, 1).clock) == (497_001, "ab12")


def some(hour: int, sizes: list[int]) -> list[Part]:
    return [Part(part_name(hour, f"c{i:03d}", 0, "0"), rows) for i, rows in enumerate(sizes)]


def test_open_hours_merge_full_groups_of_one_size_class() -> None:
    few = some(1, [900] * (MERGE_COUNT - 1))
    assert mergeable(few) == []
    enough = some(1, [900] * MERGE_COUNT)
    assert [len(g) for g in mergeable(enough)] == [MERGE_COUNT]
    assert mergeable([*few, *some(2, [900])]) == []
    assert mergeable([*few, *some(1, [90_000])]) == []


def test_closed_hours_merge_what_fits_together() -> None:
    parts = some(1, [900, 90_000, 5]) + some(2, [7])
    assert [[p.rows for p in g] for g in mergeable(parts, everything=True)] == [[5, 900, 90_000]]
    assert mergeable(some(1, [MAX_ROWS, 10]), everything=True) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2 * MAX_ROWS)), max_size=40))
def test_groups_stay_within_an_hour_and_the_size(parts: list[tuple[int, int]]) -> None:
    made = [Part(part_name(hour, f"c{i:03d}", 0, "0"), rows) for i, (hour, rows) in enumerate(parts)]
    groups = mergeable(made, everything=True)
    assert all(len({p.hour for p in g}) == 1 for g in groups)
    assert all(sum(p.rows for p in g) <= MAX_ROWS for g in groups)
    named = [p.name for g in groups for p in g]
    assert len(named) == len(set(named))
