"""Which boxes are high-confidence: presets, applied when a dataset is read, so that a new threshold costs no GPU.

In: the labels of one sample, boxes stored from a low floor. Out: the same labels with the boxes that pass; phrases
stay, so that box numbers keep their meaning. What each rule does is :mod:`engine.selecting.rules`.

Sources: GLIP section 3.3 (``glip``), Kosmos-2 section 2.1 (``grit``), OWL-ST section 3.1 (``owl-st``). ``calibrated``
is this project's: the score that reaches a target precision on human data (``engine/calibration.py``).
"""

from __future__ import annotations

import numpy as np
from pydantic import ValidationError

from engine.artifacts import canonical_json
from engine.selecting.calibrated_scores import calibrated_scores
from engine.selecting.columns import columns_of
from engine.selecting.rules import Selection, select_rows
from schemas.recipes import SelectionChoice, TeacherRecipe, explain
from schemas.records import Candidate, Grounding, PseudoLabel, Reject
from schemas.shards import DatasetCard, SampleLabels

__all__ = [
    "CALIBRATED",
    "PRESETS",
    "Selection",
    "check_agreement",
    "check_teacher",
    "chosen_rules",
    "chosen_selection",
    "keep_above_floor",
    "resolve_selection",
    "select",
    "select_with_reasons",
    "selection_name",
]

PRESETS: dict[str, Selection] = {
    "all": Selection(),
    "glip": Selection(min_score=0.5),
    "grit": Selection(min_score=0.65, drop_abstract=True, drop_contained=True, max_overlap=0.6),
    "owl-st": Selection(min_score=0.1, min_best_score=0.3),
}
CALIBRATED = "calibrated"  # a preset too, but of a file: {preset: calibrated, calibration: PATH, precision: 0.7}


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
        names = ", ".join([*PRESETS, CALIBRATED])
        raise ValueError(f"no selection {preset!r}; there are: {names}, and numbers such as {{min_score: 0.4}}")
    try:
        return Selection.model_validate(fields)
    except ValidationError as error:
        raise ValueError(f"selection {selection}: {explain(error, Selection)}") from None


def _read_calibrated(fields: dict[str, object]) -> dict[str, object]:
    """The fields with ``calibration`` and ``precision`` replaced by the scores that are read from that file."""
    path, precision = fields.pop("calibration", None), fields.pop("precision", None)
    if not isinstance(path, str) or not isinstance(precision, (int, float, type(None))):
        raise ValueError(
            "the selection 'calibrated' takes the file that `glip-engine calibrate` wrote, and may name a target: "
            "{preset: calibrated, calibration: PATH, precision: 0.7}"
        )
    return {**fields, "calibrated": calibrated_scores(path, precision)}


def chosen_selection(card: DatasetCard, selection: SelectionChoice | None) -> SelectionChoice | None:
    """The selection that a dataset is read with: the one asked for, else its card's own; None for human boxes."""
    return None if card.origin == "human" else selection or card.selection


def chosen_rules(card: DatasetCard, selection: SelectionChoice | None) -> Selection | None:
    """The numbers of :func:`chosen_selection`. ValueError where there is no such selection."""
    chosen = chosen_selection(card, selection)
    return None if chosen is None else resolve_selection(chosen)


def selection_name(selection: SelectionChoice) -> str:
    """What a selection is called in a table: its preset; a calibrated one with its target; else its numbers."""
    if isinstance(selection, str):
        return selection
    if selection.get("preset") == CALIBRATED and (calibrated := resolve_selection(selection).calibrated):
        return f"{CALIBRATED} {calibrated.precision:.0%}"
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
    """:func:`select`, and the number of boxes that each rule dropped; kept + dropped is what came in. Boxes with the
    numbers ``vouched``, which a reviewer accepted or drew, stay whatever the rules say
    (:mod:`engine.review.selecting`).

    ValueError where the selection is calibrated for another teacher than the one that labelled, or asks for an
    agreement and one teacher alone labelled.
    """
    rules = selection if isinstance(selection, Selection) else resolve_selection(selection)
    _check_teacher(labels, rules, vouched)
    spared = np.isin(np.arange(len(labels.boxes)), sorted(vouched)) if vouched else None
    stays, dropped = select_rows(columns_of(labels), rules, spared)
    kept = [box for box, stay in zip(labels.boxes, stays.tolist(), strict=True) if stay]
    return labels.model_copy(update={"boxes": kept}), dict(dropped)


def _check_teacher(labels: SampleLabels, rules: Selection, vouched: frozenset[int]) -> None:
    """ValueError where a calibration is of another teacher, whose scores mean something else, or an agreement is asked
    of one."""
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

    A box without area, which a model may give that was clipped to the picture's edge, is no candidate. A sample without
    any is a Reject ``no_candidate`` of the stage ``select``.
    """
    kept = []
    counts: dict[int, int] = {}
    candidates = [one for one in grounding.candidates if _has_area(one)]
    for candidate in sorted(candidates, key=lambda one: (one.phrase, -one.score, one.box_xyxy)):
        counts[candidate.phrase] = counts.get(candidate.phrase, 0) + 1
        if candidate.score >= min_score and counts[candidate.phrase] <= max_boxes_per_phrase:
            kept.append(candidate)
    if not kept:
        best = max((candidate.score for candidate in candidates), default=0.0)
        message = f"no box of {len(grounding.phrases)} phrases scores {min_score} or more (best: {best})"
        return Reject(grounding.source.key, "select", "no_candidate", message)
    return PseudoLabel(grounding.source, grounding.phrases, grounding.width, grounding.height, tuple(kept))


def _has_area(candidate: Candidate) -> bool:
    x1, y1, x2, y2 = candidate.box_xyxy
    return x1 < x2 and y1 < y2
