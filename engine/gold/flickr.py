"""Reader of Flickr30k Entities: sentences with marked phrases, and boxes by entity.

In: a folder with ``Sentences/ID.txt`` (five lines of ``[/EN#283585/people A young white boy] with ...``),
``Annotations/ID.xml`` (boxes of the entities, pixels counted from 1), ``flickr30k-images/`` or ``images/``, and the
splits ``train.txt``, ``val.txt``, ``test.txt``, lists of ids. Out: a row for each sentence, without its marks.

Phrases without a box (scenes, what cannot be boxed, entity ``0`` for what is not visual) are counted as
``phrase_without_box``. Source: Plummer et al. 2015; the README of github.com/BryanPlummer/flickr30k_entities.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from engine.artifacts import digest_of
from engine.gold.coco_json import Keys, rejected_row
from engine.gold.files import annotation_digest, file_size, lines_of, own_files, read_annotation
from engine.gold.rules import read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow
from engine.gold.spans import Caption, SpanBoxes, grounding_row
from engine.gold.voc import names_of_split
from engine.gold.xml_files import MAX_XML_BYTES, corners_of, parse_xml, size_of
from engine.sources.sayable import sayable
from schemas.records import BoxXYXY

MAX_SENTENCES_BYTES = 1_000_000
_MARK = re.compile(r"\[/EN#(?P<entity>\d+)/[^\s\]]+ (?P<text>[^\]]+)\]")


class Mention(NamedTuple):
    """A phrase of a sentence: half-open characters of the sentence without marks, and the id of its entity."""

    start: int
    end: int
    entity: str


class Boxes(NamedTuple):
    """The content of an annotation file: the picture's size, the boxes of each entity (xyxy pixels from 0), and the
    number of malformed boxes."""

    size_wh: tuple[int, int]
    of_entity: dict[str, list[BoxXYXY]]
    malformed: int


class FlickrEntities(GoldReader):
    """A row for each sentence; the five sentences of a photo are five samples, ``ID-0`` to ``ID-4``."""

    def __init__(self, place: GoldPlace) -> None:
        folder = place.folder
        self._annotations, self._images = folder / "Annotations", place.image_folder("flickr30k-images", "images")
        names = _photos(folder, place.split)
        self.uri = "Sentences"
        self._boxes = lru_cache(maxsize=8)(self._read_boxes)  # the five sentences of a photo are adjacent rows
        self._rows: list[tuple[str, int, str]] = []
        self._refused: dict[str, str] = {}
        digests = []
        for name in names:
            sentences = _sentences(folder / "Sentences", name)
            if isinstance(sentences, str):
                self._refused[name] = sentences
                sentences = [""]
            self._rows += [(name, number, sentence) for number, sentence in enumerate(sentences)]
            size = file_size(self._images / f"{name}.jpg")
            digests.append([sayable(name), sentences, annotation_digest(self._xml(name)), size])
        self._keys = Keys([f"{name}-{number}" for name, number, _ in self._rows])
        self.fingerprint = digest_of(digests)

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        name, number, sentence = self._rows[row]
        key = f"{name}-{number}"
        if name in self._refused:
            return rejected_row(key, self._refused[name], f"{self.uri}/{name}.txt")
        boxes = self._boxes(name)
        if isinstance(boxes, str):
            return rejected_row(key, "annotation_malformed", f"{name}.xml: {boxes}")
        text, mentions = parse_sentence(sentence)
        if "[/EN#" in text:
            return rejected_row(key, "caption_malformed", f"a mark that does not end: {text!r}"[:300])
        spans = [SpanBoxes(one.start, one.end, boxes.of_entity.get(one.entity, [])) for one in mentions]
        malformed = ["a box without four numbers"] * (boxes.malformed if number == 0 else 0)
        caption = Caption(key, text, boxes.size_wh, f"{self.uri}#{key}", [*spans, *malformed])
        file = f"{name}.jpg"
        return grounding_row(
            row, caption, self._keys, lambda: read_picture(self._images, file, boxes.size_wh), recipe_digest
        )

    def _xml(self, name: str) -> bytes | str:
        return read_annotation(self._annotations / f"{name}.xml", self._annotations, MAX_XML_BYTES)

    def _read_boxes(self, name: str) -> Boxes | str:
        """The boxes of a photo, or in one line what is wrong with its annotation file."""
        content = self._xml(name)
        return content if isinstance(content, str) else parse_boxes(content)


def parse_sentence(sentence: str) -> tuple[str, list[Mention]]:
    """The sentence without its marks, and its mentions in order.

    >>> parse_sentence("[/EN#1/people Two men] in [/EN#5/clothing green shirts] .")
    ('Two men in green shirts .', [Mention(start=0, end=7, entity='1'), Mention(start=11, end=23, entity='5')])
    """
    text, mentions, at = "", [], 0
    for mark in _MARK.finditer(sentence):
        text += sentence[at : mark.start()]
        mentions.append(Mention(len(text), len(text) + len(mark["text"]), mark["entity"]))
        text += mark["text"]
        at = mark.end()
    return text + sentence[at:], mentions


def parse_boxes(content: bytes) -> Boxes | str:
    """The boxes in an annotation file, or in one line what is wrong with it."""
    root = parse_xml(content)
    if isinstance(root, str):
        return root
    size_wh = size_of(root)
    if size_wh is None:
        return "it states no size of the picture"
    found: dict[str, list[BoxXYXY]] = {}
    malformed = 0
    for item in root.iter("object"):
        box = corners_of(item)
        if box is None:
            malformed += item.find("bndbox") is not None  # a scene, or what cannot be boxed, has none
            continue
        for name in item.findall("name"):
            found.setdefault((name.text or "").strip(), []).append(box)
    return Boxes(size_wh, found, malformed)


def _photos(folder: Path, split: str | None) -> list[str]:
    """The ids of the photos, in the order of the split's list, or sorted; ValueError where there are none."""
    if split is not None:
        return names_of_split(folder, split)
    found = [file.stem for file in own_files(folder / "Sentences", "*.txt")]
    if not found:
        raise ValueError(f"{folder} has no Sentences/ID.txt; give the folder with Sentences and Annotations")
    return found


def _sentences(folder: Path, name: str) -> list[str] | str:
    """The sentences of a photo without empty lines, or the reason why there are none."""
    content = read_annotation(folder / f"{name}.txt", folder, MAX_SENTENCES_BYTES)
    return content if isinstance(content, str) else [line for line in lines_of(content) if line]
