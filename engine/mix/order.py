"""The order of a mix: which dataset has its turn at a position, and which of its samples comes then.

In: weights, sizes, a seed. Out: for each position of an endless stream a dataset and one of its samples, computed from
the position alone: nothing is remembered, so any number of workers, and a resumed run, agree.

Turns are kept exactly by a fixed interleave rather than by chance; within a dataset every sample comes once a pass, or
as often as its repeat factor says in every four passes, in an order drawn anew for each pass.
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
_OFFSETS = 1 << 31  # a pass number that is never reached: the stream of random numbers for the rounding of repeats

Indices = npt.NDArray[np.int32]
Repeats = npt.NDArray[np.uint16]


class Interleave:
    """The order in which datasets take turns: a period in which dataset ``i`` comes exactly ``turns[i]`` times, evenly.

    The k-th turn of a dataset with n of them in a period is due at (k + 1/2) / n; turns come in the order in which they
    are due, of two at once the one of the earlier dataset first.

    >>> [Interleave([2, 1]).turn(position) for position in range(4)]
    [(0, 0), (1, 0), (0, 1), (0, 2)]
    """

    def __init__(self, weights: Sequence[float | Fraction]) -> None:
        """The turns are the smallest whole numbers in the ratio of the weights, each as its decimals say it."""
        self.turns = _smallest_ratio(weights)
        self.period = sum(self.turns)

    def turn(self, position: int) -> tuple[int, int]:
        """The dataset whose turn it is at ``position``, and how many turns it had before."""
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
        """How many turns of a period come before turn ``k`` of ``dataset``."""
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
    """The samples of one dataset, over and over: ``repeats`` are quarters of how often each comes a pass (None: once).

    Four passes see a sample exactly ``repeats`` times, one pass a quarter of that, rounded up or down. Threads that
    begin a pass together draw its order once.
    """

    def __init__(self, samples: int, seed: int, number: int, repeats: Repeats | None = None) -> None:
        self.samples, self.repeats, self._key = samples, repeats, (seed, number)
        self._lengths = [samples] if repeats is None else [int(self._counts(q).sum()) for q in range(QUARTERS)]
        self._order = lru_cache(maxsize=2)(self._draw_order)
        self._drawing = threading.Lock()

    @property
    def length(self) -> Fraction:
        """Samples of a pass, on average over four."""
        return Fraction(sum(self._lengths), len(self._lengths))

    def sample(self, turn: int) -> int:
        """Which sample comes at the ``turn``-th turn (from 0) of the dataset."""
        rounds, place = divmod(turn, sum(self._lengths))
        for number, length in enumerate(self._lengths):
            if place < length:
                with self._drawing:
                    return int(self._order(rounds * len(self._lengths) + number)[place])
            place -= length
        raise RuntimeError(f"no sample at turn {turn}")

    def _draw_order(self, number: int) -> Indices:
        """The samples of pass ``number``, four bytes each."""
        each = np.arange(self.samples, dtype=np.int32)
        if self.repeats is not None:
            each = np.repeat(each, self._counts(number % QUARTERS))
        return each[np.random.default_rng([*self._key, number]).permutation(len(each))]

    def _counts(self, quarter: int) -> npt.NDArray[np.int64]:
        """How often each sample comes in the ``quarter``-th of four passes; the seed draws which are rounded up."""
        assert self.repeats is not None
        repeats = self.repeats.astype(np.int64)
        offsets = np.random.default_rng([*self._key, _OFFSETS]).integers(QUARTERS, size=self.samples)
        found: npt.NDArray[np.int64] = ((quarter + 1) * repeats + offsets) // QUARTERS
        return found - (quarter * repeats + offsets) // QUARTERS
