"""Reader of MDETR's JSON, the format of GoldG and of MDETR's Flickr30k, GQA and RefCOCO files.

In: a JSON (in a folder ``mdetr*.json``, or its only one) in COCO's layout, in which an image has a ``caption`` and an
annotation the characters that name it (``tokens_positive``, half-open spans of that caption). Out: a row for each
caption, which is an entry of ``images``.

Spans that are separated only by white space are one phrase; others are phrases of their own, each with the box.
Source: MDETR (Kamath et al. 2021), its repository: .github/pretrain.md and scripts/pre-training/.
"""

from __future__ import annotations

from engine.artifacts import digest_of
from engine.gold.coco_json import (
    XYWH,
    CocoImage,
    CocoItem,
    Images,
    Text,
    checked,
    listed,
    own_keys,
    rejected_row,
    xyxy_of,
)
from engine.gold.json_lists import JsonLists
from engine.gold.rules import key_of
from engine.gold.sources import GoldPlace, GoldReader, GoldRow
from engine.gold.spans import Caption, SpanBoxes, grounding_row, marked_spans
from schemas.records import Reject


class MdetrImage(CocoImage):
    """A caption of an image. An image may occur several times, each time with another id."""

    caption: Text


class MdetrBox(CocoItem):
    """A box, xywh pixels, and the characters of the caption that name it."""

    bbox: XYWH
    tokens_positive: list[tuple[int, int]]

    def spans(self, caption: str) -> list[SpanBoxes]:
        return marked_spans(caption, self.tokens_positive, [xyxy_of(self.bbox)])


class MdetrCaptions(GoldReader):
    """A row for each caption. A second caption with the same id is the reject ``duplicate_id``, since nobody can tell
    which boxes are its own."""

    def __init__(self, place: GoldPlace) -> None:
        file = place.without_split("mdetr").file("mdetr*.json", "*.json")
        document = JsonLists(file, {"annotations": "image_id"})
        self.uri = file.name
        self._captions = listed(document, "images", file)
        self._boxes = listed(document, "annotations", file)
        self._images = Images(self._captions, [place.image_folder("images")])
        self._keys = own_keys(key_of(name) or f"row-{row}" for row, name in enumerate(self._images.names()))
        self.fingerprint = digest_of([document.sha256, self._images.digest()])

    def __len__(self) -> int:
        return len(self._images)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        image, key = checked(MdetrImage, self._captions[row]), self._keys[row]
        if isinstance(image, str):
            return rejected_row(key, "image_malformed", image)
        if self._images.row_of(image.id) != row:
            return rejected_row(key, "duplicate_id", f"image id {image.id!r} is taken")
        boxes = (checked(MdetrBox, item) for item in self._boxes.of(image.id))
        caption = Caption(
            key=key,
            text=image.caption,
            size_wh=(image.width, image.height),
            locator=f"{self.uri}#{image.id}",
            annotations=[one for box in boxes for one in ([box] if isinstance(box, str) else box.spans(image.caption))],
        )
        return grounding_row(row, caption, self._keys, lambda: self._images.picture(image), recipe_digest)

    def homeless(self) -> tuple[Reject, ...]:
        return self._images.homeless(self._boxes)
