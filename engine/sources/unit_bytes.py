"""How many bytes the pictures of a unit may have: they are in memory together until their shard is written.

In: the size of one picture after another. Out: whether there is room for it. A Parquet file of a kilobyte can hold a
thousand pictures of fifty megabytes each, all the same; a list of urls can lead to as many.
"""

from __future__ import annotations

from engine.sources.image_files import Problem

MAX_UNIT_BYTES = 4_000_000_000


class UnitBytes:
    """Of one unit."""

    def __init__(self) -> None:
        self._left = MAX_UNIT_BYTES

    def over(self, size: int) -> Problem | None:
        """``unit_too_large`` of a picture of ``size`` bytes for which there is no room; None of one that is kept."""
        if size <= self._left:
            self._left -= size
            return None
        why = f"{size} bytes, of {MAX_UNIT_BYTES} for the pictures of a unit {self._left} are left"
        return Problem("unit_too_large", f"{why}; make unit_size smaller, so that fewer are in memory together")
