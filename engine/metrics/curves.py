"""Precision over recall, as a curve a person reads: how much is right among what has a score of at least so much.

In: boxes that were judged, and how many things were to be found. Out: a :class:`PrecisionRecall` for a dataset. In
detection the precision at each of 101 recalls is the best at that or a higher one, averaged over classes (COCO's way;
its mean is AP50); in grounding each phrase has one box, its best, so precision and recall are over phrases.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.metrics.judged_boxes import MISSED, RIGHT, JudgedBoxes, JudgedPart
from schemas.reports import PrecisionRecall

RECALLS = np.linspace(0, 1, 101)


def phrase_curve(judged: JudgedBoxes) -> PrecisionRecall | None:
    """The curve of each phrase's best box, in at most 101 points of falling score; None where none was answered."""
    parts = judged.parts
    score = np.concatenate([part.score[part.rank == 1] for part in parts] or [np.zeros(0)])
    if not len(score):
        return None
    outcome = np.concatenate([part.outcome[part.rank == 1] for part in parts])
    order = np.argsort(-score, kind="stable")
    right, falling = np.cumsum(outcome[order] == RIGHT), -score[order]
    phrases = len(score) + sum(map(_never_answered, parts))
    rows = np.linspace(0, len(score) - 1, min(101, len(score))).round().astype(int)
    rows = np.unique(np.searchsorted(falling, falling[rows], side="right") - 1)  # of equal scores all or none are in
    return PrecisionRecall(
        over="phrases",
        recall=(right[rows] / phrases).tolist(),
        precision=(right[rows] / (rows + 1)).tolist(),
        score=score[order[rows]].tolist(),
    )


def _never_answered(part: JudgedPart) -> int:
    """The number of phrases that have a human box but no candidate: all of them are missed."""
    phrase = (part.sample.astype(np.int64) << 32) + part.number
    return int((~np.isin(phrase[part.outcome == MISSED], phrase[part.rank == 1])).sum())


def class_curve(judged: JudgedBoxes, boxes: Mapping[str, int]) -> PrecisionRecall | None:
    """The mean curve of the classes that have human ``boxes``, at 101 recalls; None where there is no human box.

    ``score`` is empty, since each class reaches a recall at another score.
    """
    counted = {name: count for name, count in boxes.items() if count}
    if not counted:
        return None
    parts = judged.parts
    name = np.concatenate([_places(part, counted)[part.rank > 0] for part in parts])
    score = np.concatenate([part.score[part.rank > 0] for part in parts])
    right = np.concatenate([part.outcome[part.rank > 0] == RIGHT for part in parts])
    order = np.lexsort((-score, name))
    of_class = np.split(right[order], np.searchsorted(name[order], np.arange(len(counted) + 1)))[1:-1]
    curves = [_of_class(ranked, count) for ranked, count in zip(of_class, counted.values(), strict=True)]
    return PrecisionRecall(
        over="classes", recall=RECALLS.tolist(), precision=np.mean(curves, axis=0).tolist(), score=[]
    )


def _places(part: JudgedPart, names: Mapping[str, int]) -> NDArray[np.int32]:
    """The place of each box's name among ``names``, -1 where it is none of them."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(name, -1) for name in part.names], dtype=np.int32)[part.name]


def _of_class(right: NDArray[np.bool_], gold: int) -> NDArray[np.float64]:
    """Interpolated precision [101] of the boxes of one class, best first, at IoU 0.5."""
    found = np.cumsum(right)
    precision = np.zeros(len(RECALLS))
    if len(right):
        reached = np.searchsorted(found / gold, RECALLS, side="left")
        best = np.maximum.accumulate((found / np.arange(1, len(right) + 1))[::-1])[::-1]
        precision[reached < len(right)] = best[reached[reached < len(right)]]
    return precision
