"""Detection on a federated dataset: LVIS fixed AP, matched as COCO AP is (``matching.py``).

In: samples with human boxes and with the classes that were looked for, and a grounder's candidates for the card's list
of classes. Out: ``lvis_AP`` (IoU 0.50:0.95), ``lvis_AP50``, ``lvis_AP75``, by area ``lvis_APs/APm/APl``,
by frequency of the class in LVIS' training pictures ``lvis_APr/APc/APf`` (rare: 1-10 of them, common: 11-100, frequent:
more), and ``lvis_AP/class``.

Federation (Gupta et al., "LVIS", CVPR 2019): a class is judged only in pictures where it has a human box
(positive) or was verified as absent (negative); where its boxes are *not exhaustive*, what matches none is no mistake.
*Fixed* AP (Dave et al., "Evaluating Large-Vocabulary Object Detectors: The Devil is in the Details", 2021):
the 10,000 best detections of each class over the whole dataset, instead of 300 of each picture.

As LVIS' own kit does, detections without area are left out, and sizes are areas of masks where the annotations state
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from engine.gold.coco_json import listed
from engine.gold.json_lists import JsonLists
from engine.gold.rules import class_name
from engine.metrics import Figures, ImageResult, image_key
from engine.metrics.class_boxes import Flags, Pictures, detections
from engine.metrics.detection import mean_precision, means_by_area
from engine.metrics.matching import match
from engine.metrics.precision import (
    ALL_AREAS,
    IOU_50,
    IOU_75,
    LARGE,
    MEDIUM,
    SMALL,
    MatchedBoxes,
    precision_by_class,
)
from schemas.reports import DetectionMatches, MetricValue

MAX_BOXES_PER_CLASS = 10_000
Frequency = Literal["r", "c", "f"]
FREQUENCIES: tuple[Frequency, ...] = get_args(Frequency)


def fixed_average_precision(
    results: Iterable[ImageResult],
    classes: Sequence[str],
    *,
    frequencies: Mapping[str, Frequency] | None = None,
    max_boxes_per_class: int = MAX_BOXES_PER_CLASS,
) -> Figures:
    """LVIS' figures for ``results``, whose candidates number the ``classes``; None where no human box falls under one.

    The best ``max_boxes_per_class`` are taken before any is left out as not verified. ``lvis_APr/APc/APf`` are there
    where ``frequencies`` are. ValueError where a sample has boxes of no class, or a class has no frequency.
    """
    keys: list[str] = []
    parts: list[MatchedBoxes] = []
    judged: list[Flags] = [np.zeros(0, dtype=np.bool_)]
    for pictures in detections(results, classes):
        keys += map(image_key, pictures.gold)
        verified, loose = _verified_and_loose(pictures, classes)
        matches = match(pictures)
        forgiven = replace(matches, ignored=matches.ignored | (loose & ~matches.right))
        parts.append(MatchedBoxes.of(pictures.found, pictures.scores, pictures.human, forgiven))
        judged.append(verified & (pictures.found.areas() > 0))
    matched = MatchedBoxes.together(parts)
    matched = matched.take(_best_of_class(matched, max_boxes_per_class) & np.concatenate(judged))
    groups = {name: [frequencies[name]] if frequencies and name in frequencies else [] for name in classes}
    precision, counts, found = precision_by_class(matched, groups)
    values = _summary(precision, matched.boxes_by_area())
    if frequencies is not None:
        values += _by_frequency(precision, classes, counts, frequencies)
    for of_class, name in zip(precision, classes, strict=True):
        if counts[name]:
            value = mean_precision(of_class[..., ALL_AREAS])
            values.append(MetricValue(name=f"lvis_AP/{name}", value=value, count=counts[name]))
    return Figures(values, federated=DetectionMatches(images=keys, classes=found))


def read_frequencies(file: str | Path) -> dict[str, Frequency]:
    """How often each class occurs in LVIS' training pictures, from an LVIS annotation file (v0.5 or v1), by the names
    that the import gives classes. ValueError, in one line, where it does not say so of every class."""
    found = {}
    for item in listed(JsonLists(Path(file)), "categories", Path(file)):
        name, frequency = (item.get("name"), item.get("frequency")) if isinstance(item, dict) else (None, None)
        if not isinstance(name, str) or frequency not in FREQUENCIES:
            raise ValueError(
                f"{file} is not an LVIS annotation file: a category has frequency {frequency!r}, not r, c or f"
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


def _summary(precision: NDArray[np.float64], boxes_by_area: Sequence[int]) -> list[MetricValue]:
    """The figures over all classes, from precision [class, iou, recall, area]."""
    parts = {
        "lvis_AP": (precision, ALL_AREAS),
        "lvis_AP50": (precision[:, IOU_50], ALL_AREAS),
        "lvis_AP75": (precision[:, IOU_75], ALL_AREAS),
        "lvis_APs": (precision, SMALL),
        "lvis_APm": (precision, MEDIUM),
        "lvis_APl": (precision, LARGE),
    }
    return means_by_area(parts, boxes_by_area)


def _best_of_class(matched: MatchedBoxes, most: int) -> Flags:
    """Which detections are among the ``most`` best of their class; equal scores keep the order of the pictures."""
    order = np.lexsort((-matched.scores, matched.class_number))
    numbers = matched.class_number[order]
    best = np.zeros(len(order), dtype=np.bool_)
    best[order] = np.arange(len(order)) - np.searchsorted(numbers, numbers) < most
    return best


def _verified_and_loose(pictures: Pictures, classes: Sequence[str]) -> tuple[Flags, Flags]:
    """For each detection, whether its class was looked for in its picture, and whether that class is annotated there in
    part only.

    A sample that lists no absent classes is not federated: all were looked for.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    verified = np.zeros((len(pictures.gold), len(classes)), dtype=np.bool_)
    loose = np.zeros_like(verified)
    for row, gold in enumerate(pictures.gold):
        present = (gold.phrases[box.phrase].text for box in gold.boxes)
        verified[row, _numbers(present, numbers)] = True
        verified[row, slice(None) if gold.absent_classes is None else _numbers(gold.absent_classes, numbers)] = True
        loose[row, _numbers(gold.incomplete_classes or (), numbers)] = True
    rows = pictures.found.image - pictures.first, pictures.found.class_number
    return verified[rows], loose[rows]


def _numbers(names: Iterable[str], numbers: Mapping[str, int]) -> list[int]:
    return [numbers[name] for name in names if name in numbers]
