"""Detection on a federated dataset: LVIS fixed AP, through pycocotools.

In: samples with human boxes and with the classes that were looked for, and a grounder's candidates for the card's list
of classes. Out: ``lvis_AP`` (IoU 0.50:0.95), ``lvis_AP50``, ``lvis_AP75``, by area of the box ``lvis_APs/APm/APl``,
by frequency of the class in LVIS' training pictures ``lvis_APr/APc/APf`` (rare: 1-10 of them, common: 11-100, frequent:
more), and ``lvis_AP/class``.

Federation (Gupta et al., "LVIS", CVPR 2019): a class is judged only in pictures where it has a human box
(positive) or was verified as absent (negative); where its boxes are *not exhaustive*, what matches none is no mistake.
*Fixed* AP (Dave et al., "Evaluating Large-Vocabulary Object Detectors: The Devil is in the Details", 2021):
the 10,000 best detections of each class over the whole dataset, instead of 300 of each picture.

As LVIS' own kit does, detections without area are left out. Sizes are areas of boxes, where LVIS takes those of masks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from engine.gold.coco_json import listed
from engine.gold.json_lists import JsonLists
from engine.gold.rules import class_name
from engine.metrics import Figures, ImageResult, image_identity
from engine.metrics.detection import (
    ALL_AREAS,
    IOU_50,
    IOU_75,
    LARGE,
    MEDIUM,
    SMALL,
    class_matches,
    coco_evaluation,
    detection_row,
    gold_counts,
    gold_rows,
    mean_precision,
)
from schemas.reports import ClassMatches, DetectionMatches, MetricValue

MAX_BOXES_PER_CLASS = 10_000
Frequency = Literal["r", "c", "f"]
FREQUENCIES: tuple[Frequency, ...] = get_args(Frequency)
UNDEFINED = -np.ones((10, 101, 4))  # [iou, recall, area], as pycocotools writes it

Rows = list[dict[str, Any]]


def fixed_average_precision(
    results: Sequence[ImageResult],
    classes: Sequence[str],
    *,
    frequencies: Mapping[str, Frequency] | None = None,
    max_boxes_per_class: int = MAX_BOXES_PER_CLASS,
) -> Figures:
    """LVIS' figures for ``results``, whose candidates number the ``classes``; None where no human box falls under one.

    The best ``max_boxes_per_class`` are taken before any is left out as not verified. ``lvis_APr/APc/APf`` are there
    where ``frequencies`` are. ValueError where a sample has boxes of no class, or a class has no frequency.
    """
    precision, matches = _precision(results, classes, max_boxes_per_class, frequencies or {})
    counts = gold_counts(results, classes)
    values = _summary(precision, sum(counts.values()))
    if frequencies is not None:
        values += _by_frequency(precision, classes, counts, frequencies)
    for of_class, name in zip(precision, classes, strict=True):
        if counts[name]:
            value = mean_precision(of_class[..., ALL_AREAS])
            values.append(MetricValue(name=f"lvis_AP/{name}", value=value, count=counts[name]))
    keys = [image_identity(result.gold) for result in results]
    return Figures(values, federated=DetectionMatches(images=keys, classes=matches))


def read_frequencies(file: str | Path) -> dict[str, Frequency]:
    """How often each class occurs in LVIS' training pictures, from an LVIS annotation file (v0.5 or v1), by the names
    that the import gives classes. ValueError, in one line, where it does not say so of every class."""
    found = {}
    for item in listed(JsonLists(Path(file)), "categories", Path(file)):
        name, frequency = (item.get("name"), item.get("frequency")) if isinstance(item, dict) else (None, None)
        if not isinstance(name, str) or frequency not in FREQUENCIES:
            raise ValueError(
                f"{file} is no LVIS annotation file: a category has frequency {frequency!r}, not r, c or f"
            )
        found[class_name(name)] = cast(Frequency, frequency)
    return found


def _by_frequency(
    precision: NDArray[np.float64],
    classes: Sequence[str],
    counts: Mapping[str, int],
    frequencies: Mapping[str, Frequency],
) -> list[MetricValue]:
    unknown = [name for name in classes if name not in frequencies]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(classes)} classes, the first {unknown[0]!r}, have no frequency in the LVIS "
            "annotations; give those that the dataset was imported from"
        )
    values = []
    for frequency in FREQUENCIES:
        group = [number for number, name in enumerate(classes) if frequencies[name] == frequency]
        boxes = sum(counts[classes[number]] for number in group)
        value = mean_precision(precision[group][..., ALL_AREAS])
        values.append(MetricValue(name=f"lvis_AP{frequency}", value=value, count=boxes))
    return values


def _summary(precision: NDArray[np.float64], count: int) -> list[MetricValue]:
    """The figures over all classes, from precision [class, iou, recall, area]."""
    parts = {
        "lvis_AP": precision[..., ALL_AREAS],
        "lvis_AP50": precision[:, IOU_50, :, ALL_AREAS],
        "lvis_AP75": precision[:, IOU_75, :, ALL_AREAS],
        "lvis_APs": precision[..., SMALL],
        "lvis_APm": precision[..., MEDIUM],
        "lvis_APl": precision[..., LARGE],
    }
    return [MetricValue(name=name, value=mean_precision(part), count=count) for name, part in parts.items()]


def _precision(
    results: Sequence[ImageResult], classes: Sequence[str], max_boxes: int, frequencies: Mapping[str, Frequency]
) -> tuple[NDArray[np.float64], list[ClassMatches]]:
    """Precision [class, iou, recall, area], and the matches that it comes from. Each class by itself, on the pictures
    where it was verified: the table of all classes in all pictures, nearly empty, would not fit into memory."""
    gold = _gold_by_class(results, classes)
    found = _best_by_class(results, max_boxes)
    verified, loose = _pictures_by_class(results, classes)
    precision, matches = np.repeat(UNDEFINED[None], len(classes), axis=0), []
    for number, rows in gold.items():
        name = classes[number]
        detections = [row for row in found[number] if row["image_id"] in verified[name] and row["area"] > 0]
        evaluation = coco_evaluation(verified[name], [number], rows, detections, max_boxes, forgiven=loose[name])
        precision[number] = evaluation.eval["precision"][:, :, 0, :, 0]
        pictures = [item for item in evaluation.evalImgs[: len(verified[name])] if item is not None]  # of all areas
        human = [item["image_id"] for item in pictures for ignored in item["gtIgnore"] if not ignored]
        if human:
            groups = [frequencies[name]] if name in frequencies else []
            matches.append(class_matches(name, human, pictures, groups))
    return precision, matches


def _gold_by_class(results: Sequence[ImageResult], classes: Sequence[str]) -> dict[int, Rows]:
    numbers = {name: number for number, name in enumerate(classes)}
    found: dict[int, Rows] = defaultdict(list)
    for image, result in enumerate(results):
        for row in gold_rows(image, result.gold, numbers):
            found[row["category_id"]].append(row)
    return found


def _best_by_class(results: Sequence[ImageResult], max_boxes: int) -> dict[int, Rows]:
    """The best detections of each class over all pictures; equal scores keep the order of the pictures."""
    found: dict[int, Rows] = defaultdict(list)
    for image, result in enumerate(results):
        for candidate in result.candidates:
            found[candidate.phrase].append(detection_row(image, candidate))
    best = {number: sorted(rows, key=lambda row: -row["score"])[:max_boxes] for number, rows in found.items()}
    return defaultdict(list, best)


def _pictures_by_class(
    results: Sequence[ImageResult], classes: Sequence[str]
) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """For each class, the pictures in which it was looked for, and those in which not every instance has its box.

    A sample that lists no absent classes is not federated: all were looked for.
    """
    verified: dict[str, set[int]] = defaultdict(set)
    loose: dict[str, set[int]] = defaultdict(set)
    for image, result in enumerate(results):
        gold = result.gold
        present = {gold.phrases[box.phrase].text for box in gold.boxes}
        for name in classes if gold.absent_classes is None else present.union(gold.absent_classes):
            verified[name].add(image)
        for name in gold.incomplete_classes or ():
            loose[name].add(image)
    return verified, loose
