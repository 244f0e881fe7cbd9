"""All pairs of perceptual hashes that differ in a few bits, without comparing all pairs.

In: hashes. Out: the pairs that are near, none missed. The coarse half is cut into ``max_distance`` + ``whole`` blocks:
of a near pair ``whole`` blocks are equal, so that it stands together once the hashes are sorted by the right blocks.
``whole`` is chosen by the number of hashes: more sorts, or more to compare. How long ten million hashes take is
measured by ``benchmarks/near_duplicates.py``.

Source: Manku, Jain, Das Sarma, "Detecting near-duplicates for web crawling" (WWW 2007), section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.filtering.image_hash import HALF_BITS, WordArray, coarse_distances, near

IndexArray = npt.NDArray[np.int64]
MAX_DISTANCE = 12
COMPARES_PER_SORTED = 20  # pairs compared in the time that sorting one hash takes, about


class NearPairs(NamedTuple):
    """Pairs ``first[i] < second[i]`` by index, each once, ordered by second, then first; ``distance`` in bits of the
    coarse half."""

    first: IndexArray
    second: IndexArray
    distance: npt.NDArray[np.uint8]


def near_pairs(words: WordArray, max_distance: int, groups: IndexArray | None = None) -> NearPairs:
    """Every pair of hashes (N x 2) that is near by ``max_distance`` (0 to 12); with ``groups``, of the same group only.

    Equal hashes are pairs too: give each once where there may be many. ValueError for another ``max_distance``.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"a distance of {max_distance} bits; wanted 0 to {MAX_DISTANCE}: other pictures are about 32")
    count = len(words)
    codes = [
        low * count + high  # one number a pair
        for mask in _masks(count, max_distance)
        for low, high in _pairs_equal_under(mask, words, groups, max_distance)
    ]
    found = np.unique(np.concatenate([*codes, np.empty(0, np.int64)]))
    first, second = np.divmod(found, max(count, 1))
    order = np.lexsort((first, second))
    first, second = first[order], second[order]
    return NearPairs(first, second, coarse_distances(words[first], words[second]))


def _masks(count: int, max_distance: int) -> list[np.uint64]:
    """The bits to sort by: every choice of ``whole`` blocks."""
    whole = min(range(1, 5), key=lambda blocks: _cost(count, max_distance, blocks))
    edges = [HALF_BITS * block // (max_distance + whole) for block in range(max_distance + whole + 1)]
    blocks = [(1 << end) - (1 << start) for start, end in pairwise(edges)]
    return [np.uint64(sum(chosen)) for chosen in combinations(blocks, whole)]


def _cost(count: int, max_distance: int, whole: int) -> float:
    """Comparisons that a choice of ``whole`` costs for evenly spread hashes, its sorts counted in comparisons too."""
    bucket = count / 2.0 ** (HALF_BITS * whole / (max_distance + whole))
    return float(comb(max_distance + whole, whole) * count * (COMPARES_PER_SORTED + bucket / 2))


def _pairs_equal_under(
    mask: np.uint64, words: WordArray, groups: IndexArray | None, max_distance: int
) -> Iterator[tuple[IndexArray, IndexArray]]:
    """Near pairs among the hashes whose coarse half is equal under ``mask``, the lower index first: neighbours in
    sorted order, then those two places apart, and so on until no two of a bucket are so far apart."""
    keys = words[:, 0] & mask
    order = np.argsort(keys) if groups is None else np.lexsort((keys, groups))
    keys, ordered = keys[order], words[order]
    sorted_groups = None if groups is None else groups[order]
    places, step = np.arange(len(keys) - 1), 1
    while len(places):
        same = keys[places] == keys[places + step]
        if sorted_groups is not None:
            same &= sorted_groups[places] == sorted_groups[places + step]
        places = places[same]
        found = places[near(ordered[places], ordered[places + step], max_distance)]
        one, other = order[found], order[found + step]
        yield np.minimum(one, other), np.maximum(one, other)
        step += 1
        places = places[places + step < len(keys)]


def leaders(count: int, pairs: NearPairs) -> tuple[IndexArray, npt.NDArray[np.uint8]]:
    """For each of ``count`` things in order the one that it is taken for, and the distance to it.

    A thing is its own unless an earlier one that is its own is near: the earliest of them. So what stays is pairwise
    far apart, and a chain of small steps never carries a thing further than one distance away.
    """
    leader = np.arange(count)
    distance = np.zeros(count, dtype=np.uint8)
    for first, second, bits in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.distance.tolist(), strict=True):
        if leader[second] == second and leader[first] == first:  # pairs come by second, then first
            leader[second], distance[second] = first, bits
    return leader, distance
