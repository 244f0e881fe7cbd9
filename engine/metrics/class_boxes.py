"""Both sides of detection as columns, some pictures at a time.

In: results whose candidates number a list of classes. Out: :class:`Pictures`, in which human boxes and detections are
arrays that metrics compare at once: a loop over boxes would cost more than many a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

    def take(self, rows: NDArray[np.int64]) -> ClassBoxes:
        """The boxes of these row numbers, in their order."""
        return ClassBoxes(self.image[rows], self.class_number[rows], self.boxes_xyxy[rows])


@dataclass(frozen=True, slots=True)
class Pictures:
    """Some pictures, from number ``first`` on: human boxes by picture and class, which of them are difficult, and their
    areas, those of masks where stated; crowds, by picture and class; and detections by picture, class and falling score
    (equal ones in the grounder's order)."""

    first: int
    gold: Sequence[SampleLabels]
    human: ClassBoxes
    difficult: Flags
    human_areas: NDArray[np.float64]
    crowds: ClassBoxes
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
    boxes = [box for one in gold for box in one.boxes]
    human = ClassBoxes(
        np.repeat(images, [len(one.boxes) for one in gold]),
        np.array([number for one in gold for number in _class_numbers(one, numbers)], dtype=np.int32),
        as_boxes([box.box_xyxy for box in boxes]),
    )
    difficult = np.array([bool(box.difficult) for box in boxes], dtype=np.bool_)
    stated = np.array([box.area for box in boxes], dtype=np.float64)  # None becomes NaN
    order = np.lexsort((human.class_number, human.image))
    ranks = np.lexsort((-scores, found.class_number, found.image))
    return Pictures(
        first,
        gold,
        human.take(order),
        difficult[order],
        np.where(np.isnan(stated), human.areas(), stated)[order],
        _crowds(gold, numbers, first),
        found.take(ranks),
        scores[ranks],
    )


def _crowds(gold: Sequence[SampleLabels], numbers: Mapping[str, int], first: int) -> ClassBoxes:
    """The crowds of classes that are asked for."""
    crowds = [(n, one) for n, labels in enumerate(gold, first) for one in labels.crowds or () if one.name in numbers]
    found = ClassBoxes(
        np.array([image for image, _ in crowds], dtype=np.int32),
        np.array([numbers[one.name] for _, one in crowds], dtype=np.int32),
        as_boxes([one.box_xyxy for _, one in crowds]),
    )
    return found.take(np.lexsort((found.class_number, found.image)))


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
    """Detections and human boxes of the same class in the same picture that overlap: their rows, and the IoU (with a
    crowd the share of the detection in it). By detection, then by human box."""

    found: NDArray[np.int64]
    human: NDArray[np.int64]
    iou: NDArray[np.float64]

    def take(self, chosen: NDArray[np.generic]) -> Pairs:
        """The pairs that a mask chooses, or those of row numbers in their order."""
        return Pairs(self.found[chosen], self.human[chosen], self.iou[chosen])


def overlapping(
    found_boxes: ClassBoxes,
    human_boxes: ClassBoxes,
    least: float,
    overlap_of: Callable[[Boxes, Boxes], NDArray[np.float64]] = paired_iou,
) -> Pairs:
    """All pairs that overlap by at least ``least``. Both sides are sorted by picture and class."""
    human, found = _group(human_boxes), _group(found_boxes)
    first, end = np.searchsorted(human, found, side="left"), np.searchsorted(human, found, side="right")
    counts = end - first
    rows = np.repeat(np.arange(len(found)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    others = np.repeat(first, counts) + within
    overlap = overlap_of(found_boxes.boxes_xyxy[rows], human_boxes.boxes_xyxy[others])
    return Pairs(rows, others, overlap).take(overlap >= least)


def _group(boxes: ClassBoxes) -> NDArray[np.int64]:
    """A number for each pair of picture and class; it rises as the boxes are sorted."""
    number: NDArray[np.int64] = (boxes.image.astype(np.int64) << 32) + boxes.class_number
    return number


def group_starts(pictures: Pictures, rows: NDArray[np.int64]) -> Flags:
    """Whether each of these rows of detections is the first of its picture and class among them."""
    group = _group(pictures.found)[rows]
    return np.concatenate([[True], group[1:] != group[:-1]]) if len(group) else np.zeros(0, dtype=np.bool_)
