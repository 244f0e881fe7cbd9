"""Reader of Flickr30k Entities: sentences with marked phrases, and boxes by entity.

In: a folder with ``Sentences/ID.txt`` (five lines of ``[/EN#283585/people A young white boy] with ...``),
``Annotations/ID.xml`` (boxes of the entities, pixels counted from 1), ``flickr30k-images/`` or ``images/``, and the
splits ``train.txt``, ``val.txt``, ``test.txt``, lists of ids. Out: a row a sentence, without its marks.

Entities without a box (scenes, what cannot be boxed, ``0`` for what is not visual) are counted as
``phrase_without_box``. Source: Plummer et al. 2015; the README of github.com/BryanPlummer/flickr30k_entities.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from engine.artifacts import digest_of
from engine.gold.coco_json import Keys, rejected_row
from engine.gold.rules import file_size, read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow
from engine.gold.spans import Caption, Corners, SpanBoxes, grounding_row
from engine.gold.voc import names_of_split
from engine.gold.xml_files import corners_of, parse_xml, size_of

MAX_SENTENCES_BYTES = 1_000_000
_MARK = re.compile(r"\[/EN#(?P<entity>\d+)/[^\s\]]+ (?P<text>[^\]]+)\]")


class Mention(NamedTuple):
    """A phrase of a sentence, half-open characters of the sentence without marks, and the entity that it names."""

    start: int
    end: int
    entity: str


class Boxes(NamedTuple):
    """What an annotation file states: the picture's size, and the boxes by entity in xyxy pixels."""

    size_wh: tuple[int, int]
    of_entity: dict[str, list[Corners]]
    malformed: int


class FlickrEntities(GoldReader):
    """A row a sentence; the five sentences of a photo are five samples, ``ID-0`` to ``ID-4``."""

    def __init__(self, place: GoldPlace) -> None:
        folder = place.folder
        self._annotations, self._images = folder / "Annotations", place.image_folder("flickr30k-images", "images")
        names = _photos(folder, place.split)
        self.uri = "Sentences"
        self._boxes = lru_cache(maxsize=8)(_read_boxes)  # the five sentences of a photo come one after the other
        self._rows: list[tuple[str, int, str]] = []
        digests = []
        for name in names:
            file = folder / "Sentences" / f"{name}.txt"
            sentences = _sentences(file)
            self._rows += [(name, number, sentence) for number, sentence in enumerate(sentences)]
            digests.append([name, sentences, _digest(self._annotations / f"{name}.xml"), self._size(name)])
        self._keys = Keys([f"{name}-{number}" for name, number, _ in self._rows])
        self.fingerprint = digest_of(digests)

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        name, number, sentence = self._rows[row]
        key = f"{name}-{number}"
        boxes = self._boxes(self._annotations / f"{name}.xml")
        if isinstance(boxes, str):
            return rejected_row(key, "annotation_malformed", f"{name}.xml: {boxes}", ())
        text, mentions = parse_sentence(sentence)
        if "[/EN#" in text:
            return rejected_row(key, "caption_malformed", f"a mark that does not end: {text!r}"[:300], ())
        caption = Caption(
            key=key,
            text=text,
            width=boxes.size_wh[0],
            height=boxes.size_wh[1],
            locator=f"{self.uri}#{key}",
            spans=[SpanBoxes(one.start, one.end, boxes.of_entity.get(one.entity, [])) for one in mentions],
            malformed=["a box without four numbers"] * (boxes.malformed if number == 0 else 0),
        )
        file = f"{name}.jpg"
        return grounding_row(
            row, caption, self._keys, lambda: read_picture(self._images, file, boxes.size_wh), recipe_digest
        )

    def _size(self, name: str) -> int:
        return file_size(self._images / f"{name}.jpg")


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


def _read_boxes(file: Path) -> Boxes | str:
    """The annotation file, or in one line what is wrong with it."""
    if not file.is_file():
        return "there is no such file"
    root = parse_xml(file.read_bytes())
    if isinstance(root, str):
        return root
    size_wh = size_of(root)
    if size_wh is None:
        return "it states no size of the picture"
    found: dict[str, list[Corners]] = {}
    malformed = 0
    for item in root.iter("object"):
        bndbox = item.find("bndbox")
        corners = None if bndbox is None else corners_of(bndbox)
        if corners is None:
            malformed += bndbox is not None  # a scene, or what cannot be boxed, has none
            continue
        for name in item.findall("name"):
            box = (corners[0] - 1, corners[1] - 1, corners[2], corners[3])  # the last pixel belongs to the box
            found.setdefault((name.text or "").strip(), []).append(box)
    return Boxes(size_wh, found, malformed)


def _photos(folder: Path, split: str | None) -> list[str]:
    """The ids, as the split lists them or by name; ValueError where there are none."""
    if split is not None:
        return names_of_split(folder, split)
    found = sorted(file.stem for file in (folder / "Sentences").glob("*.txt"))
    if not found:
        raise ValueError(f"{folder} has no Sentences/ID.txt; give the folder with Sentences and Annotations")
    return found


def _sentences(file: Path) -> list[str]:
    """The lines that are not empty; none where there is no such file."""
    if not file.is_file() or file.stat().st_size > MAX_SENTENCES_BYTES:
        return []
    return [line for line in file.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
