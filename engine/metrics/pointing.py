"""The pointing game: whether the centre of the best box lies on what was asked for.

In: samples with human boxes, and a grounder's candidates for the same phrases or classes. Out: hits / (hits + misses).
The game is of Zhang et al., "Top-down Neural Attention by Excitation Backprop" (ECCV 2016), for heat maps:
the peak hits when it lies on any annotated instance, or within 15 pixels of one; the accuracies of classes are
averaged. A class of which all boxes in a picture are *difficult* (Pascal VOC) is not asked for there, as in TorchRay,
the evaluation of Fong et al. (ICCV 2019). On phrases (Akbari et al., CVPR 2019) the game is played without a margin and
all phrases count alike. A box has no peak: its centre stands for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.metrics import Figures, ImageResult, combined, image_key, share_of_hits
from engine.metrics.candidates import Candidates
from engine.metrics.grounding import boxes_by_phrase
from engine.metrics.overlap import Boxes
from schemas.reports import MetricValue

NAME = "pointing"
CLASS_MARGIN_PX = 15.0

Point = NDArray[np.float64]


def pointing_at_phrases(results: Iterable[ImageResult]) -> Figures:
    """``pointing`` in [0, 1], without a margin, over all phrases that have a human box; None where there is none."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for result in results:
        points = _best_centres(result.found)
        for phrase, gold in boxes_by_phrase(result.gold).items():
            hits[image_key(result.gold)].append(_points_at(points.get(phrase), gold, 0.0))
    return share_of_hits(NAME, hits)


def pointing_at_classes(results: Iterable[ImageResult], classes: Sequence[str]) -> Figures:
    """``pointing/class`` for each class that has a human box, and ``pointing``, their mean.

    The value of a class is the share of hits of its best box, in the images with a human box of it that is not
    difficult. A difficult box beside such a one is hit as any other; the margin is ``CLASS_MARGIN_PX`` pixels of the
    stored image. ValueError where a sample has a phrase with boxes that is no class.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    hits: dict[str, dict[str, list[bool]]] = {name: defaultdict(list) for name in classes}
    for result in results:
        points = _best_centres(result.found)
        asked = {box.phrase for box in result.gold.boxes if not box.difficult}
        for phrase, gold in boxes_by_phrase(result.gold).items():
            name = result.gold.phrases[phrase].text
            if name not in numbers:
                raise ValueError(f"sample {result.gold.key!r} has boxes of {name!r}, not a class of its dataset")
            if phrase not in asked:
                continue
            hit = _points_at(points.get(numbers[name]), gold, CLASS_MARGIN_PX)
            hits[name][image_key(result.gold)].append(hit)
    figures = combined(share_of_hits(f"{NAME}/{name}", of_class) for name, of_class in hits.items() if of_class)
    values = [metric.value for metric in figures.values if metric.value is not None]
    mean = MetricValue(
        name=NAME, value=float(np.mean(values)) if values else None, count=sum(one.count for one in figures.values)
    )
    return Figures([mean, *figures.values], figures.per_image, figures.per_image_count)


def _best_centres(found: Candidates) -> dict[int, Point]:
    """The centre of the candidate of the highest score of each phrase; of equal ones the grounder's first."""
    order = np.lexsort((-found.scores, found.phrases))
    phrases, first = np.unique(found.phrases[order], return_index=True)
    boxes = found.boxes_xyxy[order[first]]
    return dict(zip(phrases.tolist(), (boxes[:, :2] + boxes[:, 2:]) / 2, strict=True))


def _points_at(point: Point | None, gold_xyxy: Boxes, margin_px: float) -> bool:
    """Whether a point is at most ``margin_px`` away from one of the boxes, edges included."""
    if point is None:
        return False
    away = np.maximum(np.maximum(gold_xyxy[:, :2] - point, point - gold_xyxy[:, 2:]), 0.0)
    return bool((np.hypot(away[:, 0], away[:, 1]) <= margin_px).any())
