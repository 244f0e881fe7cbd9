"""The search for near pairs: it finds what comparing all pairs finds, and what stays is pairwise far apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.filtering import near_duplicates
from engine.filtering.image_hash import WordArray, near, words_of
from engine.filtering.near_duplicates import IndexArray, leaders, near_pairs


def crowded(seed: int, count: int = 300) -> WordArray:
    """Hashes of which many are a few bits apart, in both halves."""
    random = np.random.default_rng(seed)
    words = random.integers(0, 1 << 64, (20, 2), dtype=np.uint64, endpoint=False)[random.integers(0, 20, count)]
    for row in words:
        for half in (0, 1):
            for _ in range(random.integers(0, 9)):
                row[half] ^= np.uint64(1 << int(random.integers(0, 64)))
    return words


def all_pairs(words: WordArray, distance: int, groups: IndexArray | None = None) -> set[tuple[int, int]]:
    return {
        (first, second)
        for second in range(len(words))
        for first in np.flatnonzero(near(words[:second], words[second], distance)).tolist()
        if groups is None or groups[first] == groups[second]
    }


def as_set(words: WordArray, distance: int, groups: IndexArray | None = None) -> set[tuple[int, int]]:
    pairs = near_pairs(words, distance, groups)
    found = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(found) == len(set(found)), "each pair once"
    assert found == sorted(found, key=lambda pair: (pair[1], pair[0]))
    return set(found)


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 6, 9, 12])
def test_the_search_finds_every_pair_that_comparing_all_finds(distance: int) -> None:
    words = crowded(distance)
    expected = all_pairs(words, distance)
    assert expected, "there is something to find"
    assert as_set(words, distance) == expected


@pytest.mark.parametrize("whole", [1, 2, 3, 4])
def test_how_many_blocks_are_sorted_by_changes_nothing(whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words = crowded(7)
    monkeypatch.setattr(near_duplicates, "_cost", lambda count, distance, blocks: abs(blocks - whole))
    assert as_set(words, 5) == all_pairs(words, 5)


def test_with_groups_pairs_are_of_one_group() -> None:
    words = crowded(8)
    groups = np.random.default_rng(0).integers(0, 3, len(words))
    assert as_set(words, 6, groups) == all_pairs(words, 6, groups)


@settings(max_examples=60)
@given(st.lists(st.integers(0, (1 << 128) - 1), max_size=12), st.integers(0, 12), st.data())
def test_any_hash_with_bits_flipped_within_the_limit_is_found(
    hashes: list[int], distance: int, data: st.DataObject
) -> None:
    hashes = [one | (1 << 64) - 1 for one in hashes]  # so that much is in common
    copies = []
    for one in hashes:
        for bit in data.draw(st.lists(st.integers(64, 127), max_size=distance)):
            one ^= 1 << bit
        copies.append(one)
    words = words_of([*hashes, *copies])
    assert {(number, number + len(hashes)) for number in range(len(hashes))} <= as_set(words, distance)


def test_none_and_one_hash_have_no_pair() -> None:
    assert as_set(words_of([]), 6) == set()
    assert as_set(words_of([5]), 6) == set()


@pytest.mark.parametrize("distance", [-1, 13])
def test_a_distance_out_of_range_is_refused(distance: int) -> None:
    with pytest.raises(ValueError, match="wanted 0 to 12"):
        near_pairs(words_of([1]), distance)


def test_what_stays_is_pairwise_far_apart_and_everything_else_is_near_what_it_is_taken_for() -> None:
    words = crowded(9)
    pairs = near_pairs(words, 6)
    leader, distance = leaders(len(words), pairs)
    stay = np.flatnonzero(leader == np.arange(len(words)))
    assert as_set(words[stay], 6) == set()
    for number, one in enumerate(leader.tolist()):
        assert near(words[number], words[one], 6)
        assert one <= number
        assert distance[number] == int(words[number, 0] ^ words[one, 0]).bit_count()


def test_a_chain_of_small_steps_does_not_pull_all_into_one() -> None:
    full = (1 << 128) - 1
    words = words_of([full, full ^ 0b111 << 64, full ^ 0b111111 << 64])  # each three from the next, the ends six apart
    leader, _ = leaders(3, near_pairs(words, 3))
    assert leader.tolist() == [0, 0, 2]
