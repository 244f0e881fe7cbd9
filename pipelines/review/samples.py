"""A sample as the review page shows it: its current boxes, and the verdicts on them.

In: stored labels, the valid verdicts on their caption, a selection, the picture's orientation. Out: JSON values for
``templates/review.js``. All boxes in them are in pixels of the upright picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.review.selecting import apply_verdicts, match_verdicts, placed_boxes
from engine.selection import Selection, select_with_reasons
from pipelines.pages.picture_cards import caption_parts
from pipelines.pictures.upright import Turn
from schemas.shards import SampleBox, SampleLabels
from schemas.verdicts import Box, Verdict

MAX_HISTORY = 50
MAX_CAPTION_CHARS = 20_000  # ample: a reviewer must see the phrase in its caption


def shown_sample(
    labels: SampleLabels,
    turn: Turn,
    verdicts: Sequence[Verdict],
    rules: Selection | None,
    history: Sequence[Verdict],
) -> dict[str, Any]:
    """The whole sample. Each box has ``target``, the box that a new verdict refers to; ``box``, as the valid verdict or
    the teacher has it; and ``selected``, whether readers keep it. ``history``: all verdicts on the caption, oldest
    first."""
    places = match_verdicts(verdicts, placed_boxes(labels))
    boxes = _stored_boxes(labels, verdicts, places, rules) + _own_boxes(labels, verdicts, places)
    for box in boxes:
        box |= {name: shown_box(box[name], turn) for name in ("target", "box")}
    width, height = turn.size
    parts = caption_parts(labels, {box["phrase"] for box in boxes}, MAX_CAPTION_CHARS)
    said = ("at", "reviewer", "verdict", "phrase_text")
    return {
        "key": labels.key,
        "width": width,
        "height": height,
        "caption": list(parts),
        "phrases": [phrase.text for phrase in labels.phrases],
        "boxes": boxes,
        "history": [{name: getattr(row, name) for name in said} for row in reversed(history[-MAX_HISTORY:])],
    }


def shown_box(stored_xyxy: Box, turn: Turn) -> Box:
    """A stored box as the page has it: in the upright picture, rounded to a hundredth of a pixel."""
    return rounded(turn.box(stored_xyxy))


def rounded(box: Box) -> Box:
    """A box rounded to a hundredth of a pixel, as boxes are stored."""
    x1, y1, x2, y2 = (round(value, 2) for value in box)
    return (x1, y1, x2, y2)


def _stored_boxes(
    labels: SampleLabels, verdicts: Sequence[Verdict], places: Sequence[int | None], rules: Selection | None
) -> list[dict[str, Any]]:
    """Each stored box, with the verdict on it."""
    about = {place: verdict for verdict, place in zip(verdicts, places, strict=True) if place is not None}
    kept = {id(box) for box in _selected(labels, verdicts, rules)}
    return [
        _entry(box.phrase, box.box_xyxy, about.get(number))
        | {"score": box.score, "selected": id(box) in kept or number in about}
        for number, box in enumerate(labels.boxes)
    ]


def _selected(labels: SampleLabels, verdicts: Sequence[Verdict], rules: Selection | None) -> list[SampleBox]:
    reviewed = apply_verdicts(labels, verdicts)
    if rules is None:
        return reviewed.labels.boxes
    return select_with_reasons(reviewed.labels, rules, vouched=reviewed.vouched)[0].boxes


def _own_boxes(labels: SampleLabels, verdicts: Sequence[Verdict], places: Sequence[int | None]) -> list[dict[str, Any]]:
    """The reviewers' boxes that match no stored box."""
    phrase_of = {(phrase.start, phrase.end): number for number, phrase in enumerate(labels.phrases)}
    boxes = []
    for verdict, place in zip(verdicts, places, strict=True):
        phrase = phrase_of.get((verdict.start, verdict.end))
        if place is None and phrase is not None and verdict.verdict != "rejected":
            boxes.append(_entry(phrase, verdict.box_xyxy, verdict) | {"score": None, "selected": True})
    return boxes


def _entry(phrase: int, stored: Box, verdict: Verdict | None) -> dict[str, Any]:
    if verdict is None:
        return {"phrase": phrase, "target": stored, "box": stored, "verdict": None, "by": None}
    box = stored if verdict.verdict == "rejected" else verdict.true_xyxy
    said = {"verdict": verdict.verdict, "by": verdict.reviewer}
    return {"phrase": phrase, "target": verdict.box_xyxy, "box": box, **said}
