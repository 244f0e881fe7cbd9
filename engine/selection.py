"""Which boxes are high-confidence: presets, applied when a dataset is read, so that a new threshold costs no GPU.

In: the labels of one sample, boxes stored from a low floor. Out: the same labels with the boxes that pass; phrases
stay, so that box numbers keep their meaning. One function and one reason per rule, applied in the order of ``RULES``.

Sources: GLIP section 3.3 (``glip``), Kosmos-2 section 2.1 (``grit``), OWL-ST section 3.1 (``owl-st``). ``calibrated``
is this project's: the score that reaches a target precision on human data (``engine/calibration.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pydantic import Field, ValidationError

from engine.artifacts import canonical_json
from engine.calibrated_scores import CalibratedScores, calibrated_scores
from schemas.recipes import Recipe, SelectionChoice, TeacherRecipe, explain
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


PRESETS: dict[str, Selection] = {
    "all": Selection(),
    "glip": Selection(min_score=0.5),
    "grit": Selection(min_score=0.65, drop_abstract=True, drop_contained=True, max_overlap=0.6),
    "owl-st": Selection(min_score=0.1, min_best_score=0.3),
}
CALIBRATED = "calibrated"  # a preset too, but of a file: {preset: calibrated, calibration: PATH, precision: 0.7}

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


def box_share(labels: SampleLabels, box: SampleBox) -> float:
    """Area of the box as a share of its image, 0 to 1."""
    x1, y1, x2, y2 = box.box_xyxy
    return (x2 - x1) * (y2 - y1) / (labels.width * labels.height)


def box_share_below_min(kept: Kept, selection: Selection) -> set[int]:
    least = selection.min_box_share
    if least is None:
        return set()
    return {number for number in kept.boxes if box_share(kept.labels, kept.labels.boxes[number]) < least}


def box_share_above_max(kept: Kept, selection: Selection) -> set[int]:
    most = selection.max_box_share
    if most is None:
        return set()
    return {number for number in kept.boxes if box_share(kept.labels, kept.labels.boxes[number]) > most}


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


def resolve_selection(selection: SelectionChoice) -> Selection:
    """A preset's name, or numbers as ``{"min_score": 0.4}``, which may change a preset: ``{"preset": "grit", ...}``.

    ``{"preset": "calibrated", "calibration": PATH, "precision": 0.7}`` reads the file. ValueError names the presets
    there are, or what is wrong.
    """
    fields: dict[str, object] = {"preset": selection} if isinstance(selection, str) else dict(selection)
    preset = fields.pop("preset", "all")
    if preset == CALIBRATED:
        fields = _read_calibrated(fields)
    elif preset in PRESETS:
        fields = PRESETS[str(preset)].model_dump(exclude_defaults=True) | fields
    else:
        raise ValueError(f"no selection {preset!r}; there are: {', '.join([*PRESETS, CALIBRATED])}")
    try:
        return Selection.model_validate(fields)
    except ValidationError as error:
        raise ValueError(f"selection {selection}: {explain(error)}") from None


def _read_calibrated(fields: dict[str, object]) -> dict[str, object]:
    """The fields of a selection with the scores in the place of the file and the target that they were read from."""
    path, precision = fields.pop("calibration", None), fields.pop("precision", None)
    if not isinstance(path, str) or not isinstance(precision, (int, float, type(None))):
        raise ValueError(
            "the selection 'calibrated' takes the file that `glip-engine calibrate` wrote, and may name a target: "
            "{preset: calibrated, calibration: PATH, precision: 0.7}"
        )
    return {**fields, "calibrated": calibrated_scores(path, precision)}


def selection_name(selection: SelectionChoice) -> str:
    """What a selection is called in a table: its preset; a calibrated one with its target; else its numbers."""
    if isinstance(selection, str):
        return selection
    if selection.get("preset") == CALIBRATED and (precision := resolve_selection(selection).calibrated):
        return f"{CALIBRATED} {precision.precision:.0%}"
    return canonical_json(selection)


def check_teacher(selection: SelectionChoice, teacher_digest: str) -> None:
    """ValueError where the selection is no selection, or is calibrated for another teacher."""
    calibrated = resolve_selection(selection).calibrated
    if calibrated is not None and calibrated.teacher != teacher_digest:
        raise ValueError(
            f"the labels are of teacher {teacher_digest[:12]}, the calibration of the selection is of teacher "
            f"{calibrated.teacher[:12]}; calibrate the teacher that labels"
        )


def check_agreement(selection: SelectionChoice, teacher: TeacherRecipe) -> None:
    """ValueError where the selection asks one teacher for its agreement with another."""
    if resolve_selection(selection).min_agreement is not None and teacher.grounder != "ensemble":
        raise ValueError(
            f"the selection has min_agreement, which is of an ensemble's two teachers; the grounder is "
            f"{teacher.grounder!r}. Leave it out, or label with `teacher: {{grounder: ensemble, members: [...]}}`"
        )


def select(labels: SampleLabels, selection: SelectionChoice | Selection) -> SampleLabels:
    """The labels with the boxes that pass; possibly none. Phrases are untouched."""
    return select_with_reasons(labels, selection)[0]


def select_with_reasons(
    labels: SampleLabels, selection: SelectionChoice | Selection, *, vouched: frozenset[int] = frozenset()
) -> tuple[SampleLabels, dict[str, int]]:
    """As :func:`select`, with the number of boxes that each rule dropped; kept + dropped is what came in. Boxes of the
    numbers ``vouched``, for which a reviewer stands, stay whatever the rules say (:mod:`engine.review.selecting`).

    ValueError where the selection is calibrated for another teacher than the one that labelled, or asks for an
    agreement and one teacher alone labelled.
    """
    rules = selection if isinstance(selection, Selection) else resolve_selection(selection)
    _check_teacher(labels, rules, vouched)
    boxes = tuple(range(len(labels.boxes)))
    dropped: dict[str, int] = {}
    for reason, rule in RULES.items():
        out = rule(Kept(labels, boxes), rules) - vouched
        boxes = tuple(number for number in boxes if number not in out)
        if out:
            dropped[reason] = len(out)
    return labels.model_copy(update={"boxes": [labels.boxes[number] for number in boxes]}), dropped


def _check_teacher(labels: SampleLabels, rules: Selection, vouched: frozenset[int]) -> None:
    """The score of one teacher means nothing of another's, and one alone agrees with nobody."""
    of_teachers = [box for number, box in enumerate(labels.boxes) if number not in vouched]
    if rules.min_agreement is not None and any(box.agreement is None for box in of_teachers):
        raise ValueError(
            f"sample {labels.key} was labelled by one teacher, so its boxes have no agreement; leave min_agreement out "
            "of the selection, or label with an ensemble"
        )
    if rules.calibrated is not None and labels.teacher_digest != rules.calibrated.teacher:
        raise ValueError(
            f"sample {labels.key} was labelled by teacher {str(labels.teacher_digest)[:12]}, the calibration is of "
            f"teacher {rules.calibrated.teacher[:12]}; calibrate the teacher that labelled"
        )


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
