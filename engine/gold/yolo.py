"""Reader of YOLO's text files: a file for each picture, with a line for each box.

In: a folder with ``data.yaml`` (``names``: a list, or names by number), or a name on each line of ``classes.txt`` or
``obj.names``, and with ``images/`` and ``labels/``. A split is a folder inside both, or, as Roboflow writes it, around
both (``train/images/``, ``train/labels/``); by default all are read. Labels may also be beside their pictures: in
folders such as ``obj_train_data``, which are splits (Darknet, CVAT's YOLO 1.1), or in the folder itself (LabelImg).
Out: a row for each picture; without a label file it has no box.

    class x_centre y_centre width height        shares of the picture's width and height, 0 to 1
    class x1 y1 x2 y2 x3 y3 ...                 a polygon of three points or more, which becomes the box around it

The paths in ``data.yaml`` are not followed: Roboflow's (``../train/images``) lead out of its folder, and other tools
write paths of their own machine. Source: Ultralytics, docs: datasets/detect, datasets/segment, datasets/pose.
"""

from __future__ import annotations

import math
import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from engine.gold.coco_json import picture_keys, rejected_row
from engine.gold.detection import ClassBox, detection_row
from engine.gold.files import (
    annotation_digest,
    checked_file,
    file_size,
    files_below,
    lines_of,
    own_files,
    read_annotation,
)
from engine.gold.rules import EXTENSIONS, Picture, box_from_xyxy, class_name, read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow, Task
from engine.sources.sayable import sayable
from engine.storage.digests import digest_of_list
from schemas.records import BoxXYXY

MAX_LABEL_BYTES = 20_000_000
MAX_NAMES_BYTES = 5_000_000
CLASSES, LABELS = "classes.txt", ".txt"
LISTS_OF_NAMES = (CLASSES, f"labels/{CLASSES}", "obj.names")  # the second of LabelImg, the last of Darknet
Folders: TypeAlias = dict[str, tuple[Path, Path]]
"""The folders of pictures and of labels for each split; under "" for all pictures, if splits are folders inside of
them."""


class YoloDetection(GoldReader):
    """A row for each picture, and a reject ``image_missing`` for each label file without one. Labels are read together
    with their picture; only the names of files are kept in memory."""

    task: Task = "detection"

    def __init__(self, place: GoldPlace) -> None:
        self._folders = _folders(place)
        document = _document(place)
        self._names = _names(place.folder, document)
        self._has_keypoints = "kpt_shape" in document
        self.classes = tuple(dict.fromkeys(name for name in self._names.values() if name))
        pictures = sorted(_pictures(self._folders))
        self._check_labelled(place.split, pictures)
        self._files = pictures + sorted(_labels_alone(self._folders, pictures))
        self.uri = "labels"
        self._keys = picture_keys(self._files)
        rows = (
            [sayable(name), file_size(self._picture_file(name)), annotation_digest(self._content(name))]
            for name in self._files
        )
        self.fingerprint = digest_of_list([rows, self._names, self._has_keypoints])

    def _check_labelled(self, split: str | None, pictures: Sequence[str]) -> None:
        """Raise ValueError where no picture of a split has a label file: they are elsewhere, or nobody labelled it."""
        of_folder = defaultdict[str, list[str]](list)
        for name in pictures:
            of_folder[name.partition("/")[0] if split is None and "/" in name else ""].append(name)
        for _, names in sorted(of_folder.items()):
            if not any(self._label_file(name).is_file() for name in names):
                raise ValueError(
                    f"no picture in {self._picture_file(names[0]).parent} has its file of labels, such as "
                    f"{self._label_file(names[0])}; --split takes one split alone, and an empty file says that a "
                    "picture has no object"
                )

    def __len__(self) -> int:
        return len(self._files)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        name, key = self._files[row], self._keys[row]
        images, _, below = self._place(name)
        if name.endswith(LABELS):
            return rejected_row(key, "image_missing", f"{name!r} labels no picture ({', '.join(EXTENSIONS)})")
        picture = self._keys.fault(key, row) or read_picture(images, below, None)
        if isinstance(picture, str):
            return rejected_row(key, picture, f"image {name!r}")
        content = self._content(name)
        if isinstance(content, str):
            return rejected_row(key, content, f"labels of {name!r}")
        boxes = (
            (self._valid_box(line, picture), f"line {number}: {line[:100]!r}")
            for number, line in enumerate(filter(None, lines_of(content)))
        )
        locator = f"{self.uri}#{name.rpartition('.')[0]}"
        return detection_row(key, boxes, picture, self.classes, locator=locator, recipe_digest=recipe_digest)

    def _valid_box(self, line: str, picture: Picture) -> ClassBox | str:
        number, *rest = line.split()
        try:
            numbers = [float(field) for field in rest]
        except ValueError:
            return "annotation_malformed"
        shares = _corners(numbers[:4] if self._has_keypoints else numbers)
        if shares is None:
            return "annotation_malformed"
        name = self._names.get(_whole(number))
        if not name:
            return "category_undeclared"
        (x1, y1, x2, y2), width, height = shares, picture.width, picture.height
        box = box_from_xyxy((x1 * width, y1 * height, x2 * width, y2 * height), width, height)
        return box if isinstance(box, str) else ClassBox(name, box)

    def _content(self, image: str) -> bytes | str:
        """The labels of a picture, empty where it has no label file; or the reason why the file cannot be used."""
        _, labels, _ = self._place(image)
        content = read_annotation(self._label_file(image), labels, MAX_LABEL_BYTES)
        return b"" if content == "annotation_missing" else content

    def _place(self, image: str) -> tuple[Path, Path, str]:
        """The folders of a picture and of its labels, and its path inside both."""
        split, _, below = image.partition("/")
        return (*self._folders[split], below) if split in self._folders else (*self._folders[""], image)

    def _picture_file(self, image: str) -> Path:
        images, _, below = self._place(image)
        return images / below

    def _label_file(self, image: str) -> Path:
        _, labels, below = self._place(image)
        return (labels / below).with_suffix(LABELS)


def _whole(number: str) -> str:
    """The number of a class as a key of names: some tools write 3 as ``3.000000``.

    >>> _whole("3.000000"), _whole("cat")
    ('3', 'cat')
    """
    try:
        value = float(number)
    except ValueError:
        return number
    return str(int(value)) if value.is_integer() else number


def _corners(numbers: Sequence[float]) -> BoxXYXY | None:
    """The box as xyxy, in shares of the picture: from centre and size, or around the points of a polygon; None for any
    other count of numbers."""
    if len(numbers) == 4:
        x, y, w, h = numbers
        return (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    if len(numbers) < 6 or len(numbers) % 2:
        return None
    if not all(map(math.isfinite, numbers)):
        return (math.nan,) * 4  # min() might ignore a NaN
    return (min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))


def _folders(place: GoldPlace) -> Folders:
    """The folders of pictures and labels. ValueError where one of them is missing, or there is no such split."""
    folder, inside = place.folder, place.split or ""
    images, labels = place.image_folder("images"), folder / "labels"
    if (images / inside).is_dir() and (labels / inside).is_dir():
        return {"": (images / inside, labels / inside)}
    of_splits = {} if place.images else _split_folders(folder)
    if place.split is None and of_splits:
        return of_splits
    if place.split in of_splits:
        return {"": of_splits[place.split]}
    if place.split is None and any(file.name != CLASSES for file in own_files(folder, f"*{LABELS}")):
        return {"": (images, folder)}
    there = of_splits or [one.name for one in sorted(labels.glob("*")) if one.is_dir()]
    if place.split is not None and there:
        raise ValueError(f"{folder} has no split {place.split!r}; there are: {', '.join(there)}")
    raise ValueError(
        f"{folder} has no folder images/{inside} beside labels/{inside}, and no folder such as train with both inside; "
        "give the folder that holds them"
    )


def _split_folders(folder: Path) -> Folders:
    """The folders of each split that is a folder around them; of Darknet's splits, the one that is both."""
    around = {one.name: (one / "images", one / "labels") for one in sorted(folder.iterdir())}
    darknet = {one.name: (one, one) for one in sorted(folder.glob("obj_*_data"))}
    return {name: two for name, two in (around | darknet).items() if all(one.is_dir() for one in two)}


def _pictures(folders: Folders) -> Iterator[str]:
    """The paths of the pictures in the folders, each with its split in front if the folders are those of splits."""
    for split, (images, _) in folders.items():
        files = (file for file in files_below(images) if file.rpartition(".")[2].lower() in EXTENSIONS)
        yield from (posixpath.join(split, file) for file in files)


def _labels_alone(folders: Folders, pictures: Sequence[str]) -> Iterator[str]:
    """The paths of the label files that belong to none of the pictures."""
    pictured = {name.rpartition(".")[0] for name in pictures}
    for split, (_, labels) in folders.items():
        files = (posixpath.join(split, file) for file in files_below(labels) if file.endswith(LABELS))
        yield from (file for file in files if file.removesuffix(LABELS) not in pictured and not file.endswith(CLASSES))


def _names(folder: Path, document: dict[Any, Any]) -> dict[str, str]:
    """The class names by number, as text. ValueError where there are none."""
    names = document.get("names")
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not names or not isinstance(names, dict):
        names = next(filter(None, (_names_of_list(folder / name) for name in LISTS_OF_NAMES)), {})
    if not names:
        raise ValueError(
            f"{folder} names no class: wanted data.yaml with `names`, or classes.txt or obj.names, one name per line; "
            "a YAML of another name may be given instead of the folder"
        )
    strange = next((one for one in names.items() if one[1] is None or isinstance(one[1], bool)), None)
    if strange:
        raise ValueError(f"{folder}: YAML reads the name of class {strange[0]} as {strange[1]}; write it in quotes")
    texts = {str(number): str(name).encode(errors="replace").decode() for number, name in names.items()}
    return {number: class_name(name) for number, name in texts.items()}


def _names_of_list(file: Path) -> dict[Any, Any]:
    """The names in a list, by line number. An empty line counts, as in the tools that write it, but names no class."""
    if not 0 <= file_size(checked_file(file)) <= MAX_NAMES_BYTES:
        return {}
    lines = lines_of(file.read_bytes())
    return dict(enumerate(lines)) if any(lines) else {}


class _AliasError(Exception):
    """The document uses an alias."""


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _AliasError
        return super().compose_node(parent, index)


def _document(place: GoldPlace) -> dict[Any, Any]:
    """The content of ``data.yaml``, or of the YAML given instead of the folder; empty where there is none."""
    file = place.annotations
    if not file.is_file() or file.suffix.lower() not in (".yaml", ".yml"):
        file = checked_file(place.folder / "data.yaml")
    if not file.is_file() or file.stat().st_size > MAX_NAMES_BYTES:
        return {}
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # safe_load, without aliases
    except _AliasError:
        raise ValueError(f"{file} uses a YAML alias (*name), which may grow without end; write the value out") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or an invalid date
        raise ValueError(f"{file} is not YAML: {' '.join(str(error).split())[:300]}") from None
    return document if isinstance(document, dict) else {}
