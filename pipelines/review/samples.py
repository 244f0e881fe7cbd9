"""A sample as a reviewer's page shows it: its boxes as they stand now, and what was said of them.

In: stored labels, the verdicts that hold of their caption, a selection, how the picture is turned. Out: JSON values for
``templates/review.js``. All its boxes are in pixels of the picture as it is seen, upright.
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
MAX_CAPTION_CHARS = 20_000  # a box can be judged only by who sees its phrase in the caption


def shown_sample(
    labels: SampleLabels,
    turn: Turn,
    verdicts: Sequence[Verdict],
    rules: Selection | None,
    history: Sequence[Verdict],
) -> dict[str, Any]:
    """The whole sample. A box has ``target``, which a further verdict is bound to, and ``box``, where the thing is said
    to be; ``selected`` where readers keep it. ``history``: every verdict ever given on the caption, oldest first."""
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
    """A box of the dataset as the page has it: upright, to a hundredth of a pixel."""
    return rounded(turn.box(stored_xyxy))


def rounded(box: Box) -> Box:
    """To a hundredth of a pixel, as boxes are stored."""
    x1, y1, x2, y2 = (round(value, 2) for value in box)
    return (x1, y1, x2, y2)


def _stored_boxes(
    labels: SampleLabels, verdicts: Sequence[Verdict], places: Sequence[int | None], rules: Selection | None
) -> list[dict[str, Any]]:
    """Each stored box, with the verdict that is about it."""
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
    """The reviewers' boxes that no stored box stands for."""
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
