"""Reader of Pascal VOC: an XML file for each picture.

In: a folder with ``Annotations/*.xml`` and ``JPEGImages/`` (or ``images/``, or all in one folder), which may have
subfolders; and a split, a list of names in ``ImageSets/Main/``. Out: a row for each picture. The classes are those of
``labelmap.txt`` where there is one, as CVAT and Datumaro write it, else the names that occur, in alphabetical order.

Boxes count pixels from 1 and include their last pixel: ``xmin`` 1 and ``xmax`` W are the whole width. ``difficult``
objects keep that flag, so that average precision can leave them out; in training they are boxes like others, and their
class is no negative of the picture.
Source: The PASCAL VOC Challenge 2012 Development Kit, section 4 (annotations).
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from engine.gold.coco_json import picture_keys, rejected_row
from engine.gold.detection import ClassBox, detection_row
from engine.gold.files import (
    annotation_digest,
    checked_file,
    file_size,
    lines_of,
    own_files,
    picture_path,
    read_annotation,
)
from engine.gold.rules import EXTENSIONS, Picture, box_from_xyxy, class_name, read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow, Task
from engine.gold.xml_files import MAX_XML_BYTES, corners_of, parse_xml, size_of, text_of
from engine.sources.sayable import sayable
from engine.storage.digests import digest_of_list

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_LIST_BYTES = 100_000_000
ENDINGS = (*EXTENSIONS, *map(str.upper, EXTENSIONS))
_NUMBERED = re.compile(r"(.*\S)\s+(-1|0|1)")


class VocDetection(GoldReader):
    """A row for each picture. Every file is read twice: for its classes, and for its boxes; none is kept in memory."""

    task: Task = "detection"

    def __init__(self, place: GoldPlace) -> None:
        self._annotations, self._files = _annotation_files(place)
        self._folder = place.image_folder("JPEGImages", "images")
        self.uri = "Annotations"
        declared = _declared_classes(checked_file(place.folder / "labelmap.txt"))
        names: set[str] = set()
        self.fingerprint = digest_of_list(chain([declared], (self._looked_at(file, names) for file in self._files)))
        self.classes = declared or tuple(sorted(names - {""}))
        self._names = frozenset(self.classes)
        if not self.classes:
            raise ValueError(self._nameless(place))
        self._keys = picture_keys(self._files)

    def _nameless(self, place: GoldPlace) -> str:
        roots = ((file, _root(self._content(file))) for file in self._files)
        first = next((f"; {file}: {root}" for file, root in roots if isinstance(root, str)), "")
        return f"{place.annotations}: none of {len(self._files)} XML files has an object with a name{first}"

    def _looked_at(self, file: str, names: set[str]) -> list[str | int]:
        """The part of the fingerprint for an annotation file. The class names of its objects are added to ``names``."""
        content = self._content(file)
        root = _root(content)
        if not isinstance(root, str):
            names.update(class_name(text_of(item, "name")) for item in root.iter("object"))
        size = file_size(picture_path(self._folder, self._image_name(file, root)))
        return [sayable(file), annotation_digest(content), size]

    def _content(self, file: str) -> bytes | str:
        return read_annotation(self._annotations / file, self._annotations, MAX_XML_BYTES)

    def __len__(self) -> int:
        return len(self._files)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        file, key = self._files[row], self._keys[row]
        content = self._keys.fault(key, row) or self._content(file)
        if isinstance(content, str):
            return rejected_row(key, content, f"annotation {file!r}")
        root = parse_xml(content)
        if isinstance(root, str):
            return rejected_row(key, "annotation_malformed", f"{file}: {root}")
        name = self._image_name(file, root)
        picture = read_picture(self._folder, name, size_of(root))
        if isinstance(picture, str):
            return rejected_row(key, picture, f"image {name!r}")
        boxes = (
            (_valid_box(item, picture, self._names), f"object {number}, {text_of(item, 'name')!r}")
            for number, item in enumerate(root.iter("object"))
        )
        locator = f"{self.uri}#{file.removesuffix('.xml')}"
        return detection_row(key, boxes, picture, self.classes, locator=locator, recipe_digest=recipe_digest)

    def _image_name(self, file: str, root: Element | str) -> str:
        """The picture that the annotation names, in its own subfolder or at the top; or, if there is no such file, the
        picture with the annotation's own name."""
        stated = "" if isinstance(root, str) else text_of(root, "filename")[:250]
        path = PurePosixPath(file)
        own = [path.with_suffix(f".{ending}").as_posix() for ending in ENDINGS]
        names = [(path.parent / stated).as_posix(), stated, *own] if stated else own
        there = (name for name in dict.fromkeys(names) if file_size(picture_path(self._folder, name)) >= 0)
        return next(there, stated or own[0])


def _root(content: bytes | str) -> Element | str:
    """The root element of an annotation, or what is wrong with it; ``content`` may already be a reason."""
    return content if isinstance(content, str) else parse_xml(content)


def _valid_box(item: Element, picture: Picture, names: frozenset[str]) -> ClassBox | str:
    name, corners = class_name(text_of(item, "name")), corners_of(item)
    if not name or corners is None:
        return "annotation_malformed"
    if name not in names:
        return "category_undeclared"
    box = box_from_xyxy(corners, picture.width, picture.height)
    return box if isinstance(box, str) else ClassBox(name, box, difficult=text_of(item, "difficult") == "1")


def _annotation_files(place: GoldPlace) -> tuple[Path, list[str]]:
    """The folder of the XML files, and their paths in it, in order: those of the split's list, or all."""
    beside = place.folder / "Annotations"
    folder = beside if beside.is_dir() else place.folder
    if place.annotations.is_file():
        return place.annotations.parent, [place.annotations.name]
    if place.split is None:
        found = [file.relative_to(folder).as_posix() for file in own_files(folder, "**/*.xml")]
        if not found:
            raise ValueError(f"{folder} holds no XML file; give the folder that holds Annotations and JPEGImages")
        return folder, found
    return folder, [f"{name}.xml" for name in names_of_split(place.folder / "ImageSets" / "Main", place.split)]


def names_of_split(folder: Path, split: str) -> list[str]:
    """The names in the split's list. In the list of a class, a number follows each name: 1 if the class is in the
    picture, -1 if not. ValueError where there is no list, or a name leads out of the folder."""
    file = checked_file(folder / f"{split}.txt")
    if not 0 <= file_size(file) <= MAX_LIST_BYTES:
        raise ValueError(f"there is no split {split!r}: {file} is missing, or is not a list of names")
    names = [line for line in lines_of(file.read_bytes()) if line]
    numbered = [_NUMBERED.fullmatch(name) for name in names]
    if all(numbered) and any(found and found[2] == "-1" for found in numbered):
        names = [found[1] for found in numbered if found]
    paths = map(PurePosixPath, names)
    strange = next((path for path in paths if path.is_absolute() or ".." in path.parts), None)
    if strange is not None:
        raise ValueError(f"{file} names {str(strange)!r}, which is not the name of a file in a folder")
    return names


def _declared_classes(file: Path) -> tuple[str, ...]:
    """The names in a label map, whose lines are ``name:colour:parts:actions``, without the background; empty if there
    is no file."""
    if not 0 <= file_size(file) <= MAX_LIST_BYTES:
        return ()
    lines = lines_of(file.read_bytes())
    names = [class_name(line.split(":")[0]) for line in lines if not line.startswith("#")]
    return tuple(dict.fromkeys(name for name in names if name and name != "background"))
