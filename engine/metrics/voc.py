"""Detection: Pascal VOC average precision at IoU 0.5, as of 2007 and as of 2010-2012.

In: samples with human boxes of classes, and a grounder's candidates for the same list of classes. Out: ``voc07_AP`` or
``voc12_AP``, the mean over classes that have a human box that counts, and the same of each class.
Source: Everingham et al., "The Pascal Visual Object Classes Challenge" (IJCV 2010) and the development
kit's VOCevaldet.m and VOCap.m.

Unlike COCO's: a detection is held against the human box that it overlaps *most*, and is wrong where that one is taken,
whatever else it overlaps. One whose best box is *difficult* counts neither way. VOC counts a box from its first to its
last pixel, both included; boxes here end where the last pixel ends, which gives the same overlap without adding 1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.metrics import Figures, ImageResult
from engine.metrics.overlap import as_boxes, iou
from schemas.reports import MetricValue
from schemas.shards import SampleLabels

MIN_IOU = 0.5
Year = Literal[2007, 2012]
Difficult = Mapping[str, Collection[int]]


def voc_average_precision(
    results: Sequence[ImageResult], classes: Sequence[str], *, year: Year, difficult: Difficult | None = None
) -> Figures:
    """``vocYY_AP`` and ``vocYY_AP/class`` for each class that has a human box; None where no class has one.

    ``difficult``: by the key of a sample, the positions in ``gold.boxes`` of the boxes that are neither asked for nor
    held against a detection. Candidates of an image are not limited in number; equal scores keep the order of images.
    ValueError where a sample has a phrase with boxes that is no class.
    """
    _refuse_strangers(results, classes)
    name, area = f"voc{year % 100:02}_AP", AREAS[year]
    values = []
    for number, class_name in enumerate(classes):
        right, wanted = _ranked_hits(results, number, class_name, difficult or {})
        if wanted:
            values.append(MetricValue(name=f"{name}/{class_name}", value=area(right, wanted), count=wanted))
    mean = float(np.mean([metric.value for metric in values])) if values else None
    return Figures([MetricValue(name=name, value=mean, count=sum(metric.count for metric in values)), *values])


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


def _refuse_strangers(results: Sequence[ImageResult], classes: Sequence[str]) -> None:
    for result in results:
        for box in result.gold.boxes:
            name = result.gold.phrases[box.phrase].text
            if name not in classes:
                raise ValueError(
                    f"sample {result.gold.key!r} has boxes of {name!r}, which is not among the {len(classes)} classes "
                    "of its dataset.json; import the dataset again"
                )


def _ranked_hits(
    results: Sequence[ImageResult], number: int, name: str, difficult: Difficult
) -> tuple[NDArray[np.bool_], int]:
    """Whether each detection of a class that counts is right, best score first; and how many boxes are to be found."""
    scores: list[float] = []
    best: list[tuple[int, int] | None] = []  # image and human box that each detection is held against
    ignored: set[tuple[int, int]] = set()
    wanted = 0
    for image, result in enumerate(results):
        boxes, hard = _gold_of_class(result.gold, name, difficult.get(result.gold.key, ()))
        wanted += len(boxes) - len(hard)
        ignored.update((image, box) for box in hard)
        mine = [one for one in result.candidates if one.phrase == number]
        overlaps = iou(as_boxes([one.box_xyxy for one in mine]), as_boxes(boxes))
        for candidate, row in zip(mine, overlaps, strict=True):
            scores.append(candidate.score)
            best.append((image, int(row.argmax())) if row.max(initial=0.0) >= MIN_IOU else None)
    order = np.argsort(-np.array(scores), kind="stable")
    return _judged([best[place] for place in order], ignored), wanted


def _gold_of_class(
    gold: SampleLabels, name: str, difficult: Collection[int]
) -> tuple[list[tuple[float, float, float, float]], list[int]]:
    """The boxes of a class, and which of them are difficult."""
    places = [place for place, box in enumerate(gold.boxes) if gold.phrases[box.phrase].text == name]
    return [gold.boxes[place].box_xyxy for place in places], [n for n, place in enumerate(places) if place in difficult]


def _judged(best: Sequence[tuple[int, int] | None], ignored: set[tuple[int, int]]) -> NDArray[np.bool_]:
    """The first detection of a box is right, later ones are wrong, those of ignored boxes are left out."""
    taken: set[tuple[int, int]] = set()
    right = []
    for box in best:
        if box in ignored:
            continue
        right.append(box is not None and box not in taken)
        if box is not None:
            taken.add(box)
    return np.array(right, dtype=np.bool_)
