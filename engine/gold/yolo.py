"""Reader of YOLO's text files: a line a box, a file a picture.

In: a folder with ``data.yaml`` (``names``: a list, or names by number) or ``classes.txt`` (a name a line), ``images/``
and ``labels/``; a split is a folder inside both, and without one all folders inside are read. Out: a row a picture; one
without a file of labels has no box.

    class x_centre y_centre width height        shares of the picture's width and height, 0 to 1

Source: Ultralytics, docs: datasets/detect. A line of five numbers is a box; of more, a polygon, which is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from engine.gold.coco_json import Keys, rejected_row
from engine.gold.detection import ClassBox, ClassBoxes, detection_row
from engine.gold.rules import EXTENSIONS, Picture, box_from_xyxy, class_name, file_size, key_of, read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow, Task
from engine.storage.digests import digest_of_list

MAX_LABEL_BYTES = 20_000_000
MAX_NAMES_BYTES = 5_000_000


class YoloDetection(GoldReader):
    """Labels are read when their picture is; in memory are the names of the files alone."""

    task: Task = "detection"

    def __init__(self, place: GoldPlace) -> None:
        folder, inside = place.folder, place.split or ""
        self._images, self._labels = place.image_folder("images") / inside, folder / "labels" / inside
        if not self._images.is_dir() or not self._labels.is_dir():
            raise ValueError(f"{folder} has no folder images/{inside} beside labels/{inside}; give the folder of both")
        self._names = _names(folder)
        self.classes = tuple(dict.fromkeys(name for name in self._names.values() if name))
        self._files = sorted(_pictures(self._images))
        self._check_labelled(place.split)
        self.uri = "labels"
        self._keys = Keys(map(key_of, self._files))
        rows = ([name, file_size(self._images / name), self._digest(name)] for name in self._files)
        self.fingerprint = digest_of_list([rows, self._names])

    def _check_labelled(self, split: str | None) -> None:
        """ValueError where no picture of a split has a file of labels: they lie elsewhere, or nobody labelled it."""
        first: dict[str, str] = {}
        labelled: set[str] = set()
        for name in self._files:
            folder = name.partition("/")[0] if split is None and "/" in name else ""
            if folder not in labelled and self._label_file(name).is_file():
                labelled.add(folder)
            first.setdefault(folder, name)
        for folder in sorted(first.keys() - labelled):
            raise ValueError(
                f"no picture in {self._images / folder} has its file of labels, such as "
                f"{self._label_file(first[folder])}; --split takes one folder inside both, and an empty file says "
                "that a picture has no object"
            )

    def __len__(self) -> int:
        return len(self._files)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        name, key = self._files[row], self._keys[row]
        picture = self._keys.fault(key, row) or read_picture(self._images, name, None)
        if isinstance(picture, str):
            return rejected_row(key, picture, f"image {name!r}", ())
        boxes = (
            (self._valid_box(line, picture), f"line {number}: {line[:100]!r}")
            for number, line in enumerate(self._lines(name))
        )
        found = ClassBoxes.sorted_out(key, boxes, f"{self.uri}#{name.rpartition('.')[0]}")
        return detection_row(found, picture, self.classes, recipe_digest)

    def _valid_box(self, line: str, picture: Picture) -> ClassBox | str:
        fields = line.split()
        try:
            x, y, w, h = (float(field) for field in fields[1:])
        except ValueError:
            return "annotation_malformed"
        name = self._names.get(fields[0])
        if not name:
            return "category_undeclared"
        if not w > 0 or not h > 0:
            return "box_not_finite" if w != w or h != h else "box_without_area"
        width, height = picture.width, picture.height
        corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        box = box_from_xyxy(corners, width, height)
        return box if isinstance(box, str) else ClassBox(name, box)

    def _lines(self, image: str) -> list[str]:
        content = self._content(image)
        return [line for line in content.decode(errors="replace").splitlines() if line.strip()]

    def _content(self, image: str) -> bytes:
        """The labels of a picture, empty where it has no file of them."""
        file = self._label_file(image)
        return file.read_bytes() if file.is_file() and file.stat().st_size <= MAX_LABEL_BYTES else b""

    def _label_file(self, image: str) -> Path:
        return (self._labels / image).with_suffix(".txt")

    def _digest(self, image: str) -> str:
        return hashlib.sha256(self._content(image)).hexdigest()


def _pictures(images: Path) -> Iterator[str]:
    """The names of the pictures below a folder, as seen from it."""
    for folder, _, names in os.walk(images):
        files = (Path(folder).relative_to(images) / name for name in names)
        yield from (file.as_posix() for file in files if file.suffix.lower().lstrip(".") in EXTENSIONS)


def _names(folder: Path) -> dict[str, str]:
    """Class names by number, as text. ValueError where there are none."""
    names = _names_of_yaml(folder / "data.yaml") or _names_of_list(folder / "classes.txt")
    if not names:
        raise ValueError(f"{folder} names no class: wanted data.yaml with `names`, or classes.txt, one name per line")
    texts = {str(number): str(name).encode(errors="replace").decode() for number, name in names.items()}
    return {number: class_name(name) for number, name in texts.items()}


def _names_of_list(file: Path) -> dict[Any, Any]:
    if not file.is_file() or file.stat().st_size > MAX_NAMES_BYTES:
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return dict(enumerate(line.strip() for line in lines if line.strip()))


def _names_of_yaml(file: Path) -> dict[Any, Any]:
    if not file.is_file() or file.stat().st_size > MAX_NAMES_BYTES:
        return {}
    try:
        text = file.read_text(encoding="utf-8")
        aliased = any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text))
        document = None if aliased else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the second of what is no UTF-8, or no date
        raise ValueError(f"{file} is not YAML: {' '.join(str(error).split())[:300]}") from None
    if aliased:
        raise ValueError(f"{file} uses a YAML alias (*name), which may grow without end; write the value out")
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, list):
        return dict(enumerate(names))
    return names if isinstance(names, dict) else {}
