"""COCO's captions JSON and a folder of images: one sample for every caption, or one for every image.

In: ``{"images": [{"id", "file_name"}], "annotations": [{"id", "image_id", "caption"}]}`` and the folder. Out: units of
samples in the order of the annotations (or images), with the pictures' bytes untouched. Planning reads the whole JSON
and no picture. The JSON is untrusted: an invalid item is a Reject, and no ``file_name`` leads out of the folder.

Source: cocodataset.org/#format-data.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeGuard

from engine.artifacts import digest_of
from engine.shards import key_of_name
from engine.sources import Problem
from engine.sources.columns import cell_text, field_names
from engine.sources.image_files import ImageFolder
from engine.sources.named_pictures import NamedPictures, NamedRow, named_row, with_unique_keys
from engine.sources.own_columns import OwnColumns
from engine.sources.places import Files
from schemas.recipes import CocoSource
from schemas.records import CaptionedImage, Reject, UnitRef

MAX_JSON_BYTES = 2_000_000_000
Fields = dict[str, Any]
Images = dict[int | str, Fields]
SENTENCE_ENDS = (".", "!", "?", "…")


class Coco:
    """A :class:`~engine.sources.Source` of one captions JSON. ValueError where it is not in COCO's format."""

    def __init__(self, recipe: CocoSource) -> None:
        self._recipe = recipe
        folder, own = ImageFolder(recipe.images, recipe.max_image_bytes), OwnColumns(recipe)
        document, self._digest = _load(recipe.uri)
        images, captions = _list(document, "images", recipe.uri), _list(document, "annotations", recipe.uri)
        each = recipe.captions == "each"
        if own.names:
            own.check(field_names([*images, *captions] if each else images), f"the JSON {recipe.uri}")
        rows = _each(images, captions, own) if each else _joined(images, captions, own)
        self._pictures = NamedPictures(with_unique_keys(rows), folder)

    def units(self, unit_size: int) -> list[UnitRef]:
        refs = self._pictures.units(unit_size, "captions")
        if not refs:
            raise ValueError(f"source {self._recipe.uri} holds no caption")
        return refs

    def fingerprint(self) -> str:
        """The digest of the JSON's bytes. The pictures, which it names, are not read."""
        return digest_of(["coco", self._recipe.captions, self._digest])

    def part_digest(self, uri: str) -> str:
        return self.fingerprint()

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        return self._pictures.read(ref)


def _load(uri: str) -> tuple[Any, str]:
    """The document and the SHA-256 of its bytes."""
    files = Files(uri, (".json",))
    if len(files.all) > 1:
        raise ValueError(f"source {uri} is {len(files.all)} JSON files; give the one that holds the captions")
    content = files.read_single(MAX_JSON_BYTES)
    if content is None:
        raise ValueError(f"source {uri} is larger than {MAX_JSON_BYTES} bytes; split it")
    try:
        return _parse(content), hashlib.sha256(content).hexdigest()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"source {uri} is not JSON: {error}") from None


def _parse(content: bytes) -> Any:
    """The JSON value. Bytes that are not UTF-8 become lone surrogates, so that only the items with them are rejects."""
    try:
        return json.loads(content)
    except UnicodeDecodeError:
        return json.loads(content.decode("utf-8-sig", "surrogateescape"))


def _list(document: Any, name: str, uri: str) -> list[Any]:
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"source {uri} has no list {name!r}, so it is not a captions JSON in COCO's format")
    return found


def _each(images: list[Any], annotations: list[Any], own: OwnColumns) -> list[NamedRow]:
    """A row for each caption, in their order; its columns are the fields of the caption and of its image."""
    named, _ = _by_id(images)
    rows = []
    for number, annotation in enumerate(annotations):
        image = _image_of(named, annotation, number)
        if isinstance(image, NamedRow):
            rows.append(image)
        else:
            key = _caption_key(annotation["image_id"], annotation["id"])
            rows.append(named_row(key, image["file_name"], _caption(annotation), image | annotation, own))
    return rows


def _joined(images: list[Any], annotations: list[Any], own: OwnColumns) -> list[NamedRow]:
    """A row for each image, in their order; then a reject for each invalid image, and each annotation without one."""
    named, stray = _by_id(images)
    captions: dict[int | str, list[str]] = {image: [] for image in named}
    for number, annotation in enumerate(annotations):
        image = _image_of(named, annotation, number)
        if isinstance(image, NamedRow):
            stray.append(image)
        elif isinstance(caption := _caption(annotation), str):
            captions[annotation["image_id"]].append(caption)
    return [
        named_row(_id_text(image), named[image]["file_name"], _as_sentences(texts), named[image], own)
        for image, texts in captions.items()
    ] + stray


def _image_of(named: Images, annotation: Any, number: int) -> Fields | NamedRow:
    """The image of an annotation, or a row with the reason why it has none."""
    fields = annotation if isinstance(annotation, dict) else {}
    image, own = fields.get("image_id"), fields.get("id")
    if not _is_id(image) or not _is_id(own):
        problem = Problem("annotation_invalid", "it has no id or no image_id")
        return NamedRow(f"(annotation {number})", problem=problem)
    if image not in named:
        problem = Problem("image_undeclared", f"image {image!r} is not in the list of images")
        return NamedRow(_caption_key(image, own), problem=problem)
    return named[image]


def _by_id(images: list[Any]) -> tuple[Images, list[NamedRow]]:
    """Images by id, of several with one id the first; and a row with the reason for each of the others."""
    named: Images = {}
    stray = []
    for number, image in enumerate(images):
        fields = image if isinstance(image, dict) else {}
        if not _is_id(fields.get("id")) or not isinstance(fields.get("file_name"), str):
            problem = Problem("image_invalid", "it has no id or no file_name")
            stray.append(NamedRow(f"(image {number})", problem=problem))
        elif fields["id"] in named:
            problem = Problem("image_duplicate", "an earlier image has this id; the first one counts")
            stray.append(NamedRow(_id_text(fields["id"]), problem=problem))
        else:
            named[fields["id"]] = fields
    return named, stray


def _caption(annotation: Fields) -> str | Problem:
    return cell_text(annotation.get("caption"), "caption", "caption")


def _as_sentences(captions: list[str]) -> str | Problem:
    """The captions as one text of sentences; a single caption stays as it is."""
    if not captions:
        return Problem("caption_missing", "no annotation has a caption of this image")
    if len(captions) == 1:
        return captions[0]
    return " ".join(text if text.endswith(SENTENCE_ENDS) else f"{text}." for text in captions)


def _is_id(value: Any) -> TypeGuard[int | str]:
    return type(value) is int or (isinstance(value, str) and value.isprintable())


def _caption_key(image: int | str, own: int | str) -> str:
    return f"{_id_text(image)}-{key_of_name(str(own))}"


def _id_text(image: int | str) -> str:
    """An image's id as a part of a key."""
    return f"{image:09d}" if isinstance(image, int) else key_of_name(image)
