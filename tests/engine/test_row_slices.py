"""Units of rows: every row once, in order, none larger than asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.sources.numbered_files import row_slices, units_of_rows


@given(st.integers(0, 60), st.integers(1, 20))
def test_slices_hold_every_row_once_and_only_the_last_is_smaller(rows: int, most: int) -> None:
    found = list(row_slices(rows, most))
    assert [row for first, count in found for row in range(first, first + count)] == list(range(rows))
    assert all(count == most for _, count in found[:-1])
    assert all(0 < count <= most for _, count in found)


def test_units_are_numbered_and_say_where_their_rows_stand() -> None:
    units = units_of_rows("captions", 5, 2)
    assert [(one.index, one.uri, one.first_row, one.rows) for one in units] == [
        (0, "captions", 0, 2),
        (1, "captions", 2, 2),
        (2, "captions", 4, 1),
    ]
