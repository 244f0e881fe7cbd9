"""The annotations of a COCO-like JSON that is larger than memory, by the image that they name.

In: the file. Out: its lists, read item by item, and the annotations of an image; those whose ``image_id`` is no image's
are rejects that name it. Memory holds where each annotation stands (``engine.gold.json_lists``).
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from engine.gold.coco_json import dropped, listed
from engine.gold.json_lists import Items, JsonLists, RowsByKey
from schemas.records import Reject


class AnnotationsByImage:
    """The list ``annotations`` of ``document``, which is read whole once, here; ValueError where it is no JSON, and on
    use where it has no such list."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows_of = RowsByKey("image_id")
        self.document = JsonLists(file, self._note)

    def of(self, image_id: int | str) -> Iterator[Any]:
        """The annotations of an image as the file has them, in its order."""
        return self._items().read(self._rows_of.rows(image_id))

    def homeless(self, images: Container[Any]) -> tuple[Reject, ...]:
        """A reject ``image_undeclared`` for each annotation of none of ``images``."""
        found = self._items().read(self._rows_of.others(images))
        ids = (item.get("image_id") if isinstance(item, dict) else None for item in found)
        return tuple(dropped("", "image_undeclared", f"annotation of image {image_id!r}") for image_id in ids)

    def _items(self) -> Items:
        return listed(self.document, "annotations", self._file)

    def _note(self, name: str, row: int, item: Any) -> None:
        if name == "annotations":
            self._rows_of.add(item)
