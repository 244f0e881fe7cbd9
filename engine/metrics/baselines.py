"""The best constant box per phrase head: what is found without looking at the picture.

In: human-annotated training samples. Out: for each phrase head (or class) a ranked list of boxes in unit coordinates of
the image. Photographs are composed, so "a bed" filling the frame is a good guess; a grounder has learnt to look only as
far as it beats this.

Chosen greedily from the training boxes: first the box that hits most of the head's phrases (IoU >= 0.5, which does
not change when an image is scaled along its axes), then the one that hits most of those still missed, and so on. Ties,
and heads with few phrases, lean on the box that hits most phrases of all heads. A head never seen gets the list fitted
on all of them. Of a head with more than ``MAX_ITEMS`` phrases so many are looked at, evenly spaced.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.metrics import ImageResult
from engine.metrics.candidates import Candidates
from engine.metrics.overlap import Boxes, as_boxes, iou
from schemas.shards import SampleLabels

MIN_IOU = 0.5
BOXES_PER_HEAD = 10
MAX_PROPOSALS = 1500
MAX_ITEMS = 20_000  # of one head; MAX_PROPOSALS hits or misses each are held at once, a byte for one
ITEMS_AT_ONCE = 100

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ConstantBoxes:
    """Ranked unit boxes [K, 4] with their scores [K] by head or class, and for all others."""

    by_name: dict[str, tuple[Boxes, list[float]]]
    otherwise: tuple[Boxes, list[float]]

    def ground(self, gold: SampleLabels) -> ImageResult:
        """The constant boxes for each phrase of a sample, by the lemma of its head."""
        return self._answer(gold, [phrase.head_lemma for phrase in gold.phrases], self.otherwise)

    def detect(self, gold: SampleLabels, classes: Sequence[str]) -> ImageResult:
        """The constant boxes of each class, which has been fitted; a class without training box gets none."""
        return self._answer(gold, classes, (as_boxes([]), []))

    def _answer(self, gold: SampleLabels, names: Sequence[str], otherwise: tuple[Boxes, list[float]]) -> ImageResult:
        size = np.array([gold.width, gold.height] * 2)
        boxes, scores = [as_boxes([])], [np.zeros(0)]
        phrases: list[int] = []
        for number, name in enumerate(names):
            unit_boxes, own_scores = self.by_name.get(name, otherwise)
            phrases += [number] * len(own_scores)
            boxes.append(unit_boxes * size)
            scores.append(np.array(own_scores))
        found = Candidates(np.array(phrases, dtype=np.int32), np.concatenate(boxes), np.concatenate(scores))
        return ImageResult(gold, found)


def fit_phrase_boxes(samples: Iterable[SampleLabels]) -> ConstantBoxes:
    """Fit on a grounding dataset, by the head lemma of the phrases. ValueError where no phrase has a box."""
    items = _Items()
    for labels in samples:
        for number, phrase in enumerate(labels.phrases):
            boxes = _unit_boxes(labels, number)
            if len(boxes):
                items.add(phrase.head_lemma, boxes)
    return _fit(items, per=None)


def fit_class_boxes(samples: Iterable[SampleLabels]) -> ConstantBoxes:
    """Fit on a detection dataset, by class: each human box is to be hit, and a box's score is its hits an image, so
    that boxes of different classes are ranked by how often they are right. ValueError where there is no box."""
    items = _Items()
    images = 0
    for labels in samples:
        images += 1
        for number, phrase in enumerate(labels.phrases):
            for box in _unit_boxes(labels, number):
                items.add(phrase.text, box[None])
    return _fit(items, per=images)


def _unit_boxes(labels: SampleLabels, phrase: int) -> Boxes:
    boxes = as_boxes([box.box_xyxy for box in labels.boxes if box.phrase == phrase])
    unit: Boxes = boxes / np.array([labels.width, labels.height] * 2)
    return unit


class _Items:
    """What is to be found, as columns: a head or class, and the unit boxes (1 or more) of which any one is a hit."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._of_name, self._starts, self._corners = array("i"), array("q", [0]), array("d")

    def add(self, name: str, boxes: Boxes) -> None:
        self._of_name.append(self._numbers.setdefault(name, len(self._numbers)))
        self._corners.frombytes(boxes.tobytes())
        self._starts.append(len(self._corners) // 4)

    def __len__(self) -> int:
        return len(self._of_name)

    def by_name(self) -> Iterator[tuple[str, Rows]]:
        """The items of each name, in their order."""
        of_name = np.frombuffer(self._of_name, dtype=np.int32)
        order = np.argsort(of_name, kind="stable")
        ends = np.cumsum(np.bincount(of_name, minlength=len(self._numbers)))
        return zip(self._numbers, np.split(order, ends[:-1]), strict=True)

    def proposals(self) -> Boxes:
        """The boxes, or evenly many of them where there are more than the fit needs."""
        return _evenly(self._boxes(), MAX_PROPOSALS)

    def _boxes(self) -> Boxes:
        return np.frombuffer(self._corners).reshape(-1, 4)

    def hits(self, proposals: Boxes, rows: Rows) -> NDArray[np.bool_]:
        """Which of the items ``rows`` each proposal hits, [proposal, item]."""
        boxes, starts = self._boxes(), np.frombuffer(self._starts, dtype=np.int64)
        found = np.empty((len(proposals), len(rows)), dtype=np.bool_)
        for at in range(0, len(rows), ITEMS_AT_ONCE):
            some = rows[at : at + ITEMS_AT_ONCE]
            counts = starts[some + 1] - starts[some]
            first = np.cumsum(counts) - counts
            places = np.arange(counts.sum()) + np.repeat(starts[some] - first, counts)
            right = iou(boxes[places], proposals) >= MIN_IOU  # along rows, which are joined the fastest
            found[:, at : at + len(some)] = np.logical_or.reduceat(right, first).T
        return found


def _fit(items: _Items, per: int | None) -> ConstantBoxes:
    if not len(items):
        raise ValueError("the baseline has nothing to learn from: no phrase of the training dataset has a box")
    proposals = items.proposals()
    every = np.arange(len(items))
    hits = items.hits(proposals, _evenly(every, MAX_ITEMS))
    overall = hits.mean(axis=1)

    def cover(rows: Rows, hits: NDArray[np.bool_]) -> tuple[Boxes, list[float]]:
        return _cover(proposals, hits, overall, (per or len(rows)) * hits.shape[1] / len(rows))

    fitted = {name: cover(rows, items.hits(proposals, _evenly(rows, MAX_ITEMS))) for name, rows in items.by_name()}
    return ConstantBoxes(fitted, cover(every, hits))


def _evenly(rows: NDArray[Any], most: int) -> NDArray[Any]:
    """At most ``most`` of the rows, evenly spaced; all where there are no more."""
    return rows[:: -(-len(rows) // most)]


def _cover(
    proposals: Boxes, hits: NDArray[np.bool_], overall: NDArray[np.float64], per: float
) -> tuple[Boxes, list[float]]:
    """The boxes chosen from ``proposals`` [P, 4] by ``hits`` [P, I], with their scores: new hits divided by ``per``."""
    missed = np.ones(hits.shape[1], dtype=bool)
    chosen: list[int] = []
    scores: list[float] = []
    for rank in range(BOXES_PER_HEAD):
        gain = hits[:, missed].sum(axis=1)
        best = int(np.argmax(gain + overall))
        chosen.append(best)
        # The small term keeps the ranks apart once nothing more is hit; a score stays below 1.
        scores.append(min(1.0, gain[best] / per) * 0.99 + 0.001 / (rank + 1))
        missed &= ~hits[best]
    return proposals[chosen], scores
