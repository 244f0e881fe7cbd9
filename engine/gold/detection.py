"""Reader of COCO detection JSON: class boxes as grounding, as GLIP treats detection (section 3.1).

In: a JSON file, or its folder: one with ``instances*.json``, itself or in ``annotations/``, or a part of ODinW, with
``annotations_without_background.json`` among the pictures. Out: a row for each image. The caption has the names of the
classes in it, "cat. dog", in the order of the categories; each name is a phrase with boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from engine.artifacts import digest_of
from engine.gold.coco_json import (
    XYWH,
    CocoImage,
    CocoItem,
    Id,
    Images,
    Text,
    checked,
    dropped,
    image_folders,
    listed,
    picture_keys,
    rejected_row,
    xyxy_of,
)
from engine.gold.json_lists import JsonLists
from engine.gold.rules import Picture, box_from_xyxy, class_name, head_lemma
from engine.gold.sources import GoldBox, GoldPlace, GoldReader, GoldRow, Task, labelled_image
from engine.prompts import SEPARATOR
from schemas.records import BoxXYXY, Phrase, Reject

# COCO's own file names, then those of ODinW's folders, whose second file has an empty class.
COCO_FILES = (
    *("instances*.json", "annotations/instances*.json"),
    *("annotations_without_background.json", "_annotations.coco.json"),
)
MAX_AREA = 1e10  # the upper bound of COCO's largest range


class ClassBox(NamedTuple):
    """A box of a class; ``difficult`` and ``area`` as in :class:`~engine.gold.sources.GoldBox`. ``is_crowd``: it is a
    region of many things that nobody told apart."""

    name: str
    box_xyxy: BoxXYXY
    difficult: bool = False
    area: float | None = None
    is_crowd: bool = False


class CocoCategory(CocoItem):
    """A class."""

    id: Id
    name: Text


class CocoBox(CocoItem):
    """A detection annotation; ``bbox`` is xywh pixels, ``area`` that of the mask."""

    category_id: Id
    bbox: XYWH
    iscrowd: bool = False
    area: Any = None


class CocoDetection(GoldReader):
    """A row for each image. An image without boxes is a sample without phrases, in which a detector must find nothing.
    Crowds are counted rejects, since a box around many things does not teach the box of one; evaluation has their
    regions from the sample."""

    task: Task = "detection"

    def __init__(
        self,
        place: GoldPlace,
        *,
        files: Sequence[str] = COCO_FILES,
        read_image: Callable[[Sequence[Path], Any], Any] = lambda folders, item: item,
    ) -> None:
        """``files``: patterns of the JSON's name in a folder, of which the first that matches counts. ``read_image``:
        converts an image to COCO's fields; it is given the folders that may have the pictures."""
        file = place.without_split("coco").file(*files)
        document = JsonLists(file, {"annotations": "image_id"})
        self.uri = file.name
        folders = image_folders(place, file)
        self._images = Images(listed(document, "images", file), folders, partial(read_image, folders))
        self._annotations = listed(document, "annotations", file)
        categories = [checked(CocoCategory, item) for item in listed(document, "categories", file)]
        self._names = {item.id: class_name(item.name) for item in categories if isinstance(item, CocoCategory)}
        self.classes = tuple(dict.fromkeys(name for name in self._names.values() if name))
        if not self.classes:
            raise ValueError(f"{file} declares no category; a detection JSON lists its classes under 'categories'")
        self._keys = picture_keys(self._images.names())
        self.fingerprint = digest_of([document.sha256, self._images.digest()])

    def __len__(self) -> int:
        return len(self._images)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        image, key = self._images[row], self._keys[row]
        if isinstance(image, str):
            return rejected_row(f"row-{row}", "image_malformed", image)
        fault = self._keys.fault(key, row)
        if fault is None and self._images.row_of(image.id) != row:
            fault = "duplicate_id"  # nobody can tell which image its boxes belong to, and "no boxes" would be a claim
        picture = fault or self._images.picture(image)
        if isinstance(picture, str):
            return rejected_row(key, picture, f"image {image.file_name!r}")
        return detection_row(
            key,
            self._boxes(row, image),
            picture,
            self.classes,
            locator=f"{self.uri}#{image.id}",
            recipe_digest=recipe_digest,
            absent=self._names_of(image.neg_category_ids),
            incomplete=self._names_of(image.not_exhaustive_category_ids),
        )

    def homeless(self) -> tuple[Reject, ...]:
        return self._images.homeless(self._annotations)

    def _names_of(self, categories: Sequence[Id] | None) -> list[str] | None:
        """The names of declared categories; None stays None."""
        if categories is None:
            return None
        return [name for number in categories if (name := self._names.get(number))]

    def annotations_of(self, row: int) -> list[Any]:
        """The annotations of an image as in the file; none for an invalid image."""
        image = self._images[row]
        return [] if isinstance(image, str) else list(self._annotations.of(image.id))

    def _boxes(self, row: int, image: CocoImage) -> Iterator[tuple[ClassBox | str, str]]:
        seen = set()
        for item in self.annotations_of(row):
            found = self._valid_box(item, image)
            known = (repr(item.get("id")), found) if "id" in item else None
            twice = known in seen and not isinstance(found, str)
            yield "duplicate_id" if twice else found, f"annotation {item.get('id')!r}, bbox {item.get('bbox')!r}"
            seen.update([known] if known else [])

    def _valid_box(self, item: Any, image: CocoImage) -> ClassBox | str:
        annotation = checked(CocoBox, item)
        if isinstance(annotation, str):
            return "annotation_malformed"
        name = self._names.get(annotation.category_id)
        if not name:
            return "category_undeclared"
        box = box_from_xyxy(xyxy_of(annotation.bbox), image.width, image.height)
        if isinstance(box, str):
            return box
        return ClassBox(name, box, area=_stated(annotation.area), is_crowd=annotation.iscrowd)


def _stated(area: Any) -> float | None:
    """The area of a mask in pixels; None where none is stated, or what stands there is none."""
    is_number = isinstance(area, int | float) and not isinstance(area, bool)
    return float(area) if is_number and 0 <= area <= MAX_AREA else None


def detection_row(
    key: str,
    annotations: Iterable[tuple[ClassBox | str, str]],
    picture: Picture,
    classes: Sequence[str],
    *,
    locator: str,
    recipe_digest: str,
    absent: Sequence[str] | None = None,
    incomplete: Sequence[str] | None = None,
) -> GoldRow:
    """The sample of one picture, whose caption is the names of the classes in it.

    annotations: for each its box, or the reason why it has none, and a description for messages. absent, incomplete: as
    in :func:`labelled_image`.
    """
    boxes: list[ClassBox] = []
    crowds: list[ClassBox] = []
    rejects: list[Reject] = []
    for box, which in annotations:
        if isinstance(box, str):
            rejects.append(dropped(key, box, which))
        elif box.is_crowd:
            crowds.append(box)
            rejects.append(dropped(key, "crowd", which))
        else:
            boxes.append(box)
    sample = labelled_image(
        key,
        *class_prompt(boxes, classes),
        picture,
        locator=locator,
        recipe_digest=recipe_digest,
        absent=absent,
        incomplete=incomplete,
        crowds=[(one.name, one.box_xyxy) for one in crowds],
    )
    return GoldRow(sample, tuple(rejects), len(rejects) + len(boxes))


def class_prompt(boxes: Sequence[ClassBox], classes: Sequence[str]) -> tuple[str, tuple[Phrase, ...], list[GoldBox]]:
    """The caption, its phrases, and their boxes in the order of the phrases. Without boxes the caption is empty.

    >>> class_prompt([ClassBox("dog", (0, 0, 4, 4)), ClassBox("cat", (1, 1, 2, 2))], ["cat", "dog"])[0]
    'cat. dog'
    """
    present = {box.name for box in boxes}
    names = [name for name in classes if name in present]
    phrases, start = [], 0
    for name in names:
        phrases.append(Phrase(name, start, start + len(name), head_lemma(name)))
        start += len(name) + len(SEPARATOR)
    numbers = {name: number for number, name in enumerate(names)}
    found = [GoldBox(numbers[box.name], box.box_xyxy, difficult=box.difficult, area=box.area) for box in boxes]
    return SEPARATOR.join(names), tuple(phrases), sorted(found, key=lambda box: box.phrase)
