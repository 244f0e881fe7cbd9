"""Repeat factors: samples with rare phrases are seen more often (LVIS, Gupta et al., CVPR 2019, appendix B.1).

In: for each dataset of a mix the phrases of its samples. Out: for each sample how often it comes, in quarters. The
factor of a phrase that occurs in a share f of the mix's samples is max(1, sqrt(threshold / f)); the factor of a sample
is the largest of its phrases'. LVIS rounds fractional factors at random in each epoch; here they are rounded to
quarters, so that it is certain how often a sample is seen.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from engine.mix.order import QUARTERS, Repeats
from engine.selecting.columns import Integers

MOST_QUARTERS = np.iinfo(np.uint16).max


class PhraseLog:
    """The phrases of each sample of one dataset, as indices into a vocabulary that the mix shares; four bytes each."""

    def __init__(self, vocabulary: dict[str, int]) -> None:
        self._vocabulary = vocabulary
        self._codes, self._ends = array("i"), array("q")

    def add(self, phrases: Iterable[str]) -> None:
        """Add the next sample by its phrases; repeated ones count once."""
        for phrase in sorted(set(phrases)):
            self._codes.append(self._vocabulary.setdefault(phrase, len(self._vocabulary)))
        self._ends.append(len(self._codes))

    def add_samples(self, samples: int, of_box: Integers, name_of_box: Integers, names: Sequence[str]) -> None:
        """Add the next ``samples`` samples by their boxes: the sample number (from 0) and the index into ``names`` of
        each box. ``names`` may have equal entries."""
        used, name = np.unique(name_of_box, return_inverse=True)
        known = [self._vocabulary.setdefault(names[one], len(self._vocabulary)) for one in used.tolist()]
        size = len(self._vocabulary) + 1
        pairs = np.unique(of_box * size + np.array(known, dtype=np.int64)[name])
        before = len(self._codes)
        self._codes.frombytes((pairs % size).astype(np.int32).tobytes())
        self._ends.frombytes((before + np.cumsum(np.bincount(pairs // size, minlength=samples))).tobytes())

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def codes(self) -> npt.NDArray[np.int32]:
        return np.frombuffer(self._codes, dtype=np.int32) if self._codes else np.zeros(0, np.int32)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """The number of phrases of each sample."""
        ends = np.frombuffer(self._ends, dtype=np.int64) if self._ends else np.zeros(0, np.int64)
        return np.diff(ends, prepend=0)


def repeat_quarters(logs: Sequence[PhraseLog], threshold: float) -> list[Repeats]:
    """For each dataset the repeat factors of its samples, in quarters: at least four."""
    size = max((int(log.codes.max(initial=-1)) for log in logs), default=-1) + 1
    seen = sum((np.bincount(log.codes, minlength=size) for log in logs), start=np.zeros(size, np.int64))
    samples = sum(len(log) for log in logs)
    factors = np.sqrt(threshold * samples / np.maximum(seen, 1))
    quarters = np.clip(np.rint(QUARTERS * factors), QUARTERS, MOST_QUARTERS).astype(np.uint16)
    return [_of_samples(log, quarters) for log in logs]


def _of_samples(log: PhraseLog, quarters: Repeats) -> Repeats:
    """The largest factor among each sample's phrases, in quarters; four where a sample has none."""
    found = np.full(len(log), QUARTERS, dtype=np.uint16)
    np.maximum.at(found, np.repeat(np.arange(len(log)), log.counts), quarters[log.codes])
    return found
