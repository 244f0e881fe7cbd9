"""Which boxes are high-confidence: presets, applied when a dataset is read, so that a new threshold costs no GPU.

In: the labels of one sample, boxes stored from a low floor. Out: the same labels with the boxes that pass; phrases
stay, so that box numbers keep their meaning. One function and one reason per rule, applied in the order of ``RULES``.

Sources: GLIP section 3.3 (``glip``), Kosmos-2 section 2.1 (``grit``), OWL-ST section 3.1 (``owl-st``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pydantic import Field, ValidationError

from schemas.recipes import Recipe, explain
from schemas.records import Grounding, PseudoLabel, Reject
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
    min_best_score: float | None = Field(default=None, ge=0, lt=1)
    """The image keeps its boxes only if its best one scores more than this."""


PRESETS: dict[str, Selection] = {
    "all": Selection(),
    "glip": Selection(min_score=0.5),
    "grit": Selection(min_score=0.65, drop_abstract=True, drop_contained=True, max_overlap=0.6),
    "owl-st": Selection(min_score=0.1, min_best_score=0.3),
}

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


class Kept(NamedTuple):
    """Boxes that are still in, by number, ascending."""

    labels: SampleLabels
    boxes: tuple[int, ...]


def score_not_above_min(kept: Kept, selection: Selection) -> set[int]:
    if selection.min_score is None:
        return set()
    return {number for number in kept.boxes if kept.labels.boxes[number].score <= selection.min_score}


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


def image_best_not_above_min(kept: Kept, selection: Selection) -> set[int]:
    if selection.min_best_score is None:
        return set()
    best = max((kept.labels.boxes[number].score for number in kept.boxes), default=0.0)
    return set() if best > selection.min_best_score else set(kept.boxes)


Rule = Callable[[Kept, Selection], set[int]]
# Reason > rule. The name of a reason says the failure.
RULES: dict[str, Rule] = {
    "score_not_above_min": score_not_above_min,
    "phrase_abstract": phrase_abstract,
    "phrase_contained": phrase_contained,
    "box_overlaps_better": box_overlaps_better,
    "image_best_not_above_min": image_best_not_above_min,
}


def resolve_selection(selection: str | Mapping[str, object]) -> Selection:
    """A preset's name, or numbers as ``{"min_score": 0.4}``; ValueError names the presets there are."""
    if isinstance(selection, str):
        if selection not in PRESETS:
            raise ValueError(f"no selection {selection!r}; there are: {', '.join(PRESETS)}")
        return PRESETS[selection]
    try:
        return Selection.model_validate(dict(selection))
    except ValidationError as error:
        raise ValueError(f"selection {dict(selection)}: {explain(error)}") from None


def select(labels: SampleLabels, selection: str | Mapping[str, object] | Selection) -> SampleLabels:
    """The labels with the boxes that pass; possibly none. Phrases are untouched."""
    return select_with_reasons(labels, selection)[0]


def select_with_reasons(
    labels: SampleLabels, selection: str | Mapping[str, object] | Selection
) -> tuple[SampleLabels, dict[str, int]]:
    """As :func:`select`, with the number of boxes that each rule dropped; kept + dropped is what came in."""
    rules = selection if isinstance(selection, Selection) else resolve_selection(selection)
    boxes = tuple(range(len(labels.boxes)))
    dropped: dict[str, int] = {}
    for reason, rule in RULES.items():
        out = rule(Kept(labels, boxes), rules)
        boxes = tuple(number for number in boxes if number not in out)
        if out:
            dropped[reason] = len(out)
    return labels.model_copy(update={"boxes": [labels.boxes[number] for number in boxes]}), dropped


def keep_above_floor(grounding: Grounding, *, min_score: float, max_boxes_per_phrase: int) -> PseudoLabel | Reject:
    """What is stored of a teacher's answer: candidates of at least ``min_score``, the best few of each phrase.

    A sample without any is a Reject ``no_candidate`` of the stage ``select``.
    """
    kept = []
    counts: dict[int, int] = {}
    for candidate in sorted(grounding.candidates, key=lambda one: (one.phrase, -one.score, one.box_xyxy)):
        counts[candidate.phrase] = counts.get(candidate.phrase, 0) + 1
        if candidate.score >= min_score and counts[candidate.phrase] <= max_boxes_per_phrase:
            kept.append(candidate)
    if not kept:
        best = max((candidate.score for candidate in grounding.candidates), default=0.0)
        message = f"no box of {len(grounding.phrases)} phrases scores {min_score} or more (best: {best})"
        return Reject(grounding.source.key, "select", "no_candidate", message)
    return PseudoLabel(grounding.source, grounding.phrases, grounding.width, grounding.height, tuple(kept))


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two xyxy boxes; 0 where both are empty."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    total = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1]) - shared
    return shared / total if total > 0 else 0.0
