"""Reader of captions with phrase boxes: the grounding data that GLIP calls gold (section 3.3).

In: a folder with ``captions.json`` (COCO captions, with the images), ``phrases.json`` (a list of captions, each phrase
with half-open character span and boxes) and the images. Out: a row for each caption of ``captions.json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    image_folders,
    listed,
    rejected_row,
    xyxy_of,
)
from engine.gold.files import checked_file
from engine.gold.json_lists import JsonLists
from engine.gold.scratch import RowsByKey
from engine.gold.sources import GoldPlace, GoldReader, GoldRow
from engine.gold.spans import Caption, SpanBoxes, grounding_row
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


class CocoPhrases(GoldReader):
    """A row for each caption; its phrases are found by its id."""

    def __init__(self, place: GoldPlace) -> None:
        source = place.without_split("coco-phrases").annotations
        file = checked_file(source / "captions.json")
        phrases = checked_file(source / "phrases.json")
        document, annotated = JsonLists(file), JsonLists(phrases, {None: "caption_id"})
        if None not in annotated.lists:
            raise ValueError(f"{phrases} is not a list of captions with their phrases")
        self.uri = "phrases.json"
        self._images = Images(listed(document, "images", file), image_folders(place, file))
        self._captions, self._entries = listed(document, "annotations", file), annotated.lists[None]
        self._keys = Keys(self._key(row, caption) for row, caption in enumerate(self._checked_captions()))
        self.fingerprint = digest_of([document.sha256, annotated.sha256, self._images.digest()])

    def _checked_captions(self) -> Iterator[CocoCaption | str]:
        return (checked(CocoCaption, item) for item in self._captions)

    def __len__(self) -> int:
        return len(self._captions)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        caption, key = checked(CocoCaption, self._captions[row]), self._keys[row]
        if isinstance(caption, str):
            return rejected_row(key, "caption_malformed", caption)
        image = self._images.of(caption.image_id)
        if image is None:
            return rejected_row(key, "image_undeclared", f"image {caption.image_id!r}")
        phrases = (checked(PhraseBoxes, item) for item in self._phrases(caption.id))
        captioned = Caption(
            key=key,
            text=caption.caption,
            size_wh=(image.width, image.height),
            locator=f"{self.uri}#{caption.id}",
            annotations=[one if isinstance(one, str) else one.span() for one in phrases],
        )
        return grounding_row(row, captioned, self._keys, lambda: self._images.picture(image), recipe_digest)

    def _key(self, row: int, caption: CocoCaption | str) -> str:
        """The key of a row, made from image and caption, since several captions of one photo are several samples."""
        if isinstance(caption, str):
            return f"row-{row}"
        return f"{self._images.key_of_id(caption.image_id)}-{caption.id}"

    def _phrases(self, caption_id: Id) -> Iterator[Any]:
        entries = (checked(CaptionPhrases, item) for item in self._entries.of(caption_id))
        return (phrase for entry in entries if isinstance(entry, CaptionPhrases) for phrase in entry.phrases)

    def homeless(self) -> tuple[Reject, ...]:
        """A reject for each invalid entry, and each one of an undeclared caption."""
        declared = RowsByKey(one.id if isinstance(one, CocoCaption) else None for one in self._checked_captions())
        rejects = []
        for number, item in enumerate(self._entries):
            entry = checked(CaptionPhrases, item)
            if isinstance(entry, str):
                rejects.append(dropped("", "annotation_malformed", f"entry {number}: {entry}"))
            elif declared.first(entry.caption_id) is None:
                message = f"entry {number}: caption {entry.caption_id!r} is not among the captions"
                rejects.append(dropped("", "caption_undeclared", message))
        return tuple(rejects)
