"""The rules that an annotation must satisfy to become gold, each with its reason.

In: a box or a picture from a file. Out: the value in the project's form, or the reason why it is rejected.
"""

from __future__ import annotations

import hashlib
import math
import posixpath
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from engine.gold.files import file_size, leads_out, picture_path
from engine.noun_phrases.lemmas import noun_lemma
from engine.shards import key_of_name
from schemas.orientation import AS_STORED, box_as_stored, orientation_of, turned_size
from schemas.pictures import open_picture_file, too_many_scans
from schemas.records import BoxXYXY

MAX_IMAGE_BYTES = 100_000_000
EXTENSIONS = {"jpg": "jpg", "jpeg": "jpg", "png": "png", "webp": "webp", "bmp": "bmp", "gif": "gif"}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file that decodes completely, with its bytes untouched. ``width`` and ``height`` are those of the
    picture that the boxes were drawn on, which is the stored one turned by the EXIF ``orientation`` (1: not turned)."""

    content: bytes
    extension: str
    width: int
    height: int
    sha256: str
    orientation: int = AS_STORED

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the stored pixels."""
        return turned_size((self.width, self.height), self.orientation)

    def as_stored(self, box_xyxy: BoxXYXY) -> BoxXYXY:
        """A box of the annotations in pixels of the stored picture, as a dataset has it."""
        x1, y1, x2, y2 = box_as_stored(box_xyxy, self.orientation, *self.stored_size)
        return (round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2))


def box_from_xyxy(box_xyxy: BoxXYXY, width: int, height: int) -> BoxXYXY | str:
    """The box clipped to the picture, or the reason why there is none.

    Reasons: ``box_not_finite``, ``box_without_area`` and ``box_outside_image`` (no pixel of it is inside).
    """
    if not all(math.isfinite(value) for value in box_xyxy):
        return "box_not_finite"
    left, top, right, bottom = box_xyxy
    if right <= left or bottom <= top:
        return "box_without_area"
    # Two decimals are finer than any annotation, and hide the rounding error of ``x + w``.
    x1, x2 = (round(min(max(value, 0.0), width), 2) for value in (left, right))
    y1, y2 = (round(min(max(value, 0.0), height), 2) for value in (top, bottom))
    if x2 <= x1 or y2 <= y1:
        outside = left >= width or top >= height or right <= 0 or bottom <= 0
        return "box_outside_image" if outside else "box_without_area"
    return (x1, y1, x2, y2)


def read_picture(folder: Path, file_name: str, size_wh: tuple[int, int] | None) -> Picture | str:
    """The image file ``file_name`` of ``folder``, decoded once to check that it is whole, or the reason why it cannot
    be used. ``size_wh`` is the size that the annotations state, None where they state none.

    Reasons: ``image_outside_folder``, ``image_missing``, ``image_too_large``, ``image_format_unknown``,
    ``image_unreadable``, and ``image_size_mismatch`` (not the size that the boxes were drawn on).
    """
    path = picture_path(folder, file_name)
    if leads_out(path, folder):
        return "image_outside_folder"
    extension = EXTENSIONS.get(path.suffix.lower().lstrip("."))
    if extension is None:
        return "image_format_unknown"
    size_bytes = file_size(path)
    if size_bytes < 0:
        return "image_missing"
    if size_bytes > MAX_IMAGE_BYTES:
        return "image_too_large"
    return picture_of(path.read_bytes(), extension, size_wh)


def picture_of(content: bytes, extension: str, size_wh: tuple[int, int] | None) -> Picture | str:
    """An encoded picture, decoded once to check that it is whole, or the reason why it cannot be used. ``size_wh`` and
    the reasons are those of :func:`read_picture`."""
    size = decoded_size(content)
    if isinstance(size, str):
        return size
    orientation = _drawn_orientation(orientation_of(content), size, size_wh)
    if orientation is None:
        return "image_size_mismatch"
    return Picture(
        content, extension, *turned_size(size, orientation), hashlib.sha256(content).hexdigest(), orientation
    )


def _drawn_orientation(orientation: int, size: tuple[int, int], stated: tuple[int, int] | None) -> int | None:
    """The orientation in which boxes were drawn on the picture: 1 (not turned) or its EXIF ``orientation``, by the size
    that the annotations state; None where that is the size of neither.

    Where both have that size, as for a picture turned upside down, it was not turned: COCO's and other known
    annotations are older than browsers that turn pictures. Without a stated size, as for YOLO, it was turned, as by
    YOLO's own readers.
    """
    if stated is None:
        return orientation
    return next((way for way in (AS_STORED, orientation) if turned_size(size, way) == stated), None)


def decoded_size(content: bytes) -> tuple[int, int] | str:
    """Width and height of an encoded picture; ``image_unreadable`` if it does not decode to its end, or
    ``image_too_large`` to be decoded in a reasonable time."""
    try:
        with warnings.catch_warnings(action="ignore"), open_picture_file(content) as image:  # about odd metadata
            if too_many_scans(image.format, content):
                return "image_too_large"
            image.load()
            return image.size
    except Image.DecompressionBombError:  # Pillow's own limit, about 179 million pixels
        return "image_too_large"
    except Exception:  # hostile bytes can make a decoder raise anything
        return "image_unreadable"


def key_of(file_name: str) -> str:
    """The key of a picture's sample: the file's name without folders and extension, in a form that is valid as a key.

    >>> key_of("train/raccoon-1_jpg.rf.1c9d.jpg")
    'raccoon-1_jpg_rf_1c9d'
    """
    return key_of_name(posixpath.basename(_without_ending(file_name)))


def long_key_of(file_name: str) -> str:
    """The key of a picture that has the same name as one in another folder.

    >>> long_key_of("film-2/0001.jpg")
    'film-2_0001'
    """
    return key_of_name(_without_ending(file_name))


def _without_ending(file_name: str) -> str:
    return posixpath.splitext(file_name.replace("\\", "/"))[0]


def class_name(name: str) -> str:
    """A class name as it stands in a prompt: ``aerosol_can`` becomes "aerosol can"; it never contains ". "."""
    return " ".join(name.replace("_", " ").replace(".", " ").split())


def head_lemma(phrase: str) -> str:
    """The lemma of the last word, which is the head of an English base noun phrase: gold phrases need no parser."""
    words = phrase.split()
    if not words:
        return ""
    last = words[-1].strip(".,;:!?\"'()").lower()
    return noun_lemma(last, last.endswith("s"))
