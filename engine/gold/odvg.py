"""Readers of ODVG JSON Lines, the format of MM-Grounding-DINO: detection or grounding, a sample on each line.

In: a ``.jsonl`` file (or the one of a folder), the images, and for detection a ``*label_map.json`` beside the file if
there is one. Out: a row for each line. The first line decides whether the file is detection or grounding.

    {"filename", "height", "width", "detection": {"instances": [{"bbox": [x1, y1, x2, y2], "label", "category"}]}}
    {"filename", "height", "width", "grounding": {"caption", "regions": [{"bbox", "phrase", "tokens_positive"}]}}

``bbox`` of a region is a box or a list of boxes, ``tokens_positive`` are half-open characters of the caption. Spans
that are separated only by white space are one phrase; others are phrases of their own, each with the region's boxes.
Open-GroundingDino has no ``tokens_positive``: there a region is the first place of its phrase in the caption.
Source: mmdetection, configs/mm_grounding_dino/dataset_prepare.md and mmdet/datasets/odvg.py; data_format.md of
longzw1997/Open-GroundingDino.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from engine.artifacts import digest_of
from engine.gold.coco_json import CocoItem, Keys, Text, checked, own_keys, picture_keys, rejected_row
from engine.gold.detection import ClassBox, detection_row
from engine.gold.files import checked_file, file_size, odd_content, own_files, picture_path
from engine.gold.json_lines import JsonLines
from engine.gold.rules import Picture, box_from_xyxy, class_name, key_of, read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow, Task
from engine.gold.spans import Caption, SpanBoxes, grounding_row, marked_spans
from engine.storage.digests import digest_of_list
from schemas.records import BoxXYXY

MAX_LABEL_MAP_BYTES = 20_000_000
MAX_SEARCHED = 10_000  # characters of a caption in which phrases are looked for


class OdvgLine(CocoItem):
    """The fields that every line has; sizes in pixels."""

    filename: Text = Field(pattern=r"^[^\x00]{1,250}$")
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class OdvgInstance(CocoItem):
    """A box of a class."""

    bbox: BoxXYXY
    label: int | str
    category: Text | None = None


class OdvgRegion(CocoItem):
    """The boxes of a phrase. Where there is ``tokens_positive``, ``phrase`` is not compared with the caption: it is for
    people, and real files have it in lower case."""

    bbox: BoxXYXY | list[BoxXYXY]
    phrase: str | list[str] = ""
    tokens_positive: list[tuple[int, int]] | None = None

    def spans(self, caption: str) -> list[SpanBoxes]:
        boxes = self.bbox if isinstance(self.bbox, list) else [self.bbox]
        marks = _where_it_stands(self.phrase, caption) if self.tokens_positive is None else self.tokens_positive
        return marked_spans(caption, marks, boxes)


class OdvgInstances(CocoItem):
    """The boxes of a picture, each checked by itself later."""

    instances: list[Any]


class OdvgDetectionLine(OdvgLine):
    """A picture and its boxes."""

    detection: OdvgInstances


class OdvgCaption(CocoItem):
    """A caption and its regions, each checked by itself later."""

    caption: Text
    regions: list[Any]


class OdvgGroundingLine(OdvgLine):
    """A picture and its caption."""

    grounding: OdvgCaption


def open_odvg(place: GoldPlace) -> GoldReader:
    """The reader for the kind of the first line. ValueError where it is neither detection nor grounding."""
    file = place.without_split("odvg").file("*.jsonl")
    lines = JsonLines(file)
    first = next(iter(lines), None)
    if isinstance(first, dict) and "detection" in first:
        return OdvgDetection(lines, file, place.image_folder("images"))
    if isinstance(first, dict) and "grounding" in first:
        return OdvgGrounding(lines, file, place.image_folder("images"))
    told = odd_content(file) or "its first line has neither 'detection' nor 'grounding'"
    raise ValueError(f"{file} is not of the format ODVG: {told}")


class _Pictures:
    """The pictures of the lines: ``keys`` of their samples, ``digest`` of the lines and of the pictures' sizes."""

    def __init__(self, lines: JsonLines, folder: Path, make_keys: Callable[[Iterable[str]], Keys]) -> None:
        """``make_keys`` makes the keys from the picture names of all lines."""
        self._folder = folder
        sizes = array("q")
        self.keys = make_keys(self._names(lines, sizes))
        self.digest = digest_of([lines.sha256, digest_of_list(sizes)])

    def _names(self, lines: JsonLines, sizes: array[int]) -> Iterator[str]:
        """The picture's name for each line. Its size is appended to ``sizes`` on the way, so that lines are read
        once."""
        for row, value in enumerate(lines):
            line = checked(OdvgLine, value)
            sizes.append(-1 if isinstance(line, str) else file_size(picture_path(self._folder, line.filename)))
            yield f"row-{row}" if isinstance(line, str) else line.filename

    def read(self, line: OdvgLine) -> Picture | str:
        return read_picture(self._folder, line.filename, (line.width, line.height))


class OdvgDetection(GoldReader):
    """A row for each line, which has a picture. Classes come from the label map, or else from the lines."""

    task: Task = "detection"

    def __init__(self, lines: JsonLines, file: Path, folder: Path) -> None:
        self.uri, self._lines = file.name, lines
        label_map = _label_map(file)
        self._names = _names_of_lines(lines) if label_map is None else label_map
        self.classes = tuple(dict.fromkeys(name for name in self._names.values() if name))
        if not self.classes:
            raise ValueError(f"{file} names no category, and there is not one single *label_map.json beside it")
        self._pictures = _Pictures(lines, folder, picture_keys)
        self.fingerprint = digest_of([self._pictures.digest, self._names])

    def __len__(self) -> int:
        return len(self._lines)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        line, key = checked(OdvgDetectionLine, self._lines[row]), self._pictures.keys[row]
        if isinstance(line, str):
            return rejected_row(key, "line_malformed", f"line {row}: {line}")
        picture = self._pictures.keys.fault(key, row) or self._pictures.read(line)
        if isinstance(picture, str):
            return rejected_row(key, picture, f"image {line.filename!r}")
        boxes = (
            (self._valid_box(item, line), f"instance {number} of line {row}")
            for number, item in enumerate(line.detection.instances)
        )
        locator = f"{self.uri}#{row}"
        return detection_row(key, boxes, picture, self.classes, locator=locator, recipe_digest=recipe_digest)

    def _valid_box(self, item: Any, line: OdvgLine) -> ClassBox | str:
        instance = checked(OdvgInstance, item)
        if isinstance(instance, str):
            return "annotation_malformed"
        name = self._names.get(str(instance.label))
        if not name:
            return "category_undeclared"
        if instance.category is not None and class_name(instance.category) != name:
            return "category_mismatch"
        box = box_from_xyxy(instance.bbox, line.width, line.height)
        return box if isinstance(box, str) else ClassBox(name, box)


class OdvgGrounding(GoldReader):
    """A row for each line, which has a caption; several lines may have the same picture."""

    def __init__(self, lines: JsonLines, file: Path, folder: Path) -> None:
        self.uri, self._lines = file.name, lines
        self._pictures = _Pictures(lines, folder, lambda names: own_keys(map(key_of, names)))
        self.fingerprint = self._pictures.digest

    def __len__(self) -> int:
        return len(self._lines)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        line, key = checked(OdvgGroundingLine, self._lines[row]), self._pictures.keys[row]
        if isinstance(line, str):
            return rejected_row(key, "line_malformed", f"line {row}: {line}")
        text = line.grounding.caption
        regions = (checked(OdvgRegion, item) for item in line.grounding.regions)
        caption = Caption(
            key=key,
            text=text,
            size_wh=(line.width, line.height),
            locator=f"{self.uri}#{row}",
            annotations=[
                one for region in regions for one in ([region] if isinstance(region, str) else region.spans(text))
            ],
        )
        return grounding_row(row, caption, self._pictures.keys, lambda: self._pictures.read(line), recipe_digest)


def _where_it_stands(phrase: str | list[str], caption: str) -> list[tuple[int, int]]:
    """The first place of a phrase in the caption, as whole words and in any case; of a list, that of each. None for a
    phrase that is not in the caption's first ``MAX_SEARCHED`` characters."""
    text = caption[:MAX_SEARCHED]
    phrases = [one for one in ([phrase] if isinstance(phrase, str) else phrase) if 0 < len(one) <= len(text)]
    found = (re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text, re.IGNORECASE) for one in phrases)
    return [one.span() for one in found if one]


def _label_map(file: Path) -> dict[str, str] | None:
    """The class names by label (as text) from the one label map beside the file; None where there is none."""
    found = own_files(file.parent, "*label_map*.json")
    if len(found) != 1:
        return None
    label_map = checked_file(found[0])
    if not 0 <= file_size(label_map) <= MAX_LABEL_MAP_BYTES:
        raise ValueError(f"{label_map} is not a label map: a file of at most {MAX_LABEL_MAP_BYTES} bytes is wanted")
    try:
        names = TypeAdapter(dict[str, Text]).validate_python(json.loads(label_map.read_bytes()))
    except ValidationError:
        raise ValueError(f"{label_map} is not a label map, which is an object of names by label") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{label_map} is not JSON: {odd_content(label_map) or error}") from None
    return {label: class_name(name) for label, name in names.items()}


def _names_of_lines(lines: JsonLines) -> dict[str, str]:
    """The class names by label, in the order of the labels, from the lines; the first name of a label counts."""
    names: dict[str, str] = {}
    for value in lines:
        line = checked(OdvgDetectionLine, value)
        for item in () if isinstance(line, str) else line.detection.instances:
            instance = checked(OdvgInstance, item)
            if isinstance(instance, OdvgInstance) and instance.category:
                names.setdefault(str(instance.label), class_name(instance.category))
    return dict(sorted(names.items(), key=lambda item: (len(item[0]), item[0])))
