"""Reader of Pascal VOC: one XML a picture.

In: a folder with ``Annotations/*.xml`` and ``JPEGImages/`` (or ``images/``, or all in one folder), and a split, a list
of names in ``ImageSets/Main/``. Out: a row a picture. The classes are those of ``labelmap.txt`` where there is one, as
CVAT and Datumaro write it, else the names that occur, by the alphabet.

A box counts pixels from 1 and its last pixel belongs to it: ``xmin`` 1 and ``xmax`` W are the whole width. Objects that
are ``difficult`` keep that flag, for average precision to leave them out; to learn from they are boxes like others, and
their class is no negative of the picture.
Source: The PASCAL VOC Challenge 2012 Development Kit, section 4 (annotations).
"""

from __future__ import annotations

import hashlib
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from engine.gold.coco_json import Keys, rejected_row
from engine.gold.detection import ClassBox, ClassBoxes, detection_row
from engine.gold.rules import EXTENSIONS, Picture, box_from_voc, class_name, file_size, key_of, read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow, Task
from engine.gold.xml_files import corners_of, parse_xml, size_of, text_of, xml_files
from engine.storage.digests import digest_of_list

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_LIST_BYTES = 100_000_000
_NUMBERED = re.compile(r"(.*\S)\s+(-1|0|1)")


class VocDetection(GoldReader):
    """Every file is read twice: for its classes, and for its boxes; none is held in memory."""

    task: Task = "detection"

    def __init__(self, place: GoldPlace) -> None:
        self._files = _annotation_files(place)
        self._folder = place.image_folder("JPEGImages", "images")
        self.uri = "Annotations"
        declared = _declared_classes(place.folder / "labelmap.txt")
        names: set[str] = set()
        self.fingerprint = digest_of_list(chain([declared], (self._looked_at(file, names) for file in self._files)))
        self.classes = declared or tuple(sorted(names - {""}))
        self._names = frozenset(self.classes)
        if not self.classes:
            raise ValueError(f"{place.annotations}: none of {len(self._files)} XML files has an object with a name")
        self._keys = Keys(key_of(file.name) for file in self._files)

    def _looked_at(self, file: Path, names: set[str]) -> list[str | int]:
        """What the fingerprint knows of an annotation file; the names of its objects are added to ``names``."""
        content = file.read_bytes() if file.is_file() else b""
        root = parse_xml(content)
        if not isinstance(root, str):
            names.update(class_name(text_of(item, "name")) for item in root.iter("object"))
        size = file_size(self._folder / self._image_name(file, root))
        return [file.name, hashlib.sha256(content).hexdigest(), size]

    def __len__(self) -> int:
        return len(self._files)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        file, key = self._files[row], self._keys[row]
        if fault := self._keys.fault(key, row):
            return rejected_row(key, fault, f"annotation {file.name!r}", ())
        if not file.is_file():
            return rejected_row(key, "annotation_missing", f"{file.name} is in the list of the split", ())
        root = parse_xml(file.read_bytes())
        if isinstance(root, str):
            return rejected_row(key, "annotation_malformed", f"{file.name}: {root}", ())
        name = self._image_name(file, root)
        picture = read_picture(self._folder, name, size_of(root))
        if isinstance(picture, str):
            return rejected_row(key, picture, f"image {name!r}", ())
        boxes = (
            (_valid_box(item, picture, self._names), f"object {number}, {text_of(item, 'name')!r}")
            for number, item in enumerate(root.iter("object"))
        )
        found = ClassBoxes.sorted_out(key, boxes, f"{self.uri}#{file.stem}")
        return detection_row(found, picture, self.classes, recipe_digest)

    def _image_name(self, file: Path, root: Element | str) -> str:
        """As the annotation says; the picture of the annotation's own name where it says nothing that is there."""
        stated = "" if isinstance(root, str) else text_of(root, "filename")
        if 0 < len(stated) <= 250 and file_size(self._folder / stated) >= 0:
            return stated
        own = (f"{file.stem}.{extension}" for extension in EXTENSIONS)
        return next((name for name in own if file_size(self._folder / name) >= 0), stated[:250] or f"{file.stem}.jpg")


def _valid_box(item: Element, picture: Picture, names: frozenset[str]) -> ClassBox | str:
    name, bndbox = class_name(text_of(item, "name")), item.find("bndbox")
    corners = None if bndbox is None else corners_of(bndbox)
    if not name or corners is None:
        return "annotation_malformed"
    if name not in names:
        return "category_undeclared"
    box = box_from_voc(corners, picture.width, picture.height)
    return box if isinstance(box, str) else ClassBox(name, box, _is_difficult(item))


def _is_difficult(item: Element) -> bool:
    return text_of(item, "difficult") == "1"


def _annotation_files(place: GoldPlace) -> list[Path]:
    """The XML files in order: of the split's list, or all of the folder."""
    beside = place.folder / "Annotations"
    folder = beside if beside.is_dir() else place.folder
    if place.annotations.is_file():
        return [place.annotations]
    if place.split is None:
        found = xml_files(folder)
        if not found:
            raise ValueError(f"{folder} holds no XML file; give the folder that holds Annotations and JPEGImages")
        return found
    return [folder / f"{name}.xml" for name in names_of_split(place.folder / "ImageSets" / "Main", place.split)]


def names_of_split(folder: Path, split: str) -> list[str]:
    """The lines of the split's list, which may be one of a class: there a number after each name says whether the class
    is in the picture (1), or not (-1). ValueError where there is no list, or a name is no file's name."""
    file = folder / f"{split}.txt"
    if not file.is_file() or file.stat().st_size > MAX_LIST_BYTES:
        raise ValueError(f"there is no split {split!r}: {file} is missing, or is not a list of names")
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    names = [line.strip() for line in lines if line.strip()]
    numbered = [_NUMBERED.fullmatch(name) for name in names]
    if all(numbered) and any(found and found[2] == "-1" for found in numbered):
        names = [found[1] for found in numbered if found]
    strange = next((name for name in names if Path(name).name != name), None)
    if strange is not None:
        raise ValueError(f"{file} names {strange!r}, which is not the name of a file in a folder")
    return names


def _declared_classes(file: Path) -> tuple[str, ...]:
    """The names of a label map, ``name:colour:parts:actions`` a line, without the background; none without a file."""
    if not file.is_file() or file.stat().st_size > MAX_LIST_BYTES:
        return ()
    lines = [
        line for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if not line.startswith("#")
    ]
    names = [class_name(line.split(":")[0]) for line in lines]
    return tuple(dict.fromkeys(name for name in names if name and name != "background"))
