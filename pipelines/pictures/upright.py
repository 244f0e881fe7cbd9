"""Turns stored photos and their boxes upright for people, and boxes that people draw back to the stored pixels.

In: an encoded picture, its stored size, boxes in its pixels. Out: the same, turned by the EXIF orientation. Everything
that shows pictures uses it (report, review, worst mistakes, `ground --out`), and so do boxes that a reviewer draws;
datasets only have stored pixels. Pictures are untrusted, and decoded within limits.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Self

from PIL import Image

from glip.rgb import as_rgb, upright
from schemas.orientation import Box, box_as_stored, box_upright, orientation_of, turned_size
from schemas.pictures import open_picture_file, too_many_scans
from schemas.shards import SampleLabels

MAX_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class Turn:
    """The EXIF orientation of a picture that is stored with ``width`` x ``height`` pixels."""

    orientation: int
    width: int
    height: int

    @classmethod
    def of(cls, encoded: bytes, size_wh: tuple[int, int]) -> Self:
        """The orientation of a file whose stored pixels have the size ``size_wh``; 1 where the file states none."""
        return cls(orientation_of(encoded), *size_wh)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        return turned_size((self.width, self.height), self.orientation)

    def box(self, stored_xyxy: Box) -> Box:
        """A box of the stored picture in pixels of the upright one."""
        return box_upright(stored_xyxy, self.orientation, self.width, self.height)

    def stored_box(self, upright_xyxy: Box) -> Box:
        """A box of the upright picture in pixels of the stored one."""
        return box_as_stored(upright_xyxy, self.orientation, self.width, self.height)

    def labels(self, stored: SampleLabels) -> SampleLabels:
        """The labels with size and boxes, in the same order, of the upright picture; only to be shown, never stored."""
        width, height = self.size
        boxes = [one.model_copy(update={"box_xyxy": self.box(one.box_xyxy)}) for one in stored.boxes]
        return stored.model_copy(update={"boxes": boxes, "width": width, "height": height})


def upright_picture(encoded: bytes, max_side: int | None = None) -> Image.Image | None:
    """The upright picture in RGB; None where it cannot be decoded, or would take long or much memory.

    ``max_side``: the longest side wanted, in pixels; a larger picture is shrunk, if possible already while decoding.
    """
    try:
        with warnings.catch_warnings(action="ignore"), open_picture_file(encoded) as stored:
            if stored.width * stored.height > MAX_PIXELS or too_many_scans(stored.format, encoded):
                return None
            if max_side is not None:
                stored.draft("RGB", (max_side, max_side))
            picture = as_rgb(stored)
    except Exception:  # hostile bytes can make a decoder raise anything
        return None
    if max_side is not None:
        picture.thumbnail((max_side, max_side))
    return upright(picture, orientation_of(encoded))
