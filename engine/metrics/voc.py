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

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.metrics import Figures, ImageResult, image_identity
from engine.metrics.overlap import Boxes, as_boxes, iou
from schemas.reports import ClassMatches, DetectionMatches, MetricValue
from schemas.shards import SampleBox

MIN_IOU = 0.5
Year = Literal[2007, 2012]


def voc_average_precision(results: Sequence[ImageResult], classes: Sequence[str], *, year: Year) -> Figures:
    """``vocYY_AP`` and ``vocYY_AP/class`` for each class that has a human box that counts; None where no class has one.

    Candidates of an image are not limited in number; equal scores keep the order of images. ValueError where a sample
    has a phrase with boxes that is no class.
    """
    _refuse_strangers(results, classes)
    name, area = f"voc{year % 100:02}_AP", AREAS[year]
    found = [_matches(results, number, class_name) for number, class_name in enumerate(classes)]
    found = [one for one in found if one.gold]
    values = [
        MetricValue(
            name=f"{name}/{one.name}",
            value=area(np.array(one.right, dtype=np.bool_), len(one.gold)),
            count=len(one.gold),
        )
        for one in found
    ]
    mean = float(np.mean([metric.value for metric in values])) if values else None
    return Figures(
        [MetricValue(name=name, value=mean, count=sum(metric.count for metric in values)), *values],
        voc=DetectionMatches(images=[image_identity(result.gold) for result in results], classes=found),
    )


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


def _matches(results: Sequence[ImageResult], number: int, name: str) -> ClassMatches:
    """The detections of a class that count, best score first, and the images of the boxes that are to be found."""
    scores: list[float] = []
    best: list[tuple[int, int | None]] = []  # image and human box that each detection is held against
    difficult: set[tuple[int, int | None]] = set()
    gold: list[int] = []
    for image, result in enumerate(results):
        boxes = [box for box in result.gold.boxes if result.gold.phrases[box.phrase].text == name]
        gold += [image for box in boxes if not box.difficult]
        difficult.update((image, place) for place, box in enumerate(boxes) if box.difficult)
        mine = [one for one in result.candidates if one.phrase == number]
        scores += [one.score for one in mine]
        best += [(image, place) for place in _best_boxes(as_boxes([one.box_xyxy for one in mine]), boxes)]
    ranked = (best[place] for place in np.argsort(-np.array(scores), kind="stable"))
    counted = [one for one in ranked if one not in difficult]
    images, right = [image for image, _ in counted], _right(counted)
    return ClassMatches(name=name, gold=gold, image=images, right=right, ignored=[0] * len(right))


def _best_boxes(found: Boxes, gold: Sequence[SampleBox]) -> list[int | None]:
    """For each box, the place of the human box that it overlaps most, None where that is less than it takes."""
    overlaps = iou(found, as_boxes([box.box_xyxy for box in gold]))
    return [int(row.argmax()) if row.max(initial=0.0) >= MIN_IOU else None for row in overlaps]


def _right(best: Sequence[tuple[int, int | None]]) -> list[int]:
    """1 for the first detection of a human box, 0 for later ones and those of none."""
    taken: set[tuple[int, int | None]] = set()
    right = []
    for box in best:
        right.append(int(box[1] is not None and box not in taken))
        taken.add(box)
    return right
