"""Keys that occur twice: where each stands, as a plain dictionary finds them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.repeated_keys import KeyLog, Repeat


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
