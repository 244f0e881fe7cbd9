"""Reader of captions with phrase boxes: the grounding data that GLIP calls gold (section 3.3).

In: a folder with ``captions.json`` (COCO captions, with the images), ``phrases.json`` (a list of captions, each phrase
with half-open character span and boxes) and the images. Out: a row a caption of ``captions.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from engine.artifacts import digest_of
from engine.gold_json import (
    XYWH,
    CocoImage,
    CocoItem,
    Id,
    Images,
    Keys,
    checked,
    dropped,
    items,
    load_json,
    rejected_row,
)
from engine.gold_rules import box_from_xywh, head_lemma
from engine.gold_sources import GoldRow, labelled_image
from schemas.records import BoxXYXY, Phrase, Reject

NumberedBoxes = list[tuple[int, BoxXYXY]]


class CocoCaption(CocoItem):
    """A caption of an image."""

    id: Id
    image_id: Id
    caption: str


class CaptionPhrases(CocoItem):
    """The annotated phrases of one caption."""

    caption_id: Id
    phrases: list[Any]


class PhraseBoxes(CocoItem):
    """A phrase of a caption; boxes are xywh pixels."""

    phrase: str
    start: int
    end: int
    boxes_xywh: list[XYWH]


class CocoPhrases:
    """A caption without a phrase that holds is the reject ``no_phrase``: there is nothing to learn from it."""

    task: Literal["grounding", "detection"] = "grounding"
    classes: Sequence[str] = ()

    def __init__(self, source: Path) -> None:
        file = source / "captions.json"
        document, digest = load_json(file)
        annotated, phrases_digest = load_json(source / "phrases.json")
        if not isinstance(annotated, list):
            raise ValueError(f"{source / 'phrases.json'} is no list of captions with their phrases")
        self.uri = "phrases.json"
        self._images = Images(document, file)
        self._captions = [checked(CocoCaption, item) for item in items(document, "annotations", file)]
        self._keys = Keys([self._key(row) for row in range(len(self._captions))])
        self._phrases, self._homeless = self._by_caption(annotated)
        self._fingerprint = digest_of([digest, phrases_digest, self._images.digest()])

    def __len__(self) -> int:
        return len(self._captions)

    def fingerprint(self) -> str:
        return self._fingerprint

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        homeless = self._homeless if row == 0 else ()  # phrases of no caption are counted with the first one
        caption, key = self._captions[row], self._key(row)
        if isinstance(caption, str):
            return rejected_row(key, "caption_malformed", caption, homeless)
        image = self._images.of_id.get(caption.image_id)
        if image is None:
            return rejected_row(key, "image_undeclared", f"image {caption.image_id!r}", homeless)
        annotated = self._phrases.get(caption.id, [])
        phrases, boxes, rejects = _valid_phrases(key, annotated, caption.caption, image)
        if not phrases:
            reasons = ", ".join(sorted({reject.reason for reject in rejects})) or "none is annotated"
            return rejected_row(key, "no_phrase", reasons, homeless)
        picture = self._keys.fault(key, row) or self._images.picture(image)
        if isinstance(picture, str):
            return rejected_row(key, picture, f"image {image.file_name!r}", homeless)
        locator = f"{self.uri}#{caption.id}"
        sample = labelled_image(
            key, caption.caption, phrases, boxes, picture, locator=locator, recipe_digest=recipe_digest
        )
        return GoldRow(sample, (*homeless, *rejects), len(homeless) + len(rejects) + len(boxes))

    def _key(self, row: int) -> str:
        """Image and caption: several captions of one photo are several samples."""
        caption = self._captions[row]
        if isinstance(caption, str):
            return f"row-{row}"
        image = self._images.of_id.get(caption.image_id)
        return f"{image.stem if image else caption.image_id}-{caption.id}"

    def _by_caption(self, annotated: list[Any]) -> tuple[dict[Id, list[Any]], tuple[Reject, ...]]:
        declared = {item.id for item in self._captions if isinstance(item, CocoCaption)}
        found: dict[Id, list[Any]] = {}
        homeless = []
        for number, item in enumerate(annotated):
            entry = checked(CaptionPhrases, item)
            if isinstance(entry, str):
                homeless.append(dropped("", "annotation_malformed", f"entry {number}: {entry}"))
            elif entry.caption_id not in declared:
                homeless.append(dropped("", "caption_undeclared", f"entry {number}: caption {entry.caption_id!r}"))
            else:
                found.setdefault(entry.caption_id, []).extend(entry.phrases)
        return found, tuple(homeless)


def _valid_phrases(
    key: str, annotated: list[Any], caption: str, image: CocoImage
) -> tuple[tuple[Phrase, ...], NumberedBoxes, list[Reject]]:
    """The phrases that hold, by their start, and their boxes; one reject for each box that does not."""
    found: dict[tuple[int, int], list[BoxXYXY]] = {}
    rejects = []
    for item in annotated:
        phrase = checked(PhraseBoxes, item)
        if isinstance(phrase, str):
            rejects.append(dropped(key, "annotation_malformed", phrase))
            continue
        fault = _span_fault(phrase, caption)
        if fault:
            message = f"{phrase.phrase!r} at [{phrase.start}:{phrase.end}]"
            rejects.extend(dropped(key, fault, message) for _ in range(max(1, len(phrase.boxes_xywh))))
            continue
        for box_xywh in phrase.boxes_xywh:
            box = box_from_xywh(box_xywh, image.width, image.height)
            if isinstance(box, str):
                rejects.append(dropped(key, box, f"{phrase.phrase!r}, xywh {box_xywh}"))
            else:
                found.setdefault((phrase.start, phrase.end), []).append(box)
    spans = sorted(found)
    phrases = tuple(Phrase(caption[a:b], a, b, head_lemma(caption[a:b])) for a, b in spans)
    return phrases, [(number, box) for number, span in enumerate(spans) for box in found[span]], rejects


def _span_fault(phrase: PhraseBoxes, caption: str) -> str | None:
    if not 0 <= phrase.start < phrase.end <= len(caption) or caption[phrase.start : phrase.end] != phrase.phrase:
        return "span_mismatch"
    return None if phrase.boxes_xywh else "phrase_without_box"
