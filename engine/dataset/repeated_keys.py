"""Keys that occur twice in a dataset, in eight bytes a sample: those of tens of millions stay in memory.

In: the keys of each unit, in order. Out: where a key stands that has stood before, and where that was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from engine.sources.keys import ShortDigests, repeats, short_digests


class Repeat(NamedTuple):
    """A repeated key: row ``row`` of unit ``unit`` has the key of an earlier sample of ``first_unit``, perhaps the same
    unit."""

    unit: int
    row: int
    first_unit: int


class KeyLog:
    """The keys of the units of one dataset."""

    def __init__(self) -> None:
        self._units: list[int] = []
        self._digests: list[ShortDigests] = []

    def add(self, unit: int, keys: Iterable[str]) -> None:
        """The keys of a unit, in the order of its rows."""
        self._units.append(unit)
        self._digests.append(short_digests(keys))

    def repeats(self) -> Iterator[Repeat]:
        """All repeated keys, in the order in which their units were added, then by row."""
        digests = np.concatenate([*self._digests, np.zeros(0, np.uint64)])
        ends = np.cumsum([len(one) for one in self._digests])
        places = repeats(digests)
        order = np.argsort(digests, kind="stable") if len(places) else places
        first = order[np.searchsorted(digests[order], digests[places])]  # of equal ones the one that came first
        for place, before in zip(places.tolist(), first.tolist(), strict=True):
            number, first_number = (int(np.searchsorted(ends, one, side="right")) for one in (place, before))
            row = place - (int(ends[number - 1]) if number else 0)
            yield Repeat(self._units[number], row, self._units[first_number])
