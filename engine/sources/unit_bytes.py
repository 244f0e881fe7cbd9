"""The limit on the bytes of a unit's pictures, and of its texts: they are in memory until its shard is written.

In: the sizes of pictures, or of the texts of rows, one after another. Out: whether there is room. Without a limit, a
Parquet file of a kilobyte could hold a thousand equal pictures of fifty megabytes each, or as many captions of one
megabyte, and a list of urls could lead to as many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from engine.sources import Problem

MAX_UNIT_BYTES = 4_000_000_000
MAX_UNIT_TEXT_BYTES = 500_000_000


class UnitBytes:
    """The bytes left for the pictures, or for the texts, of one unit."""

    def __init__(self, of: Literal["pictures", "texts"] = "pictures") -> None:
        self._of = of
        self._most = self._left = MAX_UNIT_BYTES if of == "pictures" else MAX_UNIT_TEXT_BYTES

    def over(self, size: int) -> Problem | None:
        """Take ``size`` bytes: returns None, or a Problem ``unit_too_large`` where fewer are left."""
        if size <= self._left:
            self._left -= size
            return None
        why = f"{size} bytes, of {self._most} for the {self._of} of a unit {self._left} are left"
        return Problem("unit_too_large", f"{why}; make unit_size smaller, so that fewer are in memory together")


def text_bytes(cells: Iterable[object]) -> int:
    """The bytes that the texts in cells, and in structs such as a picture's path, take in memory at most: one byte a
    character if all are ASCII, else four."""
    values = (one for cell in cells for one in (cell.values() if isinstance(cell, dict) else (cell,)))
    return sum(len(one) if one.isascii() else 4 * len(one) for one in values if isinstance(one, str))
