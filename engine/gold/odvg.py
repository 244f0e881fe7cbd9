"""Readers of ODVG JSON Lines, the format of MM-Grounding-DINO: detection or grounding, a line a sample.

In: a ``.jsonl`` file (or the one of a folder), for detection with ``*label_map.json`` beside it where there is one, and
the images. Out: a row a line. The first line says whether the file is one of detection or of grounding.

    {"filename", "height", "width", "detection": {"instances": [{"bbox": [x1, y1, x2, y2], "label", "category"}]}}
    {"filename", "height", "width", "grounding": {"caption", "regions": [{"bbox", "phrase", "tokens_positive"}]}}

``bbox`` of a region is a box or a list of boxes, ``tokens_positive`` are half-open characters of the caption. Spans
that only white space parts are one phrase; others are phrases of their own, each with the region's boxes.
Source: mmdetection, configs/mm_grounding_dino/dataset_prepare.md and mmdet/datasets/odvg.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from engine.artifacts import digest_of
from engine.gold.coco_json import CocoItem, Text, checked, load_json, own_keys, picture_keys, rejected_row
from engine.gold.detection import ClassBox, ClassBoxes, detection_row
from engine.gold.files import checked_file, file_size, odd_content, own_files, picture_path
from engine.gold.json_lines import JsonLines
from engine.gold.rules import Picture, box_from_xyxy, class_name, key_of, read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow, Task
from engine.gold.spans import Caption, SpanBoxes, grounding_row, unit_spans
from engine.storage.digests import digest_of_list
from schemas.records import BoxXYXY


class OdvgLine(CocoItem):
    """What every line has; sizes in pixels."""

    filename: Text = Field(pattern=r"^[^\x00]{1,250}$")
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class OdvgInstance(CocoItem):
    """A box of a class."""

    bbox: BoxXYXY
    label: int | str
    category: Text | None = None


class OdvgRegion(CocoItem):
    """A phrase's boxes."""

    bbox: BoxXYXY | list[BoxXYXY]
    phrase: str | list[str] = ""
    tokens_positive: list[tuple[int, int]]

    def boxes(self) -> list[BoxXYXY]:
        return self.bbox if isinstance(self.bbox, list) else [self.bbox]


class OdvgInstances(CocoItem):
    """The boxes of a picture, each to be checked by itself."""

    instances: list[Any]


class OdvgDetectionLine(OdvgLine):
    """A picture and its boxes."""

    detection: OdvgInstances


class OdvgCaption(CocoItem):
    """A caption and its regions, each to be checked by itself."""

    caption: Text
    regions: list[Any]


class OdvgGroundingLine(OdvgLine):
    """A picture and its caption."""

    grounding: OdvgCaption


def open_odvg(place: GoldPlace) -> GoldReader:
    """The reader that the first line asks for. ValueError where it is of neither kind."""
    file = place.without_split("odvg").file("*.jsonl")
    lines = JsonLines(file)
    first = next(iter(lines), None)
    if isinstance(first, dict) and "detection" in first:
        return OdvgDetection(lines, file, place.image_folder("images"))
    if isinstance(first, dict) and "grounding" in first:
        return OdvgGrounding(lines, file, place.image_folder("images"))
    told = odd_content(file) or "its first line has neither 'detection' nor 'grounding'"
    raise ValueError(f"{file} is not of the format ODVG: {told}")


class _Lines:
    """What both readers share: names, pictures, the fingerprint. Memory holds sixteen bytes a line."""

    def __init__(self, lines: JsonLines, file: Path, folder: Path) -> None:
        self.lines, self.folder = lines, folder
        self.uri = file.name
        self._sizes = array("q")

    def names(self) -> Iterator[str]:
        """Of each line its picture's. On the way the sizes of the pictures are learned."""
        self._sizes = array("q")
        for row, value in enumerate(self.lines):
            line = checked(OdvgLine, value)
            self._sizes.append(-1 if isinstance(line, str) else file_size(picture_path(self.folder, line.filename)))
            yield f"row-{row}" if isinstance(line, str) else line.filename

    def digest(self) -> str:
        """Of the lines and the sizes of the pictures. :meth:`names` were taken before."""
        return digest_of([self.lines.sha256, digest_of_list(self._sizes)])

    def picture(self, line: OdvgLine) -> Picture | str:
        return read_picture(self.folder, line.filename, (line.width, line.height))


class OdvgDetection(GoldReader):
    """A line a picture. The classes are those of the label map, else those of the lines, by their label."""

    task: Task = "detection"

    def __init__(self, lines: JsonLines, file: Path, folder: Path) -> None:
        self._lines = _Lines(lines, file, folder)
        self.uri = self._lines.uri
        label_map = _label_map(file)
        self._names = _names_of_lines(lines) if label_map is None else label_map
        self.classes = tuple(dict.fromkeys(name for name in self._names.values() if name))
        if not self.classes:
            raise ValueError(f"{file} names no category, and there is not one single *label_map.json beside it")
        self._keys = picture_keys(self._lines.names())
        self.fingerprint = digest_of([self._lines.digest(), self._names])

    def __len__(self) -> int:
        return len(self._lines.lines)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        line, key = checked(OdvgDetectionLine, self._lines.lines[row]), self._keys[row]
        if isinstance(line, str):
            return rejected_row(key, "line_malformed", f"line {row}: {line}", ())
        picture = self._keys.fault(key, row) or self._lines.picture(line)
        if isinstance(picture, str):
            return rejected_row(key, picture, f"image {line.filename!r}", ())
        boxes = (
            (self._valid_box(item, line), f"instance {number} of line {row}")
            for number, item in enumerate(line.detection.instances)
        )
        found = ClassBoxes.sorted_out(key, boxes, f"{self.uri}#{row}")
        return detection_row(found, picture, self.classes, recipe_digest)

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
    """A line a caption; several lines may be of one picture."""

    def __init__(self, lines: JsonLines, file: Path, folder: Path) -> None:
        self._lines = _Lines(lines, file, folder)
        self.uri = self._lines.uri
        self._keys = own_keys(map(key_of, self._lines.names()))
        self.fingerprint = self._lines.digest()

    def __len__(self) -> int:
        return len(self._lines.lines)

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        line, key = checked(OdvgGroundingLine, self._lines.lines[row]), self._keys[row]
        if isinstance(line, str):
            return rejected_row(key, "line_malformed", f"line {row}: {line}", ())
        text = line.grounding.caption
        found = [checked(OdvgRegion, item) for item in line.grounding.regions]
        caption = Caption(
            key=key,
            text=text,
            width=line.width,
            height=line.height,
            locator=f"{self.uri}#{row}",
            spans=[span for region in found if isinstance(region, OdvgRegion) for span in _spans(region, text)],
            malformed=[region for region in found if isinstance(region, str)],
        )
        return grounding_row(row, caption, self._keys, lambda: self._lines.picture(line), recipe_digest)


def _spans(region: OdvgRegion, text: str) -> list[SpanBoxes]:
    """``phrase`` is not compared: the format keeps it for the eye, and real files write it in lower case."""
    spans = unit_spans(text, region.tokens_positive) or [(0, 0)]  # of no span: a mismatch, counted
    return [SpanBoxes(start, end, region.boxes()) for start, end in spans]


def _label_map(file: Path) -> dict[str, str] | None:
    """Names by label (as text) of the one label map beside the file, None where there is none."""
    found = own_files(file.parent, "*label_map*.json")
    if len(found) != 1:
        return None
    document, _ = load_json(checked_file(found[0]))
    try:
        names = TypeAdapter(dict[str, Text]).validate_python(document)
    except ValidationError:
        raise ValueError(f"{found[0]} is not a label map, which is an object of names by label") from None
    return {label: class_name(name) for label, name in names.items()}


def _names_of_lines(lines: JsonLines) -> dict[str, str]:
    """Names by label, in the order of the labels, as the lines themselves say; the first name of a label counts."""
    names: dict[str, str] = {}
    for value in lines:
        line = checked(OdvgDetectionLine, value)
        for item in () if isinstance(line, str) else line.detection.instances:
            instance = checked(OdvgInstance, item)
            if isinstance(instance, OdvgInstance) and instance.category:
                names.setdefault(str(instance.label), class_name(instance.category))
    return dict(sorted(names.items(), key=lambda item: (len(item[0]), item[0])))
