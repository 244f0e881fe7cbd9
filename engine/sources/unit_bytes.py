"""How many bytes the pictures of a unit, and its texts, may have: they are in memory until its shard is written.

In: the size of one picture, or of the texts of one row, after another. Out: whether there is room for it. A Parquet
file of a kilobyte can hold a thousand pictures of fifty megabytes each, all the same, or as many captions of one; a
list of urls can lead to as many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from engine.sources.image_files import Problem

MAX_UNIT_BYTES = 4_000_000_000
MAX_UNIT_TEXT_BYTES = 500_000_000


class UnitBytes:
    """Of one unit, its pictures or its texts."""

    def __init__(self, of: Literal["pictures", "texts"] = "pictures") -> None:
        self._of = of
        self._most = self._left = MAX_UNIT_BYTES if of == "pictures" else MAX_UNIT_TEXT_BYTES

    def over(self, size: int) -> Problem | None:
        """``unit_too_large`` where there is no room for ``size`` bytes more; None of what is kept."""
        if size <= self._left:
            self._left -= size
            return None
        why = f"{size} bytes, of {self._most} for the {self._of} of a unit {self._left} are left"
        return Problem("unit_too_large", f"{why}; make unit_size smaller, so that fewer are in memory together")


def text_bytes(cells: Iterable[object]) -> int:
    """What the texts of cells, and of structs such as a picture's path, take in memory at most: four bytes a letter,
    if not all are ASCII."""
    values = (one for cell in cells for one in (cell.values() if isinstance(cell, dict) else (cell,)))
    return sum(len(one) if one.isascii() else 4 * len(one) for one in values if isinstance(one, str))
