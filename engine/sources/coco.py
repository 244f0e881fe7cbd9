"""COCO's captions JSON and a folder of images: one sample for every caption, or one for every image.

In: ``{"images": [{"id", "file_name"}], "annotations": [{"id", "image_id", "caption"}]}`` and the folder. Out: units of
samples in the order of the annotations (or images), with the pictures' bytes untouched. Planning reads the JSON whole
and no picture. Items come from outside: each that does not hold is a Reject, and no ``file_name`` leads out of the
folder.

Source: cocodataset.org/#format-data.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeGuard

from engine.artifacts import digest_of
from engine.shards import valid_key
from engine.sources.columns import stripped_caption
from engine.sources.image_files import ImageFolder, Problem, image_extension
from engine.sources.places import Files
from schemas.recipes import CocoSource
from schemas.records import CaptionedImage, Reject, UnitRef

MAX_JSON_BYTES = 2_000_000_000
SENTENCE_ENDS = (".", "!", "?", "…")


@dataclass(frozen=True, slots=True)
class CocoRow:
    """A sample to be: the picture's name and the caption, or, where there is a ``reason``, why it is none."""

    key: str
    file_name: str = ""
    caption: str = ""
    reason: str = ""
    message: str = ""


class Coco:
    """A :class:`~engine.sources.Source` over one captions JSON. ValueError where it is not of COCO's format."""

    def __init__(self, recipe: CocoSource) -> None:
        self._recipe = recipe
        self._folder = ImageFolder(recipe.images, recipe.max_image_bytes)
        document, self._digest = _load(recipe.uri)
        names, captions = _names(document, recipe.uri), _list(document, "annotations", recipe.uri)
        rows = _each(names, captions) if recipe.captions == "each" else _joined(names, captions)
        self._rows = _with_unique_keys(rows)

    def units(self, unit_size: int) -> list[UnitRef]:
        if not self._rows:
            raise ValueError(f"source {self._recipe.uri} holds no caption")
        starts = range(0, len(self._rows), unit_size)
        return [
            UnitRef(index, "captions", first, min(unit_size, len(self._rows) - first))
            for index, first in enumerate(starts)
        ]

    def fingerprint(self) -> str:
        """Of the JSON's bytes. The pictures are named by it and not read."""
        return digest_of(["coco", self._recipe.captions, self._digest])

    def part_digest(self, uri: str) -> str:
        return self.fingerprint()

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        rows = self._rows[ref.first_row : ref.first_row + ref.rows]
        names = list(dict.fromkeys(row.file_name for row in rows if not row.reason))
        pictures = dict(zip(names, self._folder.read_all(names), strict=True))
        return [_outcome(row, pictures.get(row.file_name)) for row in rows]


def _outcome(row: CocoRow, picture: bytes | Problem | None) -> CaptionedImage | Reject:
    if picture is None:
        return Reject(row.key, "read", row.reason, row.message)
    if isinstance(picture, Problem):
        return Reject(row.key, "read", picture.reason, picture.message)
    extension = image_extension(picture)
    if extension is None:
        return Reject(row.key, "read", "not_an_image", f"{row.file_name!r} begins as no picture: {picture[:16]!r}")
    return CaptionedImage(row.key, picture, extension, row.caption, row.file_name)


def _load(uri: str) -> tuple[Any, str]:
    """The document and the SHA-256 of its bytes."""
    files = Files(uri, (".json",))
    if len(files.all) != 1:
        raise ValueError(f"source {uri} is {len(files.all)} JSON files; give the one that holds the captions")
    if (files.all[0].size or 0) > MAX_JSON_BYTES:
        raise ValueError(f"source {uri} is larger than {MAX_JSON_BYTES} bytes; split it")
    with files.open_whole(files.all[0]) as file:
        content = file.read(MAX_JSON_BYTES)
    try:
        return json.loads(content), hashlib.sha256(content).hexdigest()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"source {uri} is not JSON: {error}") from None


def _list(document: Any, name: str, uri: str) -> list[Any]:
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"source {uri} has no list {name!r}, so it is no captions JSON of COCO's format")
    return found


def _names(document: Any, uri: str) -> dict[int | str, str]:
    """File names by image id; the first of two images with one id counts."""
    names: dict[int | str, str] = {}
    for image in _list(document, "images", uri):
        if isinstance(image, dict) and _is_id(image.get("id")) and isinstance(image.get("file_name"), str):
            names.setdefault(image["id"], image["file_name"])
    return names


def _each(names: dict[int | str, str], annotations: list[Any]) -> list[CocoRow]:
    return [_caption_row(names, annotation, number) for number, annotation in enumerate(annotations)]


def _caption_row(names: dict[int | str, str], annotation: Any, number: int) -> CocoRow:
    """The sample of one caption; its key has the image's id and the annotation's."""
    fields = annotation if isinstance(annotation, dict) else {}
    image, own = fields.get("image_id"), fields.get("id")
    if not _is_id(image) or not _is_id(own):
        return CocoRow(f"(annotation {number})", reason="annotation_invalid", message="it has no id or no image_id")
    key = f"{_id_text(image)}-{own}"
    if image not in names:
        return CocoRow(key, reason="image_undeclared", message=f"image {image!r} is not in the list of images")
    caption = stripped_caption(fields.get("caption"))
    if caption is None:
        return CocoRow(key, reason="caption_missing", message="the annotation has no text in its field 'caption'")
    return CocoRow(key, names[image], caption)


def _joined(names: dict[int | str, str], annotations: list[Any]) -> list[CocoRow]:
    """One sample an image, in the order of the images; then a row for each annotation that belongs to none."""
    captions: dict[int | str, list[str]] = {image: [] for image in names}
    stray = []
    for row, annotation in zip(_each(names, annotations), annotations, strict=True):
        if row.reason in ("annotation_invalid", "image_undeclared"):
            stray.append(row)
        elif not row.reason:
            captions[annotation["image_id"]].append(row.caption)
    rows = [
        CocoRow(_id_text(image), names[image], _as_sentences(texts))
        if texts
        else CocoRow(_id_text(image), reason="caption_missing", message="no annotation has a caption of this image")
        for image, texts in captions.items()
    ]
    return rows + stray


def _as_sentences(captions: list[str]) -> str:
    """The captions as one text; one alone stays as it is."""
    if len(captions) == 1:
        return captions[0]
    return " ".join(text if text.endswith(SENTENCE_ENDS) else f"{text}." for text in captions)


def _with_unique_keys(rows: list[CocoRow]) -> list[CocoRow]:
    """The rows, where of two good ones with one key the first counts."""
    seen: Counter[str] = Counter()
    checked = []
    for row in rows:
        if not row.reason and not valid_key(row.key):
            row = CocoRow(
                row.key[:200], reason="key_invalid", message="an id is a number or a text without dot or slash"
            )
        elif not row.reason and seen[row.key]:
            row = CocoRow(
                row.key, reason="key_duplicate", message="an earlier caption has this id; the first one counts"
            )
        seen[row.key] += not row.reason
        checked.append(row)
    return checked


def _is_id(value: Any) -> TypeGuard[int | str]:
    return type(value) is int or (isinstance(value, str) and value.isprintable())


def _id_text(image: int | str) -> str:
    return f"{image:09d}" if isinstance(image, int) else image
