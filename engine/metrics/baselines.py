"""The best constant box per phrase head: what is found without looking at the picture.

In: human-annotated training samples. Out: for each phrase head (or class) a ranked list of boxes in unit coordinates of
the image. Photographs are composed, so "a bed" filling the frame is a good guess; a grounder has learnt to look only as
far as it beats this.

Chosen greedily from the training boxes: first the box that hits most of the head's phrases (IoU >= 0.5, which does
not change when an image is scaled along its axes), then the one that hits most of those still missed, and so on. Ties,
and heads with few phrases, lean on the box that hits most phrases of all heads. A head never seen gets the list fitted
on all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.metrics import ImageResult
from engine.metrics.candidates import Candidates
from engine.metrics.overlap import Boxes, as_boxes, iou
from schemas.shards import SampleLabels

MIN_IOU = 0.5
BOXES_PER_HEAD = 10
MAX_PROPOSALS = 1500

_Item = tuple[str, Boxes]  # what to find: its head, and the unit boxes of which any one is a hit


@dataclass(frozen=True)
class ConstantBoxes:
    """Ranked unit boxes [K, 4] with their scores [K] by head or class, and for all others."""

    by_name: dict[str, tuple[Boxes, list[float]]]
    otherwise: tuple[Boxes, list[float]]

    def ground(self, gold: SampleLabels) -> ImageResult:
        """The constant boxes for each phrase of a sample, by the lemma of its head."""
        return self._answer(gold, [phrase.head_lemma for phrase in gold.phrases])

    def detect(self, gold: SampleLabels, classes: Sequence[str]) -> ImageResult:
        """The constant boxes of each class, which has been fitted; a class without training box gets none."""
        return self._answer(gold, classes, only_known=True)

    def _answer(self, gold: SampleLabels, names: Sequence[str], *, only_known: bool = False) -> ImageResult:
        size = np.array([gold.width, gold.height] * 2)
        boxes, scores = [as_boxes([])], [np.zeros(0)]
        phrases: list[int] = []
        for number, name in enumerate(names):
            if only_known and name not in self.by_name:
                continue
            unit_boxes, own_scores = self.by_name.get(name, self.otherwise)
            phrases += [number] * len(own_scores)
            boxes.append(unit_boxes * size)
            scores.append(np.array(own_scores))
        found = Candidates(np.array(phrases, dtype=np.int32), np.concatenate(boxes), np.concatenate(scores))
        return ImageResult(gold, found)


def fit_phrase_boxes(samples: Iterable[SampleLabels]) -> ConstantBoxes:
    """Fit on a grounding dataset, by the head lemma of the phrases. ValueError where no phrase has a box."""
    items: list[_Item] = []
    for labels in samples:
        for number, phrase in enumerate(labels.phrases):
            boxes = _unit_boxes(labels, number)
            if len(boxes):
                items.append((phrase.head_lemma, boxes))
    return _fit(items, per=None)


def fit_class_boxes(samples: Iterable[SampleLabels]) -> ConstantBoxes:
    """Fit on a detection dataset, by class: each human box is to be hit, and a box's score is its hits an image, so
    that boxes of different classes are ranked by how often they are right. ValueError where there is no box."""
    items: list[_Item] = []
    images = 0
    for labels in samples:
        images += 1
        for number, phrase in enumerate(labels.phrases):
            items.extend((phrase.text, box[None]) for box in _unit_boxes(labels, number))
    return _fit(items, per=images)


def _unit_boxes(labels: SampleLabels, phrase: int) -> Boxes:
    boxes = as_boxes([box.box_xyxy for box in labels.boxes if box.phrase == phrase])
    unit: Boxes = boxes / np.array([labels.width, labels.height] * 2)
    return unit


def _fit(items: Sequence[_Item], per: int | None) -> ConstantBoxes:
    if not items:
        raise ValueError("the baseline has nothing to learn from: no phrase of the training dataset has a box")
    proposals = _proposals(items)
    hits = np.stack([iou(proposals, boxes).max(axis=1) >= MIN_IOU for _, boxes in items], axis=1)  # [proposal, item]
    overall = hits.mean(axis=1)
    members: dict[str, list[int]] = defaultdict(list)
    for index, (name, _) in enumerate(items):
        members[name].append(index)
    fitted = {name: _cover(proposals, hits[:, rows], overall, per or len(rows)) for name, rows in members.items()}
    return ConstantBoxes(fitted, _cover(proposals, hits, overall, per or len(items)))


def _proposals(items: Sequence[_Item]) -> Boxes:
    """The training boxes, or evenly many of them where there are more than the fit needs."""
    boxes = np.concatenate([boxes for _, boxes in items])
    step = -(-len(boxes) // MAX_PROPOSALS)
    return boxes[::step]


def _cover(
    proposals: Boxes, hits: NDArray[np.bool_], overall: NDArray[np.float64], per: int
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
