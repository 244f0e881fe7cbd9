"""Reader of captions with phrase boxes: the grounding data that GLIP calls gold (section 3.3).

In: a folder with ``captions.json`` (COCO captions, with the images), ``phrases.json`` (a list of captions, each phrase
with half-open character span and boxes) and the images. Out: a row a caption of ``captions.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from engine.artifacts import digest_of
from engine.gold.coco_json import (
    XYWH,
    CocoItem,
    Id,
    Images,
    Keys,
    Text,
    checked,
    dropped,
    image_folder,
    items,
    load_json,
    rejected_row,
)
from engine.gold.sources import GoldPlace, GoldRow
from engine.gold.spans import Caption, SpanBoxes, grounding_row, xyxy_of
from schemas.records import Reject


class CocoCaption(CocoItem):
    """A caption of an image."""

    id: Id
    image_id: Id
    caption: Text


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

    def span(self) -> SpanBoxes:
        return SpanBoxes(self.start, self.end, [xyxy_of(box) for box in self.boxes_xywh], self.phrase)


class CocoPhrases:
    """A row is a caption; its phrases are looked up by its id."""

    task: Literal["grounding", "detection"] = "grounding"
    classes: Sequence[str] = ()

    def __init__(self, place: GoldPlace) -> None:
        source = place.without_split("coco-phrases").annotations
        file = source / "captions.json"
        document, digest = load_json(file)
        annotated, phrases_digest = load_json(source / "phrases.json")
        if not isinstance(annotated, list):
            raise ValueError(f"{source / 'phrases.json'} is no list of captions with their phrases")
        self.uri = "phrases.json"
        self._images = Images(items(document, "images", file), image_folder(place, file))
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
        image = self._images.of(caption.image_id)
        if image is None:
            return rejected_row(key, "image_undeclared", f"image {caption.image_id!r}", homeless)
        phrases = [checked(PhraseBoxes, item) for item in self._phrases.get(caption.id, [])]
        captioned = Caption(
            key=key,
            text=caption.caption,
            width=image.width,
            height=image.height,
            locator=f"{self.uri}#{caption.id}",
            spans=[phrase.span() for phrase in phrases if isinstance(phrase, PhraseBoxes)],
            malformed=[phrase for phrase in phrases if isinstance(phrase, str)],
        )
        return grounding_row(row, captioned, self._keys, lambda: self._images.picture(image), recipe_digest, homeless)

    def _key(self, row: int) -> str:
        """Image and caption: several captions of one photo are several samples."""
        caption = self._captions[row]
        if isinstance(caption, str):
            return f"row-{row}"
        image = self._images.of(caption.image_id)
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
