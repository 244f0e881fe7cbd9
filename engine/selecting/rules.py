"""The rules of a selection: one function and one reason per rule, applied in the order of ``RULES``, to columns.

In: candidate boxes of one image or of millions (:class:`~engine.selecting.columns.BoxColumns`), and the numbers of the
selection. Out: which rows stay, and how many each rule dropped. To add a rule: a field of :class:`Selection`, and a
function here with a line in ``RULES``.

Sources: GLIP section 3.3 (scores), Kosmos-2 section 2.1 (abstract nouns, containment, suppression across phrases),
OWL-ST section 3.1 (the image's best score). The calibrated scores are this project's (``engine/calibration.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pydantic import Field

from engine.metrics.overlap import paired_iou
from engine.selecting.calibrated_scores import CalibratedScores, size_numbers
from engine.selecting.columns import BoxColumns, Floats, Integers, Mask
from schemas.calibration import BOX_SIZES, FREQUENCIES, GROUPS
from schemas.recipes import Recipe


class Selection(Recipe):
    """The numbers of a selection; each turns on one rule, and the defaults keep every box."""

    min_score: float | None = Field(default=None, ge=0, lt=1)
    """A box scores more than this."""
    drop_abstract: bool = False
    """Phrases whose head is no thing to be seen ("time", "love") get no box."""
    drop_contained: bool = False
    """A phrase inside a longer phrase that has a box gets none of its own ("a dog" in "a dog in a field")."""
    max_overlap: float | None = Field(default=None, gt=0, le=1)
    """Of two boxes with a larger IoU, of any phrases, the better one stays."""
    min_box_share: float | None = Field(default=None, gt=0, le=1)
    """A box covers at least this share of the image's area."""
    max_box_share: float | None = Field(default=None, gt=0, le=1)
    """A box covers at most this share of the image's area."""
    drop_whole_image: bool = False
    """A box that is as wide and as high as the image, but for 2 %, goes: what a teacher answers with when it finds
    nothing, and what phrases that name the picture get."""
    max_boxes_per_phrase: int | None = Field(default=None, gt=0)
    """Of a phrase with more boxes that are in so far, the best few stay."""
    min_agreement: float | None = Field(default=None, gt=0, le=1)
    """Of an ensemble's labels: the boxes of its two teachers have at least this IoU. From 0.5 on two boxes count as
    one, and what one teacher alone found has 0: any value up to 0.5 keeps what both found."""
    min_best_score: float | None = Field(default=None, ge=0, lt=1)
    """The image keeps its boxes only if its best one scores more than this."""
    calibrated: CalibratedScores | None = None
    """A box scores at least what a calibration asks of its group."""

    def identity(self) -> dict[str, object]:
        """What the selection does, as a JSON value to be digested: rules that are off do not show."""
        return self.model_dump(mode="json", exclude_defaults=True)


# Heads that GRIT-like pipelines drop: Kosmos-2 names "time, love, freedom" and gives no list; these are of that kind
# and frequent in captions.
_ABSTRACT = """
time love freedom day year moment life idea way thing reason fact beauty hope peace joy fun happiness sadness anger fear
success failure future past present history culture experience opportunity knowledge information education health safety
security support help service quality value price cost style fashion concept theme mood feeling emotion thought dream
memory secret truth death power energy strength spirit faith luck chance choice decision result effect cause problem
solution difference attention interest importance
"""
ABSTRACT_HEADS = frozenset(_ABSTRACT.split())
WHOLE_SIDE = 0.98  # of the image's, of a box that is the whole image


# A rule gets the boxes that are still in and the value of its field, and says which of them it drops.
Rule = Callable[[BoxColumns, Any], Mask]


def score_not_above_min(columns: BoxColumns, min_score: float) -> Mask:
    return columns.score <= min_score


def precision_out_of_reach(columns: BoxColumns, calibrated: CalibratedScores) -> Mask:
    return np.isnan(_least_scores(columns, calibrated))


def score_below_calibrated(columns: BoxColumns, calibrated: CalibratedScores) -> Mask:
    return columns.score < _least_scores(columns, calibrated)


def _least_scores(columns: BoxColumns, calibrated: CalibratedScores) -> Floats:
    """For each box the lowest score that its group keeps; NaN where the group keeps none."""
    scores = calibrated.min_scores
    least: Floats = np.array([np.nan if (one := scores[group]) is None else one for group in GROUPS])
    return least[group_numbers(columns, calibrated)]


def group_numbers(columns: BoxColumns, calibrated: CalibratedScores) -> Integers:
    """For each box the number of its calibration group, as in :class:`engine.calibration.Evidence`."""
    known = calibrated.frequencies
    frequency = np.array([FREQUENCIES.index(known.get(head, "unseen")) for head in columns.heads], dtype=np.int64)
    found: Integers = frequency[columns.head] * len(BOX_SIZES) + size_numbers(columns.shares())
    return found


def agreement_below_min(columns: BoxColumns, min_agreement: float) -> Mask:
    return columns.agreement < min_agreement


def box_share_below_min(columns: BoxColumns, min_box_share: float) -> Mask:
    return columns.shares() < min_box_share


def box_share_above_max(columns: BoxColumns, max_box_share: float) -> Mask:
    return columns.shares() > max_box_share


def box_whole_image(columns: BoxColumns, _: bool) -> Mask:
    x1, y1, x2, y2 = columns.boxes_xyxy.T
    whole: Mask = (x2 - x1 >= WHOLE_SIDE * columns.width) & (y2 - y1 >= WHOLE_SIDE * columns.height)
    return whole


def phrase_abstract(columns: BoxColumns, _: bool) -> Mask:
    abstract = np.array([head in ABSTRACT_HEADS for head in columns.heads], dtype=bool)
    found: Mask = abstract[columns.head]
    return found


def phrase_contained(columns: BoxColumns, _: bool) -> Mask:
    first, phrase_of_row = np.unique(columns.phrase_numbers(), return_index=True, return_inverse=True)[1:]
    image, start, end = columns.image[first], columns.start[first], columns.end[first]
    inner = np.zeros(len(first), dtype=bool)
    for one, other in _pairs(image):
        longer = end[one] - start[one] > end[other] - start[other]
        outside, inside = np.where(longer, one, other), np.where(longer, other, one)
        holds = (start[outside] <= start[inside]) & (end[inside] <= end[outside])
        inner[inside[holds & (end[one] - start[one] != end[other] - start[other])]] = True
    return inner[phrase_of_row]


def box_overlaps_better(columns: BoxColumns, max_overlap: float) -> Mask:
    """Greedy suppression of all images at once: a box that no better one still in overlaps stays, and drops those it
    overlaps; what is left is asked again. Each turn decides at least the best box left of every image."""
    order = np.lexsort((-columns.score, columns.image))  # stable: of equal scores the first box is the better
    boxes, image = columns.boxes_xyxy[order], columns.image[order]
    overlapping = [
        (better[over], worse[over])
        for better, worse in _pairs(image)
        if (over := paired_iou(boxes[better], boxes[worse]) > max_overlap).any()
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


def box_beyond_max_of_phrase(columns: BoxColumns, max_boxes: int) -> Mask:
    phrases = columns.phrase_numbers()
    order = np.lexsort((-columns.score, phrases))
    begins = np.flatnonzero(np.diff(phrases[order], prepend=phrases[order[:1]] - 1))
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    found = np.empty(len(order), dtype=bool)
    found[order] = rank >= max_boxes
    return found


def image_best_not_above_min(columns: BoxColumns, min_best_score: float) -> Mask:
    begins = np.flatnonzero(np.diff(columns.image, prepend=columns.image[:1] - 1))
    best = np.maximum.reduceat(columns.score, begins)
    low: Mask = np.repeat(best <= min_best_score, np.diff(begins, append=len(columns)))
    return low


# Reason > field and rule, in the order in which they are applied. The name of a reason says the failure.
RULES: dict[str, tuple[str, Rule]] = {
    "score_not_above_min": ("min_score", score_not_above_min),
    "precision_out_of_reach": ("calibrated", precision_out_of_reach),
    "score_below_calibrated": ("calibrated", score_below_calibrated),
    "agreement_below_min": ("min_agreement", agreement_below_min),
    "box_share_below_min": ("min_box_share", box_share_below_min),
    "box_share_above_max": ("max_box_share", box_share_above_max),
    "box_whole_image": ("drop_whole_image", box_whole_image),
    "phrase_abstract": ("drop_abstract", phrase_abstract),
    "phrase_contained": ("drop_contained", phrase_contained),
    "box_overlaps_better": ("max_overlap", box_overlaps_better),
    "box_beyond_max_of_phrase": ("max_boxes_per_phrase", box_beyond_max_of_phrase),
    "image_best_not_above_min": ("min_best_score", image_best_not_above_min),
}


def select_rows(columns: BoxColumns, selection: Selection, vouched: Mask | None = None) -> tuple[Mask, Counter[str]]:
    """Which rows stay (N), and the number of boxes that each rule dropped; ``vouched`` rows stay whatever it says."""
    stays = np.ones(len(columns), dtype=bool)
    dropped: Counter[str] = Counter()
    for reason, (field, rule) in RULES.items():
        value = getattr(selection, field)
        if value is None or value is False or not stays.any():
            continue
        rows = np.flatnonzero(stays)
        out = rule(columns if len(rows) == len(columns) else columns.take(rows), value)
        if vouched is not None:
            out = out & ~vouched[rows]
        if out.any():
            stays[rows[out]] = False
            dropped[reason] = int(out.sum())
    return stays, dropped


def _pairs(image: Integers) -> Iterator[tuple[Integers, Integers]]:
    """All pairs of rows of one image, the earlier row first, a distance between them at a time. ``image`` is sorted."""
    first = np.arange(len(image))
    for distance in range(1, len(image)):
        first = first[: np.searchsorted(first, len(image) - distance)]
        first = first[image[first] == image[first + distance]]
        if not len(first):
            return
        yield first, first + distance
