"""The candidates of a picture as columns: three arrays, however many boxes a grounder gave.

In: candidates, or the columns that they are stored in. Out: a sequence of candidates for whoever reads one by one, and
the arrays for metrics, which look at all at once. An object takes about ten times the memory of its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from engine.metrics.overlap import Boxes, as_boxes
from schemas.records import Candidate


@dataclass(frozen=True, slots=True, eq=False)
class Candidates(Sequence[Candidate]):
    """``phrases`` [N] numbers what each box is of, ``scores`` [N]; without agreement, which no metric asks for."""

    phrases: NDArray[np.int32]
    boxes_xyxy: Boxes
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, candidates: Sequence[Candidate]) -> Candidates:
        """The columns of candidates; those that are columns already as they are."""
        if isinstance(candidates, Candidates):
            return candidates
        return cls(
            np.array([one.phrase for one in candidates], dtype=np.int32),
            as_boxes([one.box_xyxy for one in candidates]),
            np.array([one.score for one in candidates], dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Candidate]:
        columns = (self.phrases.tolist(), map(tuple, self.boxes_xyxy.tolist()), self.scores.tolist())
        return (Candidate(phrase, box, score) for phrase, box, score in zip(*columns, strict=True))

    @overload
    def __getitem__(self, rows: int) -> Candidate: ...
    @overload
    def __getitem__(self, rows: slice | NDArray[np.generic]) -> Candidates: ...
    def __getitem__(self, rows: int | slice | NDArray[np.generic]) -> Candidate | Candidates:
        """A candidate, or those of a slice, a mask or row numbers."""
        if isinstance(rows, int):
            x1, y1, x2, y2 = self.boxes_xyxy[rows].tolist()
            return Candidate(int(self.phrases[rows]), (x1, y1, x2, y2), float(self.scores[rows]))
        return Candidates(self.phrases[rows], self.boxes_xyxy[rows], self.scores[rows])

    def best_first(self, most: int | None = None) -> Candidates:
        """The ``most`` of highest score, or all, by falling score; equal scores keep the grounder's order."""
        return self[np.argsort(-self.scores, kind="stable")[:most]]


NO_CANDIDATES = Candidates.of(())
