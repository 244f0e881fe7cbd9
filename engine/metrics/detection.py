"""Detection: COCO average precision, through pycocotools (the only file that imports it).

In: samples with human boxes of classes, and a grounder's candidates for the same list of classes. Out: ``AP`` (mean
over IoU 0.50:0.95 and over classes that have a human box), ``AP50``, ``AP75``, ``APs``/``APm``/``APl`` by area (small
< 32^2 <= medium < 96^2 <= large, in pixels of the stored image), ``AP/class``, ``AP50/class``, and ``AP:group``,
``AP50:group`` over the classes of a group: by how frequent they are, and all but ``person`` as ``other``.

The evaluation data carry no masks, so the area of a box is width times height. Boxes that are *difficult* (Pascal VOC)
are ignored as pycocotools ignores what is outside a range of areas: not asked for, and the one detection that takes
such a box, where it finds no other, counts neither way.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.metrics import Figures, ImageResult, image_identity
from schemas.records import BoxXYXY, Candidate
from schemas.reports import ClassMatches, DetectionMatches, MetricValue
from schemas.shards import SampleLabels

ALL_AREAS, SMALL, MEDIUM, LARGE = range(4)
IOU_50, IOU_75 = 0, 5
PERSON = "person"
OUTSIDE_ALL_AREAS = 1e11  # pycocotools' ranges end at 1e10; its own flag `ignore` is overwritten before it is read


def average_precision(
    results: Sequence[ImageResult],
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
    evaluation = _evaluate(results, classes, max_boxes)
    precision = evaluation.eval["precision"][..., -1]  # [iou, recall, class, area]
    boxes = gold_counts(results, classes)
    values = _summary(precision, sum(boxes.values()))
    groups = {name: class_groups(name, classes, frequencies) for name in classes}
    values += _by_group(precision, boxes, groups)
    for number, name in enumerate(classes):
        if boxes[name]:
            of_class = precision[:, :, number, ALL_AREAS]
            values.append(MetricValue(name=f"AP/{name}", value=mean_precision(of_class), count=boxes[name]))
            values.append(MetricValue(name=f"AP50/{name}", value=mean_precision(of_class[IOU_50]), count=boxes[name]))
    keys = [image_identity(result.gold) for result in results]
    return Figures(values, detections=_matches(evaluation, keys, classes, groups))


def class_groups(name: str, classes: Sequence[str], frequencies: Mapping[str, str] | None) -> list[str]:
    """The groups of a class: ``other`` where there are persons and it is none, and how frequent it is."""
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


def _summary(precision: NDArray[np.float64], count: int) -> list[MetricValue]:
    parts = {
        "AP": precision[..., ALL_AREAS],
        "AP50": precision[IOU_50, ..., ALL_AREAS],
        "AP75": precision[IOU_75, ..., ALL_AREAS],
        "APs": precision[..., SMALL],
        "APm": precision[..., MEDIUM],
        "APl": precision[..., LARGE],
    }
    return [MetricValue(name=name, value=mean_precision(part), count=count) for name, part in parts.items()]


def mean_precision(precision: NDArray[np.float64]) -> float | None:
    """Mean of the entries that are defined; pycocotools writes -1 where a class has no human box."""
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else None


def gold_counts(results: Sequence[ImageResult], classes: Sequence[str]) -> dict[str, int]:
    """How many human boxes each of the ``classes`` has, without difficult ones."""
    counts = dict.fromkeys(classes, 0)
    for result in results:
        for box in result.gold.boxes:
            counts[result.gold.phrases[box.phrase].text] += not box.difficult
    return counts


def _evaluate(results: Sequence[ImageResult], classes: Sequence[str], max_boxes: int) -> Any:
    numbers = {name: number for number, name in enumerate(classes)}
    annotations = [row for image, result in enumerate(results) for row in gold_rows(image, result.gold, numbers)]
    detections = [row for image, result in enumerate(results) for row in _detection_rows(image, result, max_boxes)]
    return coco_evaluation(range(len(results)), range(len(classes)), annotations, detections, max_boxes)


def coco_evaluation(
    images: Iterable[int],
    classes: Iterable[int],
    annotations: list[dict[str, Any]],
    detections: list[dict[str, Any]],
    max_boxes: int,
    forgiven: Container[int] = (),
) -> Any:
    """pycocotools' evaluation, accumulated, of rows as :func:`gold_rows` and :func:`detection_row` make them.

    At most ``max_boxes`` detections of a class in an image count. Those that match nothing in the images ``forgiven``
    are ignored instead of counted as wrong.
    """
    for rows in (annotations, detections):
        for number, row in enumerate(rows, start=1):  # id 0 means "unmatched" to pycocotools
            row["id"] = number
    image_rows, class_rows = [{"id": image} for image in images], [{"id": number} for number in classes]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _coco(image_rows, class_rows, annotations), _coco(image_rows, class_rows, detections), "bbox"
        )
        evaluation.params.maxDets = [max_boxes]
        evaluation.evaluate()
        for item in evaluation.evalImgs:
            if item is not None and item["image_id"] in forgiven:
                item["dtIgnore"] = np.logical_or(item["dtIgnore"], item["dtMatches"] == 0)
        evaluation.accumulate()
    return evaluation


def _coco(images: list[Any], categories: list[Any], annotations: list[Any]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    coco.createIndex()
    return coco


def gold_rows(image: int, gold: SampleLabels, numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """The human boxes of image number ``image`` as pycocotools takes them; ValueError for a box of no class."""
    rows = []
    for box in gold.boxes:
        name = gold.phrases[box.phrase].text
        if name not in numbers:
            raise ValueError(
                f"sample {gold.key!r} has boxes of {name!r}, which is not among the {len(numbers)} classes of its "
                "dataset.json; import the dataset again"
            )
        row = {"image_id": image, "category_id": numbers[name], "iscrowd": 0, **_geometry(box.box_xyxy)}
        rows.append(row | {"area": OUTSIDE_ALL_AREAS} if box.difficult else row)
    return rows


def detection_row(image: int, candidate: Candidate) -> dict[str, Any]:
    """A candidate, whose phrase is the number of a class, in image number ``image`` as pycocotools takes it."""
    geometry = _geometry(candidate.box_xyxy)
    return {"image_id": image, "category_id": candidate.phrase, "score": candidate.score, **geometry}


def _detection_rows(image: int, result: ImageResult, max_boxes: int) -> list[dict[str, Any]]:
    best = sorted(result.candidates, key=lambda candidate: -candidate.score)[:max_boxes]
    return [detection_row(image, candidate) for candidate in best]


def _geometry(box_xyxy: BoxXYXY) -> dict[str, Any]:
    x1, y1, x2, y2 = box_xyxy
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}


def _matches(
    evaluation: Any, keys: list[str], classes: Sequence[str], groups: Mapping[str, list[str]]
) -> DetectionMatches:
    """The matching that pycocotools made for all areas, in the order in which it accumulates it."""
    areas = len(evaluation.params.areaRng)
    found = []
    for number, name in enumerate(classes):
        start = (number * areas + ALL_AREAS) * len(keys)
        images = [item for item in evaluation.evalImgs[start : start + len(keys)] if item is not None]
        gold = [item["image_id"] for item in images for ignored in item["gtIgnore"] if not ignored]
        if gold:
            found.append(class_matches(name, gold, images, groups[name]))
    return DetectionMatches(images=keys, classes=found)


def class_matches(name: str, gold: list[int], images: list[Any], groups: Sequence[str]) -> ClassMatches:
    """What pycocotools matched of one class, from its entries for the pictures that were looked at."""
    scores = np.concatenate([np.asarray(item["dtScores"], dtype=np.float64) for item in images])
    order = np.argsort(-scores, kind="mergesort")
    image = np.concatenate([np.full(len(item["dtScores"]), item["image_id"]) for item in images])[order]
    right = np.concatenate([_bits(np.asarray(item["dtMatches"]) > 0) for item in images])[order]
    ignored = np.concatenate([_bits(np.asarray(item["dtIgnore"]) > 0) for item in images])[order]
    columns = {"image": image.astype(int).tolist(), "right": right.tolist(), "ignored": ignored.tolist()}
    return ClassMatches(name=name, groups=list(groups), gold=gold, **columns)


def _bits(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Flags [iou, detection] as one number a detection: bit t for IoU threshold t."""
    weights = 1 << np.arange(flags.shape[0], dtype=np.int64)
    bits: NDArray[np.int64] = weights @ flags.astype(np.int64)
    return bits
