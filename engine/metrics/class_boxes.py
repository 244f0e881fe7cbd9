"""Both sides of detection as columns, some pictures at a time.

In: results whose candidates number a list of classes. Out: :class:`Pictures`, in which human boxes and detections are
arrays that metrics compare at once: a loop over boxes would cost more than many a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from engine.metrics import ImageResult
from engine.metrics.overlap import Boxes, areas, as_boxes, paired_iou
from schemas.shards import SampleLabels

PICTURES_AT_ONCE = 256

Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassBoxes:
    """Boxes of classes: number of the picture among all, number of the class, and the box, of N boxes."""

    image: Ints
    class_number: Ints
    boxes_xyxy: Boxes

    def __len__(self) -> int:
        return len(self.image)

    def areas(self) -> NDArray[np.float64]:
        """[N], in pixels of the stored image."""
        return areas(self.boxes_xyxy)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Some pictures, from number ``first`` on: human boxes by picture and class, which of them are difficult, and
    detections by picture, class and falling score (equal ones in the grounder's order)."""

    first: int
    gold: Sequence[SampleLabels]
    human: ClassBoxes
    difficult: Flags
    found: ClassBoxes
    scores: NDArray[np.float64]


def detections(
    results: Iterable[ImageResult], classes: Sequence[str], max_boxes: int | None = None
) -> Iterator[Pictures]:
    """All pictures, with the best ``max_boxes`` candidates of each. ValueError where a sample has a phrase with boxes
    that is no class."""
    numbers = {name: number for number, name in enumerate(classes)}
    left, first = iter(results), 0
    while some := list(islice(left, PICTURES_AT_ONCE)):
        yield _pictures(some, numbers, first, max_boxes)
        first += len(some)


def _pictures(
    results: Sequence[ImageResult], numbers: Mapping[str, int], first: int, max_boxes: int | None
) -> Pictures:
    answers = [one.found if max_boxes is None else one.found.best_first(max_boxes) for one in results]
    images = np.arange(first, first + len(results), dtype=np.int32)
    found = ClassBoxes(
        np.repeat(images, [len(one) for one in answers]),
        np.concatenate([one.phrases for one in answers]),
        np.concatenate([one.boxes_xyxy for one in answers]),
    )
    scores = np.concatenate([one.scores for one in answers])
    gold = [one.gold for one in results]
    human = ClassBoxes(
        np.repeat(images, [len(one.boxes) for one in gold]),
        np.array([number for one in gold for number in _class_numbers(one, numbers)], dtype=np.int32),
        as_boxes([box.box_xyxy for one in gold for box in one.boxes]),
    )
    difficult = np.array([bool(box.difficult) for one in gold for box in one.boxes], dtype=np.bool_)
    order = np.lexsort((human.class_number, human.image))
    ranks = np.lexsort((-scores, found.class_number, found.image))
    return Pictures(first, gold, _rows(human, order), difficult[order], _rows(found, ranks), scores[ranks])


def _rows(boxes: ClassBoxes, rows: NDArray[np.int64]) -> ClassBoxes:
    return ClassBoxes(boxes.image[rows], boxes.class_number[rows], boxes.boxes_xyxy[rows])


def _class_numbers(gold: SampleLabels, numbers: Mapping[str, int]) -> Iterator[int]:
    """The class of each human box."""
    for box in gold.boxes:
        name = gold.phrases[box.phrase].text
        if name not in numbers:
            raise ValueError(
                f"sample {gold.key!r} has boxes of {name!r}, which is not among the {len(numbers)} classes of its "
                "dataset.json; import the dataset again"
            )
        yield numbers[name]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Detections and human boxes of the same class in the same picture that overlap: their rows, and the IoU. By
    detection, then by human box."""

    found: NDArray[np.int64]
    human: NDArray[np.int64]
    iou: NDArray[np.float64]

    def take(self, chosen: NDArray[np.generic]) -> Pairs:
        """The pairs that a mask chooses, or those of row numbers in their order."""
        return Pairs(self.found[chosen], self.human[chosen], self.iou[chosen])


def overlapping(pictures: Pictures, min_iou: float) -> Pairs:
    """All pairs of an IoU of at least ``min_iou``."""
    human, found = (_group(one) for one in (pictures.human, pictures.found))
    first, end = np.searchsorted(human, found, side="left"), np.searchsorted(human, found, side="right")
    counts = end - first
    rows = np.repeat(np.arange(len(found)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    others = np.repeat(first, counts) + within
    overlap = paired_iou(pictures.found.boxes_xyxy[rows], pictures.human.boxes_xyxy[others])
    return Pairs(rows, others, overlap).take(overlap >= min_iou)


def _group(boxes: ClassBoxes) -> NDArray[np.int64]:
    """A number for each pair of picture and class; it rises as the boxes are sorted."""
    number: NDArray[np.int64] = (boxes.image.astype(np.int64) << 32) + boxes.class_number
    return number


def group_starts(pictures: Pictures, rows: NDArray[np.int64]) -> Flags:
    """Whether each of these rows of detections is the first of its picture and class among them."""
    group = _group(pictures.found)[rows]
    return np.concatenate([[True], group[1:] != group[:-1]]) if len(group) else np.zeros(0, dtype=np.bool_)
