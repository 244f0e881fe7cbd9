"""COCO-style JSON at the boundary: loaded once, each item checked by itself, images found in their folder.

In: paths. Out: items that hold, or a word on what is wrong with them. A file that is not of the format at all is a
ValueError; a single bad item never stops an import.
Source: COCO's data format (cocodataset.org/#format-data).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.artifacts import digest_of
from engine.gold_rules import Picture, read_picture
from engine.gold_sources import GoldRow
from engine.shards import valid_key
from schemas.records import Reject

MAX_JSON_BYTES = 2_000_000_000
Id = int | str
Item = TypeVar("Item", bound=BaseModel)
XYWH = tuple[float, float, float, float]


class CocoItem(BaseModel):
    """An object of the JSON; fields that we do not use are ignored."""

    model_config = ConfigDict(frozen=True)


class CocoImage(CocoItem):
    """An image as the JSON declares it; sizes in pixels."""

    id: Id
    file_name: str = Field(pattern=r"^[^\x00]{1,250}$")
    width: int = Field(gt=0)
    height: int = Field(gt=0)

    @property
    def stem(self) -> str:
        """The file's name without folders and extension."""
        return PurePosixPath(self.file_name).stem


def load_json(file: Path) -> tuple[Any, str]:
    """The document and the SHA-256 of its bytes. ValueError where there is no such file, or no JSON in it."""
    if not file.is_file():
        raise ValueError(f"{file} does not exist; give the folder that holds the annotations")
    if file.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{file} is larger than {MAX_JSON_BYTES} bytes; split it into several datasets")
    content = file.read_bytes()
    try:
        return json.loads(content), hashlib.sha256(content).hexdigest()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from None


def items(document: Any, name: str, file: Path) -> list[Any]:
    """The list ``name`` of the document; ValueError where there is none."""
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"{file} has no list {name!r}, so it is not of COCO's format")
    return found


def checked(kind: type[Item], item: Any) -> Item | str:
    """The item as ``kind``, or in one line what is wrong with it."""
    try:
        return kind.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'item'}: {first['msg']}"


class Images:
    """The declared images, in order, and the folder they lie in."""

    def __init__(self, document: Any, file: Path) -> None:
        self.folder = _image_folder(file)
        self.rows = [checked(CocoImage, item) for item in items(document, "images", file)]
        self.of_id: dict[Id, CocoImage] = {}
        for image in self.rows:
            if isinstance(image, CocoImage):
                self.of_id.setdefault(image.id, image)

    def picture(self, image: CocoImage) -> Picture | str:
        """The image's file, or the reason against it."""
        return read_picture(self.folder, image.file_name, image.width, image.height)

    def digest(self) -> str:
        """Digest of the names and sizes of the image files, in order; a missing file counts as size -1."""
        named = [(image.file_name, self.folder / image.file_name) for image in self.of_id.values()]
        return digest_of([(name, path.stat().st_size if path.is_file() else -1) for name, path in named])


class Keys:
    """Which row a key belongs to: the first that has it."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._first: dict[str, int] = {}
        for row, key in enumerate(keys):
            self._first.setdefault(key, row)

    def fault(self, key: str, row: int) -> str | None:
        """``key_invalid``, ``duplicate_key``, or None where the row may have the key."""
        if not valid_key(key):
            return "key_invalid"
        return None if self._first[key] == row else "duplicate_key"


def rejected_row(key: str, reason: str, message: str, homeless: tuple[Reject, ...]) -> GoldRow:
    """A row without a sample. Its own annotations go with it; ``homeless`` ones are counted here."""
    return GoldRow(None, (*homeless, Reject(key, "read", reason, message)), len(homeless))


def dropped(key: str, reason: str, message: str) -> Reject:
    """A dropped annotation of the sample ``key`` (empty where it belongs to none)."""
    return Reject(key, "annotation", reason, message[:500])


def _image_folder(file: Path) -> Path:
    """The folder of the images beside ``instances_384.json``: ``images_384``, ``images``, or the JSON's own."""
    suffix = file.stem.removeprefix("instances")
    for name in (f"images{suffix}", "images"):
        if (file.parent / name).is_dir():
            return file.parent / name
    return file.parent
