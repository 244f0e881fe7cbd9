"""Keys that occur twice: where each stands, as a plain dictionary finds them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.repeated_keys import KeyLog, Repeat
from engine.sources.keys import RepeatedRows


def test_what_is_no_key_never_repeats() -> None:
    assert RepeatedRows([None, None, 1.5, 1.5, True, True]).among(range(6)) == []
    assert RepeatedRows(["7", None, 7, None]).among(range(4)) == [2]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=5), max_size=6))
def test_every_repeated_key_is_found_once_with_the_unit_that_had_it_first(units: list[list[str]]) -> None:
    log, first, expected = KeyLog(), dict[str, int](), list[Repeat]()
    for number, keys in enumerate(units):
        unit = 10 * number  # units may be missing
        log.add(unit, keys)
        for row, key in enumerate(keys):
            if key in first:
                expected.append(Repeat(unit, row, first[key]))
            first.setdefault(key, unit)
    assert list(log.repeats()) == expected
