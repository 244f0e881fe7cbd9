"""Judged boxes as columns: what became of every box of a dataset in some 60 bytes a box.

In: rows of some pictures at a time. Out: a sequence of :class:`JudgedBox` for whoever looks at a few, and the columns,
part by part, for curves, counts and tables.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from engine.metrics.overlap import Boxes
from schemas.records import BoxXYXY

Outcome = Literal["right", "localisation", "other_name", "background", "duplicate", "missed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
RIGHT, LOCALISATION, OTHER_NAME, BACKGROUND, DUPLICATE, MISSED = range(len(OUTCOMES))


@dataclass(frozen=True, slots=True)
class JudgedBox:
    """A box, xyxy pixels of the original image. ``number``: of its name, the phrase of the sample or the class of the
    dataset; ``rank``: among the candidates of that name in the image, from 1, and 0 for a human box that was missed;
    ``overlap``: the best IoU with a human box of its name."""

    key: str
    number: int
    name: str
    rank: int
    score: float
    box_xyxy: BoxXYXY
    overlap: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class JudgedPart:
    """Judged boxes of some pictures. ``sample`` and ``name`` are places in ``keys`` and ``names``, ``outcome`` one in
    ``OUTCOMES``; other columns as the fields of :class:`JudgedBox`."""

    keys: Sequence[str]
    names: Sequence[str]
    sample: NDArray[np.int32]
    number: NDArray[np.int32]
    name: NDArray[np.int32]
    rank: NDArray[np.int32]
    score: NDArray[np.float64]
    boxes_xyxy: Boxes
    overlap: NDArray[np.float32]
    outcome: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.rank)

    def box(self, row: int) -> JudgedBox:
        """The box in row ``row``."""
        x1, y1, x2, y2 = self.boxes_xyxy[row].tolist()
        return JudgedBox(
            self.keys[self.sample[row]],
            int(self.number[row]),
            self.names[self.name[row]],
            int(self.rank[row]),
            float(self.score[row]),
            (x1, y1, x2, y2),
            float(self.overlap[row]),
            OUTCOMES[self.outcome[row]],
        )


class JudgedBoxes(Sequence[JudgedBox]):
    """All judged boxes of a dataset, in ``parts``."""

    def __init__(self, parts: Iterable[JudgedPart]) -> None:
        self.parts = list(parts)
        self._ends = list(accumulate(map(len, self.parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[JudgedBox]:
        return (part.box(row) for part in self.parts for row in range(len(part)))

    @overload
    def __getitem__(self, number: int) -> JudgedBox: ...
    @overload
    def __getitem__(self, number: slice) -> list[JudgedBox]: ...
    def __getitem__(self, number: int | slice) -> JudgedBox | list[JudgedBox]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        place = range(len(self))[number]
        part = bisect_right(self._ends, place)
        return self.parts[part].box(place - (self._ends[part] - len(self.parts[part])))

    def outcomes(self) -> dict[Outcome, int]:
        """How many boxes there are of each outcome, in the order in which outcomes first occur."""
        counts: Counter[Outcome] = Counter()
        for part in self.parts:
            found, first, times = np.unique(part.outcome, return_index=True, return_counts=True)
            for place in np.argsort(first).tolist():
                counts[OUTCOMES[found[place]]] += int(times[place])
        return dict(counts)
