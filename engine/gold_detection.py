"""Reader of COCO detection JSON: class boxes as grounding, the way GLIP sees detection (section 3.1).

In: a JSON file, or the folder that holds one ``instances*.json``, with the images beside it. Out: a row an image. The
caption is the names of the classes in it, "cat. dog", in the order of the categories; each name is a phrase with boxes.
"""

from __future__ import annotations

from collections import defaultdict
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
from engine.gold_rules import box_from_xywh, class_name, head_lemma
from engine.gold_sources import GoldRow, labelled_image
from schemas.records import BoxXYXY, Phrase, Reject

SEPARATOR = ". "
ClassBox = tuple[str, BoxXYXY]


class CocoCategory(CocoItem):
    """A class."""

    id: Id
    name: str


class CocoBox(CocoItem):
    """A detection annotation; ``bbox`` is xywh pixels."""

    category_id: Id
    bbox: XYWH
    iscrowd: bool = False


class CocoDetection:
    """An image without boxes is a sample without phrases: there a detector must find nothing. Crowds are dropped and
    counted: a box around many things teaches no box of one."""

    task: Literal["grounding", "detection"] = "detection"

    def __init__(self, source: Path) -> None:
        file = _annotation_file(source)
        document, digest = load_json(file)
        self.uri = file.name
        self._images = Images(document, file)
        categories = [checked(CocoCategory, item) for item in items(document, "categories", file)]
        self._names = {item.id: class_name(item.name) for item in categories if isinstance(item, CocoCategory)}
        self.classes: Sequence[str] = tuple(dict.fromkeys(name for name in self._names.values() if name))
        if not self.classes:
            raise ValueError(f"{file} declares no category; a detection JSON lists its classes under 'categories'")
        self._keys = Keys([image.stem if isinstance(image, CocoImage) else "" for image in self._images.rows])
        self._annotations, self._homeless = self._by_image(items(document, "annotations", file))
        self._fingerprint = digest_of([digest, self._images.digest()])

    def __len__(self) -> int:
        return len(self._images.rows)

    def fingerprint(self) -> str:
        return self._fingerprint

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        homeless = self._homeless if row == 0 else ()  # annotations of no image are counted with the first one
        image = self._images.rows[row]
        if isinstance(image, str):
            return rejected_row(f"row-{row}", "image_malformed", image, homeless)
        if fault := self._keys.fault(image.stem, row):
            return rejected_row(image.stem, fault, f"image {image.file_name!r}", homeless)
        picture = self._images.picture(image)
        if isinstance(picture, str):
            return rejected_row(image.stem, picture, f"image {image.file_name!r}", homeless)
        annotations = self._annotations.get(image.id, []) if self._images.of_id[image.id] is image else []
        boxes, rejects = self._valid_boxes(annotations, image)
        caption, phrases, numbered = class_prompt(boxes, self.classes)
        locator = f"{self.uri}#{image.id}"
        sample = labelled_image(
            image.stem, caption, phrases, numbered, picture, locator=locator, recipe_digest=recipe_digest
        )
        return GoldRow(sample, (*homeless, *rejects), len(homeless) + len(annotations))

    def _by_image(self, annotations: list[Any]) -> tuple[dict[Id, list[Any]], tuple[Reject, ...]]:
        found: dict[Id, list[Any]] = defaultdict(list)
        homeless = []
        for item in annotations:
            image_id = item.get("image_id") if isinstance(item, dict) else None
            if isinstance(image_id, int | str) and image_id in self._images.of_id:
                found[image_id].append(item)
            else:
                homeless.append(dropped("", "image_undeclared", f"annotation of image {image_id!r}"))
        return dict(found), tuple(homeless)

    def _valid_boxes(self, annotations: list[Any], image: CocoImage) -> tuple[list[ClassBox], list[Reject]]:
        boxes: list[ClassBox] = []
        rejects = []
        for item in annotations:
            found = self._valid_box(item, image)
            if isinstance(found, str):
                rejects.append(dropped(image.stem, found, f"annotation {item.get('id')!r}, bbox {item.get('bbox')!r}"))
            else:
                boxes.append(found)
        return boxes, rejects

    def _valid_box(self, item: Any, image: CocoImage) -> ClassBox | str:
        annotation = checked(CocoBox, item)
        if isinstance(annotation, str):
            return "annotation_malformed"
        if annotation.iscrowd:
            return "crowd"
        name = self._names.get(annotation.category_id)
        if not name:
            return "category_undeclared"
        box = box_from_xywh(annotation.bbox, image.width, image.height)
        return box if isinstance(box, str) else (name, box)


def class_prompt(
    boxes: Sequence[ClassBox], classes: Sequence[str]
) -> tuple[str, tuple[Phrase, ...], list[tuple[int, BoxXYXY]]]:
    """The caption, its phrases, and the boxes with their phrase's number; no box gives an empty caption.

    >>> class_prompt([("dog", (0, 0, 4, 4)), ("cat", (1, 1, 2, 2))], ["cat", "dog"])[0]
    'cat. dog'
    """
    present = {name for name, _ in boxes}
    names = [name for name in classes if name in present]
    phrases, start = [], 0
    for name in names:
        phrases.append(Phrase(name, start, start + len(name), head_lemma(name)))
        start += len(name) + len(SEPARATOR)
    number = {name: place for place, name in enumerate(names)}
    return (
        SEPARATOR.join(names),
        tuple(phrases),
        sorted(((number[name], box) for name, box in boxes), key=lambda b: b[0]),
    )


def _annotation_file(source: Path) -> Path:
    if source.is_file():
        return source
    found = sorted(source.glob("instances*.json"))
    if len(found) != 1:
        raise ValueError(
            f"{source} holds {len(found)} files instances*.json, wanted one; give the path of the detection JSON itself"
        )
    return found[0]
