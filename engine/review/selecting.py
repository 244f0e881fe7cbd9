"""What people said of a sample, applied to its labels; readers do it before they select (:mod:`engine.view`).

In: the labels of a sample as stored, and the verdicts on its caption. Out: labels in which

    accepted, corrected, added   the reviewer's box stands, with score 1 as human boxes have, whatever the selection;
                                 it takes the place of the stored box that it is about, or joins where there is none
    rejected                     the stored box that it is about is dropped, as ``rejected_by_reviewer``

A verdict is about the stored box of its phrase, span for span, that overlaps its target or its own box best, from an
IoU of 0.5 on; each box and each verdict is matched once. So verdicts outlive a relabelling. Where the caption no longer
has the phrase, they say nothing. Rules that compare boxes with each other see reviewed boxes with their score of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.shards import SampleBox, SampleLabels
from schemas.verdicts import Verdict

MIN_IOU = 0.5
REJECTED = "rejected_by_reviewer"
PlacedBox = tuple[tuple[int, int], tuple[float, float, float, float]]
"""The span of a phrase, and a box of it."""


class Reviewed(NamedTuple):
    """Labels after the verdicts: the numbers of the boxes that people vouch for, and what was dropped."""

    labels: SampleLabels
    vouched: frozenset[int]
    dropped: dict[str, int]


def match_verdicts(verdicts: Sequence[Verdict], boxes: Sequence[PlacedBox]) -> list[int | None]:
    """For each verdict the number of the box that it is about, None where there is none; the best overlaps first."""
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
    """The labels as the reviewers left them; without verdicts as they are."""
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
