"""Detection: Pascal VOC average precision at IoU 0.5, as of 2007 and as of 2010-2012.

In: samples with human boxes of classes, and a grounder's candidates for the same list of classes. Out: ``voc07_AP`` or
``voc12_AP``, the mean over classes that have a human box that counts, the same of each class, and the detections as
they came out, for the gate's bootstrap.
Source: Everingham et al., "The Pascal Visual Object Classes Challenge" (IJCV 2010) and the development
kit's VOCevaldet.m and VOCap.m.

Unlike COCO's: a detection is held against the human box that it overlaps *most*, and is wrong where that one is taken,
whatever else it overlaps. One whose best box is *difficult* counts neither way, and that box is not asked for. VOC
counts a box from its first to its last pixel, both included; boxes here end where the last pixel ends, which gives the
same overlap without adding 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.metrics import Figures, ImageResult, image_key
from engine.metrics.class_boxes import Pictures, detections, overlapping
from engine.metrics.matching import Matches
from engine.metrics.precision import MatchedBoxes
from schemas.reports import DetectionMatches, MetricValue

MIN_IOU = 0.5
Year = Literal[2007, 2012]


def voc_average_precision(results: Iterable[ImageResult], classes: Sequence[str], *, year: Year) -> Figures:
    """``vocYY_AP`` and ``vocYY_AP/class`` for each class that has a human box that counts; None where no class has one.

    Candidates of an image are not limited in number; equal scores keep the order of images. ValueError where a sample
    has a phrase with boxes that is no class.
    """
    name, area = f"voc{year % 100:02}_AP", AREAS[year]
    keys: list[str] = []
    parts: list[MatchedBoxes] = []
    for pictures in detections(results, classes):
        keys += map(image_key, pictures.gold)
        parts.append(_judged(pictures))
    values, matches = [], []
    for class_name, of_class in zip(classes, MatchedBoxes.together(parts).by_class(len(classes)), strict=True):
        count = int(of_class.wanted[0].sum())
        if count:
            value = area(of_class.right[0] > 0, count)
            values.append(MetricValue(name=f"{name}/{class_name}", value=value, count=count))
            matches.append(of_class.class_matches(class_name, ()))
    mean = float(np.mean([metric.value for metric in values])) if values else None
    return Figures(
        [MetricValue(name=name, value=mean, count=sum(metric.count for metric in values)), *values],
        voc=DetectionMatches(images=keys, classes=matches),
    )


def _judged(pictures: Pictures) -> MatchedBoxes:
    """The detections that count, each right or not, at one threshold and of all areas."""
    best = _best_human(pictures)
    on_human = np.flatnonzero(best >= 0)
    right = np.zeros((1, 1, len(best)), dtype=np.bool_)
    right[0, 0, on_human[np.unique(best[on_human], return_index=True)[1]]] = True  # the first one of each human box
    counted = np.ones(len(best), dtype=np.bool_)
    counted[on_human] = ~pictures.difficult[best[on_human]]
    matches = Matches(right, np.zeros_like(right), ~pictures.difficult[None])
    return MatchedBoxes.of(pictures.found, pictures.scores, pictures.human, matches).take(counted)


def _best_human(pictures: Pictures) -> NDArray[np.int64]:
    """For each detection the human box of its class that it overlaps most; -1 where that overlap is below
    ``MIN_IOU``."""
    pairs = overlapping(pictures.found, pictures.human, MIN_IOU)
    pairs = pairs.take(np.lexsort((pairs.human, -pairs.iou, pairs.found)))
    best = np.full(len(pictures.found), -1, dtype=np.int64)
    found, first = np.unique(pairs.found, return_index=True)
    best[found] = pairs.human[first]
    return best


def eleven_point_area(right: NDArray[np.bool_], wanted: int) -> float:
    """The mean, over recall 0, 0.1, ..., 1, of the best precision at that recall or above (2007).

    ``right``: [N], whether each detection that counts is right, best score first; ``wanted``: boxes to be found, > 0.
    Recall is compared in whole numbers: 3 of 10 boxes reach recall 0.3, which 0.1 * 3 in floating point denies.
    """
    found, precision = _curve(right)
    best = [precision[found * 10 >= level * wanted].max(initial=0.0) for level in range(11)]
    return float(np.mean(best))


def interpolated_area(right: NDArray[np.bool_], wanted: int) -> float:
    """The area under the precision-recall curve, precision made to fall from right to left (2010 and after).

    Arguments as of :func:`eleven_point_area`. Recall grows by 1 / ``wanted`` at each right detection.
    """
    _, precision = _curve(right)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / wanted)


AREAS: dict[Year, Callable[[NDArray[np.bool_], int], float]] = {2007: eleven_point_area, 2012: interpolated_area}


def _curve(right: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """After each detection, how many were right so far, and which share."""
    found = np.cumsum(right, dtype=np.int64)
    return found, found / np.arange(1, len(right) + 1)
