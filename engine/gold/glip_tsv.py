"""Reader of GLIP's caption TSV: the format of its pre-training data, web captions with boxes that a teacher scored.

In: a folder with ``label.tsv`` (key, JSON) and ``img.tsv`` (key, picture in base64), or a YAML that names them as
``label`` and ``img``; without an ``img`` pictures are files ``KEY.jpg``, ``KEY.png`` and so on. Out: a row for each
caption. The JSON has ``caption``, ``img_w``, ``img_h``, ``bboxes`` in xyxy pixels, ``scores`` and ``tokens_positive``:
the characters that name each box (format v1), or each phrase, with lists of boxes and scores (v2). Spans that are
separated only by white space are one phrase; others are phrases of their own, each with the box.
Source: maskrcnn_benchmark/data/datasets/caption.py and tsv.py of microsoft/GLIP.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import yaml
from pydantic import Field

from engine.artifacts import digest_of
from engine.gold.coco_json import CocoItem, Keys, Text, checked, rejected_row
from engine.gold.files import checked_file, file_size, own_files
from engine.gold.rules import EXTENSIONS, MAX_IMAGE_BYTES, Picture, picture_of, read_picture
from engine.gold.scratch import RowsByKey
from engine.gold.sources import GoldPlace, GoldReader, GoldRow
from engine.gold.spans import Caption, SpanBoxes, grounding_row, marked_spans
from engine.gold.tsv_files import TsvLines
from engine.shards import valid_key
from engine.storage.digests import digest_of_list
from schemas.pictures import image_extension
from schemas.records import BoxXYXY

MAX_YAML_BYTES = 1_000_000


class GlipLabel(CocoItem):
    """The JSON of a caption; sizes in pixels."""

    img_w: int = Field(gt=0)
    img_h: int = Field(gt=0)
    caption: Text
    bboxes: list[BoxXYXY | list[BoxXYXY]]
    scores: list[float | list[float]]
    tokens_positive: list[list[tuple[int, int]]]


class GlipTsvCaptions(GoldReader):
    """A row for each line. Pictures of ``img.tsv`` are found by their key."""

    def __init__(self, place: GoldPlace) -> None:
        place = place.without_split("glip-tsv")
        label, img = _files(place.annotations)
        self._labels = TsvLines(label)
        self._pictures = TsvLines(img) if img is not None else None
        self._folder = place.image_folder("images")
        self.uri = label.name
        self._keys = Keys(self._labels.keys())
        self._shown = RowsByKey([] if self._pictures is None else self._pictures.keys())
        self.fingerprint = self._digest()

    def __len__(self) -> int:
        return len(self._labels)

    def _digest(self) -> str:
        if self._pictures is not None:
            return digest_of([self._labels.sha256, self._pictures.sha256])
        names = (self._file_name(self._keys[row]) for row in range(len(self)))
        return digest_of_list([self._labels.sha256, (file_size(self._folder / name) for name in names)])

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        key = self._keys[row]
        label = checked(GlipLabel, self._labels.json(row))
        if isinstance(label, str):
            return rejected_row(key, "line_malformed", f"line {row}: {label}")
        size_wh = (label.img_w, label.img_h)
        caption = Caption(key, label.caption, size_wh, f"{self.uri}#{row}", _annotations(label))
        return grounding_row(row, caption, self._keys, lambda: self._picture(key, size_wh), recipe_digest)

    def _picture(self, key: str, size_wh: tuple[int, int]) -> Picture | str:
        if self._pictures is None:
            return read_picture(self._folder, self._file_name(key), size_wh)
        line = self._shown.first(key)
        if line is None:
            return "image_missing"
        return _decoded(self._pictures.value(line, MAX_IMAGE_BYTES * 4 // 3), size_wh)

    def _file_name(self, key: str) -> str:
        if not valid_key(key):
            return f"{digest_of(key)}.jpg"  # a file that does not exist; the row is rejected for its key
        names = (f"{key}.{extension}" for extension in EXTENSIONS)
        return next((name for name in names if file_size(self._folder / name) >= 0), f"{key}.jpg")


def _decoded(text: bytes | None, size_wh: tuple[int, int]) -> Picture | str:
    if text is None:
        return "image_too_large"
    try:
        content = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        return "image_unreadable"
    extension = image_extension(content)
    if extension is None:
        return "image_unreadable"
    return picture_of(content, extension, size_wh) if extension in EXTENSIONS else "image_format_unknown"


def _annotations(label: GlipLabel) -> list[SpanBoxes | str]:
    """The phrases of a caption, and messages about malformed ones."""
    if not len(label.bboxes) == len(label.scores) == len(label.tokens_positive):
        counts = (len(label.bboxes), len(label.scores), len(label.tokens_positive))
        return ["{} bboxes, {} scores and {} tokens_positive do not belong together".format(*counts)]
    found: list[SpanBoxes | str] = []
    for bbox, score, tokens in zip(label.bboxes, label.scores, label.tokens_positive, strict=True):
        boxes = bbox if isinstance(bbox, list) else [bbox]
        scores = score if isinstance(score, list) else [score]
        if len(boxes) == len(scores):
            found += marked_spans(label.caption, tokens, boxes, scores)
        else:
            found.append(f"{len(boxes)} boxes of one phrase with {len(scores)} scores")
    return found


def _files(place: Path) -> tuple[Path, Path | None]:
    """The files of labels and of pictures. ValueError where there are no labels, or a named file is elsewhere."""
    folder = place if place.is_dir() else place.parent
    documents = own_files(folder, "*.yaml") if place.is_dir() else [place] if place.suffix == ".yaml" else []
    if len(documents) == 1:
        named = _named(documents[0] if place.is_file() else checked_file(documents[0]))
        return checked_file(folder / named["label"]), checked_file(folder / named["img"]) if "img" in named else None
    label = place if place.is_file() else checked_file(folder / "label.tsv")
    if not label.is_file():
        raise ValueError(f"{place} holds neither a label.tsv nor a single YAML that names it; give that file")
    img = checked_file(folder / "img.tsv")
    return label, img if img.is_file() and label.name == "label.tsv" else None


def _named(document: Path) -> dict[str, str]:
    if document.stat().st_size > MAX_YAML_BYTES:
        raise ValueError(f"{document} is larger than {MAX_YAML_BYTES} bytes, which no list of four files is")
    try:
        found = yaml.safe_load(document.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: an invalid date
        raise ValueError(f"{document} is not YAML: {' '.join(str(error).split())}") from None
    names = {name: found[name] for name in ("label", "img") if name in found} if isinstance(found, dict) else {}
    if "label" not in names or not all(isinstance(name, str) and Path(name).name == name for name in names.values()):
        raise ValueError(f"{document} names no `label` file, or one that is not beside it")
    return names
