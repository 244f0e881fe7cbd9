"""A stored photo as people see it: upright, its boxes on what they are of; and the way back for boxes that people draw.

In: an encoded picture, its stored size, boxes in pixels of it. Out: the same as the EXIF orientation turns it. All that
shows pictures goes through here (report, review, worst mistakes, `ground --out`), and so does what a reviewer draws;
datasets keep to the stored pixels. Nothing is trusted: pictures are decoded within bounds.
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
    """How a picture that is stored with ``width`` x ``height`` pixels is turned to be seen: its EXIF orientation."""

    orientation: int
    width: int
    height: int

    @classmethod
    def of(cls, encoded: bytes, size_wh: tuple[int, int]) -> Self:
        """That of a file, whose stored pixels have this size; none where the file says nothing of it."""
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
        """The labels with their size and boxes, in their order, of the upright picture: to be shown, never stored."""
        width, height = self.size
        boxes = [one.model_copy(update={"box_xyxy": self.box(one.box_xyxy)}) for one in stored.boxes]
        return stored.model_copy(update={"boxes": boxes, "width": width, "height": height})


def upright_picture(encoded: bytes, max_side: int | None = None) -> Image.Image | None:
    """The picture in RGB as it is to be seen; None where it cannot be decoded, or would take long or much memory.

    ``max_side``: of what is wanted, in pixels; a larger picture is made smaller, and decoded small where it can be.
    """
    try:
        with warnings.catch_warnings(action="ignore"), open_picture_file(encoded) as stored:
            if stored.width * stored.height > MAX_PIXELS or too_many_scans(stored.format, encoded):
                return None
            if max_side is not None:
                stored.draft("RGB", (max_side, max_side))
            picture = as_rgb(stored)
    except Exception:  # hostile bytes make a decoder raise anything
        return None
    if max_side is not None:
        picture.thumbnail((max_side, max_side))
    return upright(picture, orientation_of(encoded))
