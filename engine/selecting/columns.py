"""The rules of a selection on columns: millions of boxes at once, out of the annotation tables and without the shards.

In: the candidates of many images as columns. Out: which rows stay, and how many each rule dropped. Reasons, order and
answers are those of :mod:`engine.selecting.rules`, rule by rule; ``tests/engine/test_selection_columns.py`` compares
them.

Tables keep scores and coordinates as float32 of short decimals: read back as those decimals, they decide as the
``.json`` members do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.selecting.calibrated_scores import LARGE_FROM, MEDIUM_FROM
from engine.selecting.rules import ABSTRACT_HEADS, RULES, WHOLE_SIDE, Selection
from schemas.calibration import BOX_SIZES, FREQUENCIES, GROUPS

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
        """Some of the rows."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return BoxColumns(**{name: one if name == "heads" else one[rows] for name, one in columns.items()})

    def shares(self) -> Floats:
        """Area of each box as a share of its image."""
        x1, y1, x2, y2 = self.boxes_xyxy.T
        found: Floats = (x2 - x1) * (y2 - y1) / (self.width * self.height)
        return found


def select_rows(columns: BoxColumns, selection: Selection) -> tuple[Mask, Counter[str]]:
    """Which rows stay (N), and the number of boxes that each rule dropped."""
    stays = np.ones(len(columns), dtype=bool)
    dropped: Counter[str] = Counter()
    for reason, rule in COLUMN_RULES.items():
        rows = np.flatnonzero(stays)
        out = rule(columns if len(rows) == len(columns) else columns.take(rows), selection) if len(rows) else None
        if out is not None and out.any():
            stays[rows[out]] = False
            dropped[reason] = int(out.sum())
    return stays, dropped


# A rule says which of the rows that are still in it drops; None where it is off.
ColumnRule = Callable[[BoxColumns, Selection], "Mask | None"]


def _score_not_above_min(columns: BoxColumns, selection: Selection) -> Mask | None:
    return None if selection.min_score is None else columns.score <= selection.min_score


def group_numbers(columns: BoxColumns, selection: Selection) -> Integers:
    """Of each box the number of its group of the calibration: frequency by frequency, and size by size within."""
    assert selection.calibrated is not None
    known = selection.calibrated.frequencies
    frequency = np.array([FREQUENCIES.index(known.get(head, "unseen")) for head in columns.heads], dtype=np.int64)
    shares = columns.shares()
    size = (shares >= MEDIUM_FROM).astype(np.int64) + (shares >= LARGE_FROM)
    found: Integers = frequency[columns.head] * len(BOX_SIZES) + size
    return found


def _least_scores(columns: BoxColumns, selection: Selection) -> Floats:
    """Of each box the lowest score that its group keeps; NaN where it keeps none."""
    assert selection.calibrated is not None
    scores = selection.calibrated.min_scores
    least: Floats = np.array([np.nan if (one := scores[group]) is None else one for group in GROUPS])
    return least[group_numbers(columns, selection)]


def _precision_out_of_reach(columns: BoxColumns, selection: Selection) -> Mask | None:
    return None if selection.calibrated is None else np.isnan(_least_scores(columns, selection))


def _score_below_calibrated(columns: BoxColumns, selection: Selection) -> Mask | None:
    return None if selection.calibrated is None else columns.score < _least_scores(columns, selection)


def _agreement_below_min(columns: BoxColumns, selection: Selection) -> Mask | None:
    return None if selection.min_agreement is None else columns.agreement < selection.min_agreement


def _box_share_below_min(columns: BoxColumns, selection: Selection) -> Mask | None:
    return None if selection.min_box_share is None else columns.shares() < selection.min_box_share


def _box_share_above_max(columns: BoxColumns, selection: Selection) -> Mask | None:
    return None if selection.max_box_share is None else columns.shares() > selection.max_box_share


def _box_whole_image(columns: BoxColumns, selection: Selection) -> Mask | None:
    if not selection.drop_whole_image:
        return None
    x1, y1, x2, y2 = columns.boxes_xyxy.T
    whole: Mask = (x2 - x1 >= WHOLE_SIDE * columns.width) & (y2 - y1 >= WHOLE_SIDE * columns.height)
    return whole


def _phrase_abstract(columns: BoxColumns, selection: Selection) -> Mask | None:
    if not selection.drop_abstract:
        return None
    abstract = np.array([head in ABSTRACT_HEADS for head in columns.heads], dtype=bool)
    found: Mask = abstract[columns.head]
    return found


def _phrase_contained(columns: BoxColumns, selection: Selection) -> Mask | None:
    if not selection.drop_contained:
        return None
    _, first, phrase_of_row = np.unique(_phrase_numbers(columns), return_index=True, return_inverse=True)
    image, start, end = columns.image[first], columns.start[first], columns.end[first]
    inner = np.zeros(len(first), dtype=bool)
    for one, other in _pairs(image):
        longer = end[one] - start[one] > end[other] - start[other]
        outside, inside = np.where(longer, one, other), np.where(longer, other, one)
        holds = (start[outside] <= start[inside]) & (end[inside] <= end[outside])
        inner[inside[holds & (end[one] - start[one] != end[other] - start[other])]] = True
    return inner[phrase_of_row]


def _box_overlaps_better(columns: BoxColumns, selection: Selection) -> Mask | None:
    """Greedy suppression of all images at once: a box that no better one still in overlaps stays, and drops those it
    overlaps; what is left is asked again. Each turn decides at least the best box left of every image."""
    if selection.max_overlap is None:
        return None
    order = np.lexsort((-columns.score, columns.image))  # stable: of equal scores the first box is the better
    boxes, image = columns.boxes_xyxy[order], columns.image[order]
    overlapping = [
        (better[over], worse[over])
        for better, worse in _pairs(image)
        if (over := _iou(boxes[better], boxes[worse]) > selection.max_overlap).any()
    ]
    dropped = np.zeros(len(order), dtype=bool)
    if overlapping:
        better, worse = (np.concatenate(side) for side in zip(*overlapping, strict=True))
        while len(worse):
            open_rows = np.zeros(len(order), dtype=bool)
            open_rows[worse] = True
            dropped[worse[~open_rows[better]]] = True
            alive = ~dropped[better] & ~dropped[worse]
            better, worse = better[alive], worse[alive]
    found = np.empty(len(order), dtype=bool)
    found[order] = dropped
    return found


def _box_beyond_max_of_phrase(columns: BoxColumns, selection: Selection) -> Mask | None:
    most = selection.max_boxes_per_phrase
    if most is None:
        return None
    phrases = _phrase_numbers(columns)
    order = np.lexsort((-columns.score, phrases))
    begins = np.flatnonzero(np.diff(phrases[order], prepend=phrases[order[:1]] - 1))
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    found = np.empty(len(order), dtype=bool)
    found[order] = rank >= most
    return found


def _image_best_not_above_min(columns: BoxColumns, selection: Selection) -> Mask | None:
    if selection.min_best_score is None:
        return None
    begins = np.flatnonzero(np.diff(columns.image, prepend=columns.image[:1] - 1))
    best = np.maximum.reduceat(columns.score, begins)
    low: Mask = np.repeat(best <= selection.min_best_score, np.diff(begins, append=len(columns)))
    return low


_OF_REASON: dict[str, ColumnRule] = {
    "score_not_above_min": _score_not_above_min,
    "precision_out_of_reach": _precision_out_of_reach,
    "score_below_calibrated": _score_below_calibrated,
    "agreement_below_min": _agreement_below_min,
    "box_share_below_min": _box_share_below_min,
    "box_share_above_max": _box_share_above_max,
    "box_whole_image": _box_whole_image,
    "phrase_abstract": _phrase_abstract,
    "phrase_contained": _phrase_contained,
    "box_overlaps_better": _box_overlaps_better,
    "box_beyond_max_of_phrase": _box_beyond_max_of_phrase,
    "image_best_not_above_min": _image_best_not_above_min,
}
COLUMN_RULES = {reason: _OF_REASON[reason] for reason in RULES}  # in the order in which they are applied


def _phrase_numbers(columns: BoxColumns) -> Integers:
    """A number for each phrase of each image; rising with the image."""
    numbers: Integers = (columns.image - columns.image[0]) * (columns.phrase.max() + 1) + columns.phrase
    return numbers


def _pairs(image: Integers) -> Iterator[tuple[Integers, Integers]]:
    """All pairs of rows of one image, the earlier row first, a distance between them at a time. ``image`` is sorted."""
    first = np.arange(len(image))
    for distance in range(1, len(image)):
        first = first[: np.searchsorted(first, len(image) - distance)]
        first = first[image[first] == image[first + distance]]
        if not len(first):
            return
        yield first, first + distance


def _iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of N pairs of boxes, in the order of operations of :func:`engine.selecting.rules.iou`."""
    width = np.minimum(first[:, 2], second[:, 2]) - np.maximum(first[:, 0], second[:, 0])
    height = np.minimum(first[:, 3], second[:, 3]) - np.maximum(first[:, 1], second[:, 1])
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    areas = [(box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) for box in (first, second)]
    total = areas[0] + areas[1] - shared
    found: Floats = np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
    return found
