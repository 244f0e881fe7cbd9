"""Detection: COCO average precision, accumulated by pycocotools (``precision.py``).

In: samples with human boxes of classes, and a grounder's candidates for the same list of classes. Out: ``AP`` (mean
over IoU 0.50:0.95 and over classes that have a human box), ``AP50``, ``AP75``, ``APs``/``APm``/``APl`` by area (small
< 32^2 <= medium < 96^2 <= large, in pixels of the stored image), ``AP/class``, ``AP50/class``, and ``AP:group``,
``AP50:group`` over the classes of a group: by how frequent they are, and all but ``person`` as ``other``.

The area of a human box is that of its mask where the annotations state it, else width times height. Detections in a
crowd are ignored. So are boxes that are *difficult* (Pascal VOC), as pycocotools ignores what is outside a range of
areas: not asked for, and the one detection that takes such a box, where it finds no other, counts neither way.

To match boxes pycocotools wants an object for each, and goes over every class, picture and range of areas in Python;
``matching.py`` does some hundred pictures at once, to the same matches, after which a box is a row of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.metrics import Figures, ImageResult, image_key
from engine.metrics.class_boxes import detections
from engine.metrics.matching import match
from engine.metrics.precision import (
    ALL_AREAS,
    IOU_50,
    IOU_75,
    LARGE,
    MEDIUM,
    SMALL,
    UNDEFINED,
    MatchedBoxes,
    precision_by_class,
)
from schemas.reports import DetectionMatches, MetricValue

PERSON = "person"


def average_precision(
    results: Iterable[ImageResult],
    classes: Sequence[str],
    *,
    max_boxes: int = 100,
    frequencies: Mapping[str, str] | None = None,
) -> Figures:
    """COCO's figures for ``results``, whose candidates number the ``classes``; by frequency where that of classes is
    given (one that is not in it is unseen).

    The best ``max_boxes`` candidates of an image count, over all classes together. A figure is None where no human box
    falls under it. ValueError where a sample has a phrase with boxes that is no class.
    """
    keys: list[str] = []
    parts: list[MatchedBoxes] = []
    for pictures in detections(results, classes, max_boxes):
        keys += map(image_key, pictures.gold)
        parts.append(MatchedBoxes.of(pictures.found, pictures.scores, pictures.human, match(pictures)))
    groups = {name: class_groups(name, classes, frequencies) for name in classes}
    matched = MatchedBoxes.together(parts)
    by_class, boxes, matches = precision_by_class(matched, groups)
    precision = np.moveaxis(by_class, 0, 2)  # [iou, recall, class, area]
    values = _summary(precision, matched.boxes_by_area())
    values += _by_group(precision, boxes, groups)
    for number, name in enumerate(classes):
        if boxes[name]:
            of_class = precision[:, :, number, ALL_AREAS]
            values.append(MetricValue(name=f"AP/{name}", value=mean_precision(of_class), count=boxes[name]))
            values.append(MetricValue(name=f"AP50/{name}", value=mean_precision(of_class[IOU_50]), count=boxes[name]))
    return Figures(values, detections=DetectionMatches(images=keys, classes=matches))


def class_groups(name: str, classes: Sequence[str], frequencies: Mapping[str, str] | None) -> list[str]:
    """The groups of a class: ``other`` if ``classes`` has ``person`` and this is another one, and its frequency where
    known."""
    other = ["other"] if PERSON in classes and name != PERSON else []
    return other + ([] if frequencies is None else [frequencies.get(name.lower(), "unseen")])


def _by_group(
    precision: NDArray[np.float64], boxes: Mapping[str, int], groups: Mapping[str, list[str]]
) -> list[MetricValue]:
    values = []
    for group in sorted({group for of_class in groups.values() for group in of_class}):
        inside = [number for number, name in enumerate(groups) if group in groups[name] and boxes[name]]
        of_group = precision[:, :, inside, ALL_AREAS]
        count = sum(boxes[name] for name in groups if group in groups[name])
        values.append(MetricValue(name=f"AP:{group}", value=mean_precision(of_group), count=count))
        values.append(MetricValue(name=f"AP50:{group}", value=mean_precision(of_group[IOU_50]), count=count))
    return values


def _summary(precision: NDArray[np.float64], boxes_by_area: Sequence[int]) -> list[MetricValue]:
    parts = {
        "AP": (precision, ALL_AREAS),
        "AP50": (precision[IOU_50], ALL_AREAS),
        "AP75": (precision[IOU_75], ALL_AREAS),
        "APs": (precision, SMALL),
        "APm": (precision, MEDIUM),
        "APl": (precision, LARGE),
    }
    return means_by_area(parts, boxes_by_area)


def means_by_area(
    parts: Mapping[str, tuple[NDArray[np.float64], int]], boxes_by_area: Sequence[int]
) -> list[MetricValue]:
    """Figures by name: the mean of each precision [..., area] in its range of areas, counted over the human boxes of
    that range."""
    return [
        MetricValue(name=name, value=mean_precision(precision[..., area]), count=boxes_by_area[area])
        for name, (precision, area) in parts.items()
    ]


def mean_precision(precision: NDArray[np.float64]) -> float | None:
    """Mean of the entries that are defined."""
    defined = precision[precision > UNDEFINED]
    return float(defined.mean()) if defined.size else None


def gold_counts(results: Iterable[ImageResult], classes: Sequence[str]) -> dict[str, int]:
    """How many human boxes each of the ``classes`` has, without difficult ones."""
    counts = dict.fromkeys(classes, 0)
    for result in results:
        for box in result.gold.boxes:
            counts[result.gold.phrases[box.phrase].text] += not box.difficult
    return counts
