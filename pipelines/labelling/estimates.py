"""Figures of a whole, from a sample of its slices, each with its 95 % interval; and how the slices are chosen.

Source of the interval: the percentile bootstrap (Efron, 1979) over slices, which are the units that vary.
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from schemas.records import UnitRef
from schemas.reports import Document

DRAWS = 2000
Slice = TypeVar("Slice")


class Estimate(Document):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        """The estimate of ``factor`` (not negative) times the figure."""
        return Estimate(value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def over(self, amount: float) -> Estimate:
        """The estimate of ``amount`` over the figure: the time that an amount takes at a rate."""
        return Estimate(value=amount / self.value, low=amount / self.high, high=amount / self.low)


def bootstrap(slices: Sequence[Slice], statistic: Callable[[Sequence[Slice]], float], *, seed: int) -> Estimate:
    """``statistic`` of the slices (at least one), with the interval over ``DRAWS`` resamples of them."""
    numbers = np.random.default_rng(seed).integers(len(slices), size=(DRAWS, len(slices)))
    drawn = [statistic([slices[number] for number in row]) for row in numbers]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value=statistic(slices), low=float(low), high=float(high))


def spread_slices(refs: Sequence[UnitRef], samples: int, count: int, seed: int) -> list[UnitRef]:
    """``samples`` rows in ``count`` slices of units, numbered from 0: one in each part of the source of equal length,
    at a place drawn by ``seed``, none twice. A slice has a row at least, and no more than its unit. Where the source
    has no more rows all of them, unit by unit."""
    ends = list(itertools.accumulate(ref.rows for ref in refs))
    if ends[-1] <= samples:
        return _cut(refs, -(-ends[-1] // count))
    draw = random.Random(seed)
    found: dict[tuple[str, int], UnitRef] = {}
    for number in range(count):
        row = int((number + draw.random()) * ends[-1] / count)
        place = bisect_right(ends, row)
        ref = refs[place]
        share = (number + 1) * samples // count - number * samples // count
        wanted = min(max(1, share), ref.rows)
        first = ref.first_row + min(row - (ends[place] - ref.rows), ref.rows - wanted)
        found.setdefault((ref.uri, first), UnitRef(len(found), ref.uri, first, wanted))
    return list(found.values())


def _cut(refs: Sequence[UnitRef], rows: int) -> list[UnitRef]:
    """Slices of the units, of at most so many rows, numbered from 0."""
    places = ((ref, first) for ref in refs for first in range(0, ref.rows, rows))
    return [
        UnitRef(number, ref.uri, ref.first_row + first, min(rows, ref.rows - first))
        for number, (ref, first) in enumerate(places)
    ]
