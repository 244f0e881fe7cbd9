"""Applies reviewers' verdicts to the labels of a sample; readers do it before selection (:mod:`engine.view`).

In: the labels of a sample as stored, and the verdicts on its caption. Out: labels in which

    accepted, corrected, added   the reviewer's box is present, with score 1 like human boxes, whatever the selection;
                                 it replaces the stored box that the verdict is about, or is added if there is none
    rejected                     the stored box that the verdict is about is dropped, as ``rejected_by_reviewer``

A verdict is about that stored box of its phrase, with the same span, that overlaps the verdict's target or drawn box
best, with an IoU of at least 0.5; each box and each verdict is matched at most once. So verdicts survive a relabelling.
If the caption does not have the phrase any more, they have no effect. Rules that compare boxes with each other see
reviewed boxes with their score of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.shards import SampleBox, SampleLabels
from schemas.verdicts import Verdict

MIN_IOU = 0.5
REJECTED = "rejected_by_reviewer"
PlacedBox = tuple[tuple[int, int], tuple[float, float, float, float]]
"""The span of a phrase, and a box of that phrase."""


class Reviewed(NamedTuple):
    """Labels after the verdicts; ``vouched``: the numbers of the reviewers' boxes; ``dropped``: counts by reason."""

    labels: SampleLabels
    vouched: frozenset[int]
    dropped: dict[str, int]


def match_verdicts(verdicts: Sequence[Verdict], boxes: Sequence[PlacedBox]) -> list[int | None]:
    """For each verdict the number of the box that it is about, or None; the best overlaps are matched first."""
    pairs = []
    for number, verdict in enumerate(verdicts):
        for place, (span, box) in enumerate(boxes):
            if span == (verdict.start, verdict.end):
                overlap = max(iou(box, verdict.box_xyxy), iou(box, verdict.true_xyxy))
                if overlap >= MIN_IOU:
                    pairs.append((-overlap, number, place))
    matched: list[int | None] = [None] * len(verdicts)
    taken: set[int] = set()
    for _, number, place in sorted(pairs):
        if matched[number] is None and place not in taken:
            matched[number] = place
            taken.add(place)
    return matched


def placed_boxes(labels: SampleLabels) -> list[PlacedBox]:
    """The boxes of a sample with the spans of their phrases, in order."""
    spans = [(phrase.start, phrase.end) for phrase in labels.phrases]
    return [(spans[box.phrase], box.box_xyxy) for box in labels.boxes]


def apply_verdicts(labels: SampleLabels, verdicts: Sequence[Verdict]) -> Reviewed:
    """The labels with the verdicts applied."""
    if not verdicts:
        return Reviewed(labels, frozenset(), {})
    boxes: list[SampleBox | None] = list(labels.boxes)
    phrase_of = {(phrase.start, phrase.end): number for number, phrase in enumerate(labels.phrases)}
    vouched = set()
    for verdict, place in zip(verdicts, match_verdicts(verdicts, placed_boxes(labels)), strict=True):
        phrase = phrase_of.get((verdict.start, verdict.end))
        if verdict.verdict == "rejected":
            if place is not None:
                boxes[place] = None
        elif phrase is not None:
            place = len(boxes) if place is None else place
            boxes[place : place + 1] = [_human(verdict, phrase, labels)]
            vouched.add(place)
    stays = [number for number, box in enumerate(boxes) if box is not None]
    dropped = len(boxes) - len(stays)
    return Reviewed(
        labels.model_copy(update={"boxes": [box for box in boxes if box is not None]}),
        frozenset(new for new, old in enumerate(stays) if old in vouched),
        {REJECTED: dropped} if dropped else {},
    )


def _human(verdict: Verdict, phrase: int, labels: SampleLabels) -> SampleBox:
    """The reviewer's box, inside the picture."""
    x1, y1, x2, y2 = verdict.true_xyxy
    box = (min(x1, labels.width), min(y1, labels.height), min(x2, labels.width), min(y2, labels.height))
    of_an_ensemble = any(one.agreement is not None for one in labels.boxes)
    return SampleBox(phrase=phrase, box_xyxy=box, score=1.0, agreement=1.0 if of_an_ensemble else None)


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two xyxy boxes; 0 where both are empty."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    total = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1]) - shared
    return shared / total if total > 0 else 0.0
