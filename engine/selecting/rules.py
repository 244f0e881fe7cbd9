"""The rules of a selection: one function and one reason per rule, applied in the order of ``RULES``.

In: the boxes of one sample that are still in, and the numbers of the selection. Out: the boxes that a rule drops. To
add a rule: a field of :class:`Selection`, a function here with a line in ``RULES``, and the same on columns
(:mod:`engine.selecting.columns`).

Sources: GLIP section 3.3 (scores), Kosmos-2 section 2.1 (abstract nouns, containment, suppression across phrases),
OWL-ST section 3.1 (the image's best score). The calibrated scores are this project's (``engine/calibration.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pydantic import Field

from engine.selecting.calibrated_scores import CalibratedScores, box_share
from schemas.recipes import Recipe
from schemas.shards import SampleBox, SampleLabels


class Selection(Recipe):
    """The numbers of a selection; each turns on one rule, and the defaults keep every box."""

    min_score: float | None = Field(default=None, ge=0, lt=1)
    """A box scores more than this."""
    drop_abstract: bool = False
    """Phrases whose head is no thing to be seen ("time", "love") get no box."""
    drop_contained: bool = False
    """A phrase inside a longer phrase that has a box gets none of its own ("a dog" in "a dog in a field")."""
    max_overlap: float | None = Field(default=None, gt=0, le=1)
    """Of two boxes with a larger IoU, of any phrases, the better one stays."""
    min_box_share: float | None = Field(default=None, gt=0, le=1)
    """A box covers at least this share of the image's area."""
    max_box_share: float | None = Field(default=None, gt=0, le=1)
    """A box covers at most this share of the image's area."""
    drop_whole_image: bool = False
    """A box that is as wide and as high as the image, but for 2 %, goes: what a teacher answers with when it finds
    nothing, and what phrases that name the picture get."""
    max_boxes_per_phrase: int | None = Field(default=None, gt=0)
    """Of a phrase with more boxes that are in so far, the best few stay."""
    min_agreement: float | None = Field(default=None, gt=0, le=1)
    """Of an ensemble's labels: the boxes of its two teachers have at least this IoU. From 0.5 on two boxes count as
    one, and what one teacher alone found has 0: any value up to 0.5 keeps what both found."""
    min_best_score: float | None = Field(default=None, ge=0, lt=1)
    """The image keeps its boxes only if its best one scores more than this."""
    calibrated: CalibratedScores | None = None
    """A box scores at least what a calibration asks of its group."""

    def identity(self) -> dict[str, object]:
        """What the selection does, as a JSON value to be digested: rules that are off do not show."""
        return self.model_dump(mode="json", exclude_defaults=True)


# Heads that GRIT-like pipelines drop: Kosmos-2 names "time, love, freedom" and gives no list; these are of that kind
# and frequent in captions.
_ABSTRACT = """
time love freedom day year moment life idea way thing reason fact beauty hope peace joy fun happiness sadness anger fear
success failure future past present history culture experience opportunity knowledge information education health safety
security support help service quality value price cost style fashion concept theme mood feeling emotion thought dream
memory secret truth death power energy strength spirit faith luck chance choice decision result effect cause problem
solution difference attention interest importance
"""
ABSTRACT_HEADS = frozenset(_ABSTRACT.split())
WHOLE_SIDE = 0.98  # of the image's, of a box that is the whole image


class Kept(NamedTuple):
    """Boxes that are still in, by number, ascending."""

    labels: SampleLabels
    boxes: tuple[int, ...]


def score_not_above_min(kept: Kept, selection: Selection) -> set[int]:
    if selection.min_score is None:
        return set()
    return {number for number in kept.boxes if kept.labels.boxes[number].score <= selection.min_score}


def precision_out_of_reach(kept: Kept, selection: Selection) -> set[int]:
    if selection.calibrated is None:
        return set()
    least = selection.calibrated.min_score
    return {number for number in kept.boxes if least(kept.labels, kept.labels.boxes[number]) is None}


def score_below_calibrated(kept: Kept, selection: Selection) -> set[int]:
    if selection.calibrated is None:
        return set()
    boxes = {number: kept.labels.boxes[number] for number in kept.boxes}
    least = {number: selection.calibrated.min_score(kept.labels, box) for number, box in boxes.items()}
    return {number for number, score in least.items() if score is not None and boxes[number].score < score}


def agreement_below_min(kept: Kept, selection: Selection) -> set[int]:
    least = selection.min_agreement
    if least is None:
        return set()
    return {number for number in kept.boxes if (kept.labels.boxes[number].agreement or 0.0) < least}


def phrase_abstract(kept: Kept, selection: Selection) -> set[int]:
    if not selection.drop_abstract:
        return set()
    phrases = kept.labels.phrases
    return {
        number
        for number in kept.boxes
        if phrases[kept.labels.boxes[number].phrase].head_lemma.lower() in ABSTRACT_HEADS
    }


def phrase_contained(kept: Kept, selection: Selection) -> set[int]:
    if not selection.drop_contained:
        return set()
    spans = {number: kept.labels.phrases[number] for number in {kept.labels.boxes[box].phrase for box in kept.boxes}}
    inner = {
        number
        for number, span in spans.items()
        for other in spans.values()
        if other.start <= span.start and span.end <= other.end and len(other.text) > len(span.text)
    }
    return {number for number in kept.boxes if kept.labels.boxes[number].phrase in inner}


def box_overlaps_better(kept: Kept, selection: Selection) -> set[int]:
    if selection.max_overlap is None:
        return set()
    stay: list[SampleBox] = []
    dropped = set()
    for number in sorted(kept.boxes, key=lambda number: -kept.labels.boxes[number].score):
        box = kept.labels.boxes[number]
        if any(iou(box.box_xyxy, better.box_xyxy) > selection.max_overlap for better in stay):
            dropped.add(number)
        else:
            stay.append(box)
    return dropped


def box_share_below_min(kept: Kept, selection: Selection) -> set[int]:
    least = selection.min_box_share
    if least is None:
        return set()
    return {number for number in kept.boxes if box_share(kept.labels, kept.labels.boxes[number].box_xyxy) < least}


def box_share_above_max(kept: Kept, selection: Selection) -> set[int]:
    most = selection.max_box_share
    if most is None:
        return set()
    return {number for number in kept.boxes if box_share(kept.labels, kept.labels.boxes[number].box_xyxy) > most}


def box_whole_image(kept: Kept, selection: Selection) -> set[int]:
    if not selection.drop_whole_image:
        return set()
    width, height = WHOLE_SIDE * kept.labels.width, WHOLE_SIDE * kept.labels.height
    corners = {number: kept.labels.boxes[number].box_xyxy for number in kept.boxes}
    return {number for number, (x1, y1, x2, y2) in corners.items() if x2 - x1 >= width and y2 - y1 >= height}


def box_beyond_max_of_phrase(kept: Kept, selection: Selection) -> set[int]:
    if selection.max_boxes_per_phrase is None:
        return set()
    seen: dict[int, int] = {}
    dropped = set()
    for number in sorted(kept.boxes, key=lambda number: -kept.labels.boxes[number].score):
        phrase = kept.labels.boxes[number].phrase
        seen[phrase] = seen.get(phrase, 0) + 1
        if seen[phrase] > selection.max_boxes_per_phrase:
            dropped.add(number)
    return dropped


def image_best_not_above_min(kept: Kept, selection: Selection) -> set[int]:
    if selection.min_best_score is None:
        return set()
    best = max((kept.labels.boxes[number].score for number in kept.boxes), default=0.0)
    return set() if best > selection.min_best_score else set(kept.boxes)


Rule = Callable[[Kept, Selection], set[int]]
# Reason > rule. The name of a reason says the failure.
RULES: dict[str, Rule] = {
    "score_not_above_min": score_not_above_min,
    "precision_out_of_reach": precision_out_of_reach,
    "score_below_calibrated": score_below_calibrated,
    "agreement_below_min": agreement_below_min,
    "box_share_below_min": box_share_below_min,
    "box_share_above_max": box_share_above_max,
    "box_whole_image": box_whole_image,
    "phrase_abstract": phrase_abstract,
    "phrase_contained": phrase_contained,
    "box_overlaps_better": box_overlaps_better,
    "box_beyond_max_of_phrase": box_beyond_max_of_phrase,
    "image_best_not_above_min": image_best_not_above_min,
}


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two xyxy boxes; 0 where both are empty."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    total = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1]) - shared
    return shared / total if total > 0 else 0.0
