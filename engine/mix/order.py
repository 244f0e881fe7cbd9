"""The order of a mix: which dataset has its turn at a position, and which of its samples comes then.

In: weights, sizes, a seed. Out: for each position of an endless stream a dataset and one of its samples, computed from
the position alone, without state, so that any number of workers, and a resumed run, agree.

Datasets take turns by a fixed interleave, not by chance, so that shares are exact. Within a dataset every sample comes
once a pass, or, in four passes together, as often as its repeat factor says. Each pass has a random order of its own.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm

import numpy as np
import numpy.typing as npt

QUARTERS = 4
_OFFSETS = 1 << 31  # the random stream for rounding repeats, in place of a pass number; none is ever as high

Indices = npt.NDArray[np.int32]
Repeats = npt.NDArray[np.uint16]


class Interleave:
    """The order in which datasets take turns: a period in which dataset ``i`` comes exactly ``turns[i]`` times, evenly.

    Turn k (from 0) of a dataset with n turns in a period is due at (k + 1/2) / n of the period. Turns come in the order
    in which they are due; at a tie, the dataset that is listed first goes first.

    >>> [Interleave([2, 1]).turn(position) for position in range(4)]
    [(0, 0), (1, 0), (0, 1), (0, 2)]
    """

    def __init__(self, weights: Sequence[float | Fraction]) -> None:
        """``turns`` are the smallest whole numbers in the ratio of the weights, whose decimals are taken exactly.
        ValueError where a weight is not above 0."""
        self.turns = _smallest_ratio(weights)
        self.period = sum(self.turns)

    def turn(self, position: int) -> tuple[int, int]:
        """The number of the dataset at ``position``, and how many turns it had before."""
        period, offset = divmod(position, self.period)
        for dataset, turns in enumerate(self.turns):
            # Before its k-th turn, every dataset has had its share of the turns to within one.
            near = offset * turns // self.period
            window = range(max(0, near - len(self.turns)), min(turns, near + len(self.turns) + 1))
            place = bisect_left(window, offset, key=lambda k, dataset=dataset: self._rank(dataset, k))  # type: ignore[misc]
            if place < len(window) and self._rank(dataset, window[place]) == offset:
                return dataset, period * turns + window[place]
        raise RuntimeError(f"no dataset has a turn at {position}")

    def _rank(self, dataset: int, k: int) -> int:
        """The number of turns in a period before turn ``k`` of ``dataset``."""
        mine, rank = self.turns[dataset], k
        for other, turns in enumerate(self.turns):
            if other != dataset:
                # Turn m of the other is earlier where (2 m + 1) / turns < (2 k + 1) / mine; ties by number.
                before = (2 * k + 1) * turns - mine
                rank += max(0, before // (2 * mine) + 1 if other < dataset else -(-before // (2 * mine)))
        return rank


def _smallest_ratio(weights: Sequence[float | Fraction]) -> list[int]:
    if any(not weight > 0 for weight in weights):
        raise ValueError(f"weights of a mix are above 0; these came: {list(weights)}")
    exact = [weight if isinstance(weight, Fraction) else Fraction(str(weight)) for weight in weights]
    scale = lcm(*(share.denominator for share in exact))
    whole = [int(share * scale) for share in exact]
    return [count // gcd(*whole) for count in whole]


class Passes:
    """Endless passes over the samples of one dataset.

    In every four passes sample ``i`` comes exactly ``repeats[i]`` times, in one pass a quarter of that, rounded up or
    down (None: once in each pass). Threads that begin a pass together draw its order once.
    """

    def __init__(self, samples: int, seed: int, number: int, repeats: Repeats | None = None) -> None:
        self.samples, self.repeats, self._key = samples, repeats, (seed, number)
        self._lengths = [samples] if repeats is None else [int(self._counts(q).sum()) for q in range(QUARTERS)]
        self._order = lru_cache(maxsize=2)(self._draw_order)
        self._drawing = threading.Lock()

    def __reduce__(self) -> tuple[type[Passes], tuple[int, int, int, Repeats | None]]:
        return Passes, (self.samples, *self._key, self.repeats)

    @property
    def length(self) -> Fraction:
        """The number of samples in a pass, averaged over four passes."""
        return Fraction(sum(self._lengths), len(self._lengths))

    def sample(self, turn: int) -> int:
        """The number of the sample at turn ``turn`` (from 0) of the dataset."""
        rounds, place = divmod(turn, sum(self._lengths))
        for number, length in enumerate(self._lengths):
            if place < length:
                with self._drawing:
                    return int(self._order(rounds * len(self._lengths) + number)[place])
            place -= length
        raise RuntimeError(f"no sample at turn {turn}")

    def _draw_order(self, number: int) -> Indices:
        """The samples of pass ``number`` in their order, four bytes each."""
        each = np.arange(self.samples, dtype=np.int32)
        if self.repeats is not None:
            each = np.repeat(each, self._counts(number % QUARTERS))
        return each[np.random.default_rng([*self._key, number]).permutation(len(each))]

    def _counts(self, quarter: int) -> npt.NDArray[np.int64]:
        """How often each sample comes in pass ``quarter`` (0 to 3) of four; the seed decides which are rounded up."""
        assert self.repeats is not None
        repeats = self.repeats.astype(np.int64)
        offsets = np.random.default_rng([*self._key, _OFFSETS]).integers(QUARTERS, size=self.samples)
        found: npt.NDArray[np.int64] = ((quarter + 1) * repeats + offsets) // QUARTERS
        return found - (quarter * repeats + offsets) // QUARTERS
