"""Reader of RefCOCO, RefCOCO+ and RefCOCOg: expressions, each of which refers to one thing.

In: a folder with COCO's ``instances.json`` and ``refs*.json``, the list of references in JSON, and the images; a split
such as train, val, testA. Out: a row for each sentence: the whole expression is the phrase, with the box of its
annotation.

The references are published as a Python pickle, which may run code when it is opened and is not read here. If you trust
yours, make the JSON once:
``python -c "import json, pickle; json.dump(pickle.load(open('refs(unc).p', 'rb')), open('refs(unc).json', 'w'))"``
Source: Yu et al. 2016; the README of github.com/lichengunc/refer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from pydantic import Field

from engine.artifacts import digest_of
from engine.gold.coco_json import (
    XYWH,
    CocoImage,
    CocoItem,
    Id,
    Images,
    Keys,
    Text,
    checked,
    listed,
    rejected_row,
    xyxy_of,
)
from engine.gold.files import checked_file
from engine.gold.json_lists import JsonLists
from engine.gold.scratch import Scratch
from engine.gold.sources import GoldPlace, GoldReader, GoldRow
from engine.gold.spans import Caption, SpanBoxes, grounding_row


class ReferredBox(CocoItem):
    """A box of ``instances.json``, xywh pixels."""

    id: Id
    image_id: Id
    bbox: XYWH


class Sentence(CocoItem):
    """One expression of a reference; ``sent`` is cleaned and in lower case."""

    sent_id: Id
    sent: Text


class Reference(CocoItem):
    """A thing that people referred to."""

    ann_id: Id
    image_id: Id
    split: str
    sentences: list[Any] = Field(min_length=1)


Expression: TypeAlias = tuple[Reference, Sentence] | str
"""A row: a reference and one of its sentences, or in one line what is wrong with it."""


class ReferringExpressions(GoldReader):
    """A row for each sentence of the split. References of other splits are ignored and not counted."""

    def __init__(self, place: GoldPlace) -> None:
        folder = place.folder
        if place.annotations.suffix == ".p" or (any(folder.glob("refs*.p")) and not any(folder.glob("refs*.json"))):
            raise ValueError(
                "references in a pickle (.p) are not opened, as it may run code; convert yours once, if you trust it: "
                'python -c "import json, pickle; '
                "json.dump(pickle.load(open('refs(unc).p', 'rb')), open('refs(unc).json', 'w'))\""
            )
        file, boxes_file = place.file("refs*.json"), checked_file(folder / "instances.json")
        references, document = JsonLists(file), JsonLists(boxes_file, {"annotations": "id"})
        if None not in references.lists:
            raise ValueError(f"{file} is not a list of references")
        self.uri = file.name
        self._references = references.lists[None]
        self._images = Images(listed(document, "images", boxes_file), [place.image_folder("images")])
        self._boxes = listed(document, "annotations", boxes_file)
        self._rows = Scratch()
        places = ((row, *at) for row, (at, _) in enumerate(self._numbered(place.split)))
        self._rows.fill("rows", "row INTEGER PRIMARY KEY, reference, sentence", places)
        self._keys = Keys(self._key(row, one) for row, (_, one) in enumerate(self._numbered(place.split)))
        if not len(self):
            raise ValueError(f"{file} has no reference of split {place.split!r}")
        self.fingerprint = digest_of([references.sha256, document.sha256, self._images.digest()])

    def _numbered(self, split: str | None) -> Iterator[tuple[tuple[int, int], Expression]]:
        """The rows in order, each with the number of its reference and that of its sentence in it."""
        for reference, item in enumerate(self._references):
            for sentence, one in enumerate(_expressions(item, split)):
                yield (reference, sentence), one

    def __len__(self) -> int:
        return len(self._keys)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        at, number = next(self._rows.select("SELECT reference, sentence FROM rows WHERE row = ?", row))
        expression, key = _expressions(self._references[at], None)[number], self._keys[row]
        if isinstance(expression, str):
            return rejected_row(key, "caption_malformed", expression)
        reference, sentence = expression
        image, box = self._images.of(reference.image_id), self._box(reference.ann_id)
        if image is None:
            return rejected_row(key, "image_undeclared", f"image {reference.image_id!r}")
        if box is None or box.image_id != reference.image_id:
            return rejected_row(key, "box_undeclared", f"annotation {reference.ann_id!r} of that image")
        return grounding_row(
            row,
            self._caption(key, sentence, image, box),
            self._keys,
            lambda: self._images.picture(image),
            recipe_digest,
        )

    def _caption(self, key: str, sentence: Sentence, image: CocoImage, box: ReferredBox) -> Caption:
        text = sentence.sent.strip()
        span = SpanBoxes(0, len(text), [xyxy_of(box.bbox)])
        return Caption(key, text, (image.width, image.height), f"{self.uri}#{sentence.sent_id}", [span])

    def _box(self, annotation_id: Id) -> ReferredBox | None:
        """The box with an id, the last valid one if there are several; None where there is none."""
        boxes = [checked(ReferredBox, item) for item in self._boxes.of(annotation_id)]
        return next((box for box in reversed(boxes) if isinstance(box, ReferredBox)), None)

    def _key(self, row: int, one: Expression) -> str:
        if isinstance(one, str):
            return f"row-{row}"
        reference, sentence = one
        return f"{self._images.key_of_id(reference.image_id)}-{sentence.sent_id}"


def _expressions(item: Any, split: str | None) -> list[Expression]:
    """The sentences of a reference: none if it is of another split, one message if it is invalid."""
    reference = checked(Reference, item)
    if isinstance(reference, str):
        return [reference]
    if split is not None and reference.split != split:
        return []
    sentences = (checked(Sentence, one) for one in reference.sentences)
    return [one if isinstance(one, str) else (reference, one) for one in sentences]
