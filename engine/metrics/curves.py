"""Precision over recall, as a curve a person reads: how much is right among what has a score of at least so much.

In: boxes that were judged, and how many things were to be found. Out: a :class:`PrecisionRecall` for a dataset. In
detection the precision at each of 101 recalls is the best at that or a higher one, averaged over classes (COCO's way;
its mean is AP50); in grounding each phrase has one box, its best, so precision and recall are over phrases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.metrics.judged import JudgedBox
from schemas.reports import PrecisionRecall

RECALLS = np.linspace(0, 1, 101)


def phrase_curve(judged: Sequence[JudgedBox]) -> PrecisionRecall | None:
    """The curve of each phrase's best box, in at most 101 points of falling score; None where none was answered."""
    best = sorted((one for one in judged if one.rank == 1), key=lambda one: -one.score)
    phrases = len(best) + _never_answered(judged)
    if not best:
        return None
    right = np.cumsum([one.verdict == "right" for one in best])
    rows = np.unique(np.linspace(0, len(best) - 1, min(101, len(best))).round().astype(int))
    return PrecisionRecall(
        over="phrases",
        recall=(right[rows] / phrases).tolist(),
        precision=(right[rows] / (rows + 1)).tolist(),
        score=[best[row].score for row in rows],
    )


def _never_answered(judged: Sequence[JudgedBox]) -> int:
    """How many phrases have a human box and no candidate: they are missed, and have no box of rank 1 before that."""
    answered = {(one.key, one.number) for one in judged if one.rank == 1}
    return sum(one.verdict == "missed" and (one.key, one.number) not in answered for one in judged)


def class_curve(judged: Sequence[JudgedBox], boxes: Mapping[str, int]) -> PrecisionRecall | None:
    """The mean curve of the classes that have human ``boxes``, at 101 recalls; None where there is no human box.

    ``score`` is empty, since each class reaches a recall at another score.
    """
    counted = {name: count for name, count in boxes.items() if count}
    if not counted:
        return None
    by_name = defaultdict(list)
    for one in judged:
        by_name[one.name].append(one)
    curves = [_of_class(by_name[name], count) for name, count in counted.items()]
    return PrecisionRecall(
        over="classes", recall=RECALLS.tolist(), precision=np.mean(curves, axis=0).tolist(), score=[]
    )


def _of_class(judged: Sequence[JudgedBox], gold: int) -> NDArray[np.float64]:
    """Interpolated precision [101] of the boxes of one class at IoU 0.5."""
    ranked = sorted((one for one in judged if one.rank), key=lambda one: -one.score)
    right = np.cumsum([one.verdict == "right" for one in ranked])
    precision = np.zeros(len(RECALLS))
    if len(ranked):
        reached = np.searchsorted(right / gold, RECALLS, side="left")
        best = np.maximum.accumulate((right / np.arange(1, len(ranked) + 1))[::-1])[::-1]
        precision[reached < len(ranked)] = best[reached[reached < len(ranked)]]
    return precision
