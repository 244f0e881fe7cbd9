"""JSON documents with long lists, written item by item.

In: the items of a list, or of several lists, in any order. Out: the list, or one object with the lists: the first one
is written directly into the file, the others into unnamed files that are appended at the end. Memory holds one item.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, cast

from engine.artifacts import COPY_BYTES, Store


class JsonLists:
    """The lists of a document being written; ``rest`` has its other fields."""

    def __init__(self, adders: dict[str, Callable[[bytes], None]]) -> None:
        self._adders = adders
        self.rest: dict[str, Any] = {}

    def add(self, name: str, item: Any) -> None:
        """Append ``item`` to the list ``name``."""
        self._adders[name](json_bytes(item))


@contextmanager
def json_lists(store: Store, name: str, lists: Sequence[str]) -> Iterator[JsonLists]:
    """Write the document ``name`` with ``lists``; it appears when the block ends without an error."""
    with store.writing(name) as whole, ExitStack() as stack:
        parts = [cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile())) for _ in lists[1:]]
        whole.write(b"{")
        with ExitStack() as brackets:
            document = JsonLists(
                {
                    one: brackets.enter_context(json_items(file, json_bytes(one) + b": [", b"]"))
                    for one, file in zip(lists, (whole, *parts), strict=True)
                }
            )
            yield document
        for part in parts:
            part.seek(0)
            whole.write(b",\n")
            shutil.copyfileobj(part, whole, COPY_BYTES)
        for field, value in document.rest.items():
            whole.write(b",\n" + json_bytes(field) + b": " + json_bytes(value))
        whole.write(b"}\n")


@contextmanager
def json_items(file: BinaryIO, opening: bytes, closing: bytes) -> Iterator[Callable[[bytes], None]]:
    """Yield ``add(item)``, which writes an item of a list, or of a mapping, on a line of its own between two
    brackets."""
    file.write(opening)
    between = b""

    def add(item: bytes) -> None:
        nonlocal between
        file.write(between + item)
        between = b",\n"

    yield add
    file.write(closing)


def json_bytes(value: Any) -> bytes:
    """A value as JSON in one line of UTF-8. ValueError for what JSON lacks, such as NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="surrogatepass")


def xywh(box_xyxy: Sequence[float]) -> list[float]:
    """Top left corner and size of a box, rounded to the two decimals of stored boxes, since differences have more."""
    x1, y1, x2, y2 = box_xyxy
    return [x1, y1, round(x2 - x1, 6), round(y2 - y1, 6)]
