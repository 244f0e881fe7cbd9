"""Candidate boxes as columns, which is what the rules of a selection look at: of one sample, or of millions at once.

Tables keep scores and coordinates as float32 of short decimals: read back as those decimals
(``engine/box_batches.py``), they decide as the ``.json`` members do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.shards import SampleLabels

SCORE_DECIMALS, PIXEL_DECIMALS = 6, 3  # no fewer than any writer of ours rounds to, and what float32 still holds

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """N candidates. Rows of an image stand together, in the order of its boxes."""

    image: Integers
    """Number of the image, never falling."""
    phrase: Integers
    start: Integers
    end: Integers
    head: Integers
    """Index into ``heads``."""
    heads: tuple[str, ...]
    """Head lemmas, lower-case."""
    score: Floats
    agreement: Floats
    """0 where there is none."""
    boxes_xyxy: Floats
    """N x 4, pixels."""
    width: Floats
    height: Floats

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: Integers) -> BoxColumns:
        """The rows with these numbers."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return BoxColumns(**{name: one if name == "heads" else one[rows] for name, one in columns.items()})

    def shares(self) -> Floats:
        """Area of each box as a share of its image."""
        x1, y1, x2, y2 = self.boxes_xyxy.T
        found: Floats = (x2 - x1) * (y2 - y1) / (self.width * self.height)
        return found

    def phrase_numbers(self) -> Integers:
        """A number for each phrase of each image; rising with the image. Of one row at least."""
        numbers: Integers = (self.image - self.image[0]) * (self.phrase.max() + 1) + self.phrase
        return numbers


def columns_of(labels: SampleLabels) -> BoxColumns:
    """The boxes of one sample."""
    boxes, count = labels.boxes, len(labels.boxes)
    phrases = [labels.phrases[box.phrase] for box in boxes]
    phrase = np.array([box.phrase for box in boxes], dtype=np.int64)
    return BoxColumns(
        image=np.zeros(count, dtype=np.int64),
        phrase=phrase,
        start=np.array([one.start for one in phrases], dtype=np.int64),
        end=np.array([one.end for one in phrases], dtype=np.int64),
        head=phrase,
        heads=tuple(one.head_lemma.lower() for one in labels.phrases),
        score=np.array([box.score for box in boxes], dtype=np.float64),
        agreement=np.array([box.agreement or 0.0 for box in boxes], dtype=np.float64),
        boxes_xyxy=np.array([box.box_xyxy for box in boxes], dtype=np.float64).reshape(-1, 4),
        width=np.full(count, float(labels.width)),
        height=np.full(count, float(labels.height)),
    )
