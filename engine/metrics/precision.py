"""Precision over recall, accumulated by pycocotools from matches, and the matches as a report keeps them.

In: pictures that were matched, one batch after another. Out: for each class precision at 101 recalls, by IoU threshold
and range of areas, and :class:`~schemas.reports.ClassMatches`. A detection takes about 30 bytes.

The only file that imports pycocotools. Its ``accumulate`` is given the matches of all pictures of a class as if they
were of one picture: it sorts detections by score over the pictures anyway, and does not need to know their pictures.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from engine.metrics.class_boxes import ClassBoxes, Flags
from engine.metrics.matching import AREAS, THRESHOLDS, Matches
from schemas.reports import ClassMatches

ALL_AREAS, SMALL, MEDIUM, LARGE = range(4)
IOU_50, IOU_75 = 0, 5
RECALL_POINTS = 101  # 0, 0.01, …, 1
UNDEFINED = -1.0  # the precision of a class without a human box, as pycocotools writes it
_BITS = 1 << np.arange(len(THRESHOLDS), dtype=np.uint16)

Bits = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class MatchedBoxes:
    """Rows of N detections and of G human boxes, for A ranges of areas. ``right`` and ``ignored`` [A, N]: bit t for IoU
    threshold t; ``wanted`` [A, G]."""

    image: NDArray[np.int32]
    class_number: NDArray[np.int32]
    scores: NDArray[np.float64]
    right: Bits
    ignored: Bits
    human_image: NDArray[np.int32]
    human_class: NDArray[np.int32]
    wanted: Flags

    @classmethod
    def of(cls, found: ClassBoxes, scores: NDArray[np.float64], human: ClassBoxes, matches: Matches) -> MatchedBoxes:
        """The rows of some pictures."""
        return cls(
            found.image,
            found.class_number,
            scores,
            _packed(matches.right),
            _packed(matches.ignored),
            human.image,
            human.class_number,
            matches.wanted,
        )

    @classmethod
    def together(cls, parts: Iterable[MatchedBoxes]) -> MatchedBoxes:
        """The rows of all pictures in their order."""
        known = list(parts) or [_NOTHING]
        return cls(*(np.concatenate([getattr(one, part.name) for one in known], axis=-1) for part in fields(cls)))

    def by_class(self, classes: int) -> Iterator[MatchedBoxes]:
        """The rows of each class by themselves: detections best first, equal ones in the order of pictures."""
        found, human = _rows_by_class(self.class_number, classes), _rows_by_class(self.human_class, classes)
        for rows, asked in zip(found, human, strict=True):
            yield self._rows(rows[np.argsort(-self.scores[rows], kind="stable")], asked)

    def take(self, chosen: Flags) -> MatchedBoxes:
        """The rows of some detections, and of all human boxes."""
        return self._rows(np.flatnonzero(chosen), np.arange(len(self.human_image)))

    def _rows(self, found: NDArray[np.int64], human: NDArray[np.int64]) -> MatchedBoxes:
        return MatchedBoxes(
            self.image[found],
            self.class_number[found],
            self.scores[found],
            self.right[:, found],
            self.ignored[:, found],
            self.human_image[human],
            self.human_class[human],
            self.wanted[:, human],
        )

    def boxes_by_area(self) -> list[int]:
        """How many human boxes are to be found in each range of areas."""
        return [int(of_area.sum()) for of_area in self.wanted]

    def precision(self) -> NDArray[np.float64]:
        """Precision [T, R, A] of the detections of one class, best first; ``UNDEFINED`` in a range without a human
        box."""
        evaluation = COCOeval(iouType="bbox")
        params = evaluation._paramsEval = evaluation.params
        params.imgIds, params.catIds, params.maxDets = [0], [0], [sys.maxsize]
        evaluation.evalImgs = [self._as_one_picture(area) for area in range(len(AREAS))]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        precision: NDArray[np.float64] = evaluation.eval["precision"][:, :, 0, :, 0]
        return precision

    def _as_one_picture(self, area: int) -> dict[str, Any]:
        """What pycocotools keeps of a picture that it has matched, in one range of areas."""
        return {
            "dtScores": self.scores,
            "dtMatches": _unpacked(self.right[area]),
            "dtIgnore": _unpacked(self.ignored[area]),
            "gtIgnore": ~self.wanted[area],
        }

    def class_matches(self, name: str, groups: Sequence[str]) -> ClassMatches:
        """The matches of one class, best first and over all areas, as a report keeps them. Equal numbers are one
        object, because a report holds millions."""
        return ClassMatches(
            name=name,
            groups=list(groups),
            gold=_shared(self.human_image[self.wanted[ALL_AREAS]]),
            image=_shared(self.image),
            right=_shared(self.right[ALL_AREAS]),
            ignored=_shared(self.ignored[ALL_AREAS]),
        )


def precision_by_class(
    matched: MatchedBoxes, groups: Mapping[str, Sequence[str]]
) -> tuple[NDArray[np.float64], dict[str, int], list[ClassMatches]]:
    """Precision [K, T, R, A] of all classes, the number of boxes to be found of each, and the matches of those that
    have such boxes. ``groups``: the classes in order, each with the groups that it belongs to."""
    precision = np.full((len(groups), len(THRESHOLDS), RECALL_POINTS, len(AREAS)), UNDEFINED)
    counts, matches = {}, []
    for number, (name, of_class) in enumerate(zip(groups, matched.by_class(len(groups)), strict=True)):
        precision[number] = of_class.precision()
        counts[name] = int(of_class.wanted[ALL_AREAS].sum())
        if counts[name]:
            matches.append(of_class.class_matches(name, groups[name]))
    return precision, counts, matches


_NONE = np.zeros(0, dtype=np.int32)
_NO_BITS = np.zeros((len(AREAS), 0), dtype=np.uint16)
_NOTHING = MatchedBoxes(_NONE, _NONE, np.zeros(0), _NO_BITS, _NO_BITS, _NONE, _NONE, _NO_BITS > 0)


def _packed(flags: Flags) -> Bits:
    """Flags [A, T, N] as bits [A, N]."""
    bits: Bits = np.einsum("atn,t->an", flags, _BITS[: flags.shape[1]], dtype=np.uint16, casting="unsafe")
    return bits


def _unpacked(bits: Bits) -> Flags:
    flags: Flags = (bits & _BITS[:, None]) > 0
    return flags


def _rows_by_class(numbers: NDArray[np.int32], classes: int) -> list[NDArray[np.int64]]:
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.searchsorted(numbers[order], np.arange(1, classes + 1)))[:classes]


def _shared(numbers: NDArray[np.integer]) -> list[int]:
    values, places = np.unique(numbers, return_inverse=True)
    shared: list[int] = values.astype(object)[places].tolist()
    return shared
