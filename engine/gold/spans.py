"""From a caption with annotated spans to a gold sample: the rules that all grounding formats share.

In: a caption, its phrases with boxes in xyxy pixels, and a function that reads its picture. Out: a row; each invalid
annotation is a reject with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.gold.coco_json import Keys, dropped, rejected_row
from engine.gold.rules import Picture, box_from_xyxy, head_lemma
from engine.gold.sources import GoldBox, GoldRow, labelled_image
from engine.selecting.columns import SCORE_DECIMALS
from schemas.records import BoxXYXY, Phrase, Reject


@dataclass(frozen=True, slots=True)
class SpanBoxes:
    """A phrase of a caption: half-open characters, its boxes as the source has them, and its text and scores if the
    source states them, too."""

    start: int
    end: int
    boxes_xyxy: Sequence[BoxXYXY]
    text: str | None = None
    scores: Sequence[float] | None = None
    """The score of each box that a machine annotated; None for human boxes, whose score is 1."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption of a picture, whose width and height in pixels are ``size_wh``, and its ``annotations``: phrases, and a
    message for each malformed one."""

    key: str
    text: str
    size_wh: tuple[int, int]
    locator: str
    annotations: Sequence[SpanBoxes | str]


def grounding_row(
    row: int, caption: Caption, keys: Keys, picture: Callable[[], Picture | str], recipe_digest: str
) -> GoldRow:
    """The sample of one caption; without a valid phrase it is the reject ``no_phrase``, since it teaches nothing."""
    phrases, boxes, rejects = valid_spans(caption)
    if not phrases:
        reasons = ", ".join(sorted({reject.reason for reject in rejects})) or "no phrase of the caption is annotated"
        return rejected_row(caption.key, "no_phrase", reasons)
    found = keys.fault(caption.key, row) or picture()
    if isinstance(found, str):
        return rejected_row(caption.key, found, f"image of {caption.locator}")
    sample = labelled_image(
        caption.key, caption.text, phrases, boxes, found, locator=caption.locator, recipe_digest=recipe_digest
    )
    return GoldRow(sample, tuple(rejects), len(rejects) + len(boxes))


def valid_spans(caption: Caption) -> tuple[tuple[Phrase, ...], list[GoldBox], list[Reject]]:
    """The valid phrases, ordered by start, and their boxes; and a reject for each invalid box."""
    malformed = (one for one in caption.annotations if isinstance(one, str))
    rejects = [dropped(caption.key, "annotation_malformed", message) for message in malformed]
    found: dict[tuple[int, int], list[tuple[BoxXYXY, float]]] = {}
    for span in (one for one in caption.annotations if isinstance(one, SpanBoxes)):
        fault = _span_fault(span, caption.text)
        if fault:
            message = f"{span.text!r} at [{span.start}:{span.end}]"
            rejects.extend(dropped(caption.key, fault, message) for _ in range(max(1, len(span.boxes_xyxy))))
            continue
        scores = [1.0] * len(span.boxes_xyxy) if span.scores is None else span.scores
        for corners, score in zip(span.boxes_xyxy, scores, strict=True):
            box = box_from_xyxy(corners, *caption.size_wh) if 0 <= score <= 1 else "score_out_of_range"
            if isinstance(box, str):
                text = caption.text[span.start : span.end]
                rejects.append(dropped(caption.key, box, f"{text!r}, xyxy {corners}"))
            else:
                # Rounded as in the tables of boxes, so that a selection is the same by table and by sample.
                found.setdefault((span.start, span.end), []).append((box, round(score, SCORE_DECIMALS)))
    spans = sorted(found)
    texts = [caption.text[start:end] for start, end in spans]
    phrases = tuple(Phrase(text, *span, head_lemma(text)) for text, span in zip(texts, spans, strict=True))
    return phrases, [GoldBox(number, *box) for number, span in enumerate(spans) for box in found[span]], rejects


def _span_fault(span: SpanBoxes, caption: str) -> str | None:
    if not 0 <= span.start < span.end <= len(caption) or not caption[span.start : span.end].strip():
        return "span_mismatch"
    if span.text is not None and caption[span.start : span.end] != span.text:
        return "span_mismatch"
    return None if span.boxes_xyxy else "phrase_without_box"


def marked_spans(
    text: str,
    marks: Sequence[tuple[int, int]],
    boxes_xyxy: Sequence[BoxXYXY],
    scores: Sequence[float] | None = None,
) -> list[SpanBoxes]:
    """The phrases of a caption with marked words or phrases, each with all the boxes. No mark gives an empty span,
    which becomes a reject for each box."""
    return [SpanBoxes(*span, boxes_xyxy, scores=scores) for span in unit_spans(text, marks) or [(0, 0)]]


def unit_spans(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans ordered by start; those separated only by white space are joined, since some formats mark each word.

    >>> unit_spans("a red car", [(2, 5), (6, 9)])
    [(2, 9)]
    """
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
