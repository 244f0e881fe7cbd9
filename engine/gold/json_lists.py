"""The long lists of a JSON object, read item by item: what is larger than memory is read once to find the items.

In: a file whose top level is an object with lists, as COCO's. Out: the lists by name; an item is parsed when it is
asked for. Memory holds where each item begins and ends, 16 bytes an item, and one item.

The standard decoder reads each item; only the commas between them are looked for here. (``ijson`` would do as much, but
not with the NaN that Python writes, which must be a rejected box and not the end of the import.)
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import numpy.typing as npt

CHUNK_BYTES = 1 << 22
MAX_ITEM_BYTES = 100_000_000
BOM = b"\xef\xbb\xbf".decode("latin-1")
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER_TO_THE_END = re.compile(r"[0-9.eE+-]*\Z")
OnItem = Callable[[str, int, Any], None]


class Items(Sequence[Any]):
    """The items of one list, each read from the file when it is asked for."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._bounds = array("q")

    def add(self, start: int, end: int) -> None:
        """Note where the next item stands: bytes of the file, half-open."""
        self._bounds.extend((start, end))

    def __len__(self) -> int:
        return len(self._bounds) // 2

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return list(self.read(range(*row.indices(len(self)))))
        if not -len(self) <= row < len(self):
            raise IndexError(f"item {row} of {len(self)}")
        return next(self.read([row % len(self)]))

    def __iter__(self) -> Iterator[Any]:
        return self.read(range(len(self)))

    def read(self, rows: Iterable[int]) -> Iterator[Any]:
        """The items ``rows``, in that order."""
        with self._file.open("rb") as opened:
            for row in rows:
                start, end = self._bounds[2 * row], self._bounds[2 * row + 1]
                opened.seek(start)
                yield json.loads(opened.read(end - start))


class JsonLists:
    """The lists of the object in ``file``, and the SHA-256 of the file.

    ``on_item`` is told of each item with its list's name and its number, in the order of the file. ValueError, in one
    line, where there is no file, or no JSON in it.
    """

    def __init__(self, file: Path, on_item: OnItem = lambda name, row, item: None) -> None:
        if not file.is_file():
            raise ValueError(f"{file} does not exist; give the folder that holds the annotations")
        self._file = file
        self.lists: dict[str, Items] = {}
        with file.open("rb") as opened:
            scanner = _Scanner(opened)
            try:
                self._scan(scanner, on_item)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{file} is not JSON: {error}") from None
        self.sha256 = scanner.digest.hexdigest()

    def _scan(self, scanner: _Scanner, on_item: OnItem) -> None:
        if scanner.peek() != "{":
            scanner.value()  # whatever it is, it has no lists by name
        else:
            for name in scanner.names():
                if scanner.peek() == "[":
                    self._scan_list(name, scanner, on_item)
                else:
                    scanner.value()
        if scanner.peek():
            raise ValueError(f"more after its end, at byte {scanner.position()}")

    def _scan_list(self, name: str, scanner: _Scanner, on_item: OnItem) -> None:
        if name in self.lists:
            raise ValueError(f"it has two lists {name!r}")
        items = self.lists[name] = Items(self._file)
        for item, start, end in scanner.items():
            items.add(start, end)
            on_item(name, len(items) - 1, item)


class RowsByKey:
    """Which rows of a list have a key, such as the ``image_id`` of annotations: 12 bytes a row, and the keys."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._numbers: dict[int | str, int] = {}
        self._number_of_row = array("i")
        self._order: npt.NDArray[np.int64] | None = None

    def add(self, item: Any) -> None:
        """Note the key of the next row as :class:`JsonLists` tells of it; a row without one has the key None."""
        key = item.get(self._field) if isinstance(item, dict) else None
        if isinstance(key, str):
            key = _text_of(key)
        number = self._numbers.setdefault(key, len(self._numbers)) if isinstance(key, int | str) else -1
        self._number_of_row.append(number)

    def rows(self, key: int | str | None) -> list[int]:
        """The rows of a key, ascending; none where no row has it."""
        number = -1 if key is None else self._numbers.get(key)
        if number is None:
            return []
        numbers = np.array(self._number_of_row, dtype=np.int32, copy=False)
        if self._order is None:
            self._order = np.argsort(numbers, kind="stable")
        first, last = np.searchsorted(numbers, [number, number + 1], sorter=self._order)
        return [int(row) for row in self._order[first:last]]

    def others(self, keys: Container[int | str]) -> list[int]:
        """The rows whose key is not one of ``keys``, ascending."""
        strange = [key for key in self._numbers if key not in keys]
        return sorted(row for key in (None, *strange) for row in self.rows(key))


def _text_of(latin_1: str) -> str:
    """A string of the scanner as it is meant: its characters are the bytes of UTF-8, unless it was all escapes."""
    try:
        return latin_1.encode("latin-1").decode()
    except UnicodeError:
        return latin_1


class _Scanner:
    """Walks over JSON text, a few megabytes of it at a time.

    Bytes are read as Latin-1, in which a character is a byte, so that places in the text are places in the file; what
    strings hold is decoded from the bytes themselves, later.
    """

    def __init__(self, opened: BinaryIO) -> None:
        self._opened = opened
        self._decode = json.JSONDecoder().raw_decode
        self._text, self._at, self._base = "", 0, 0
        self.digest = hashlib.sha256()
        self._more()
        if self._text.startswith(BOM):
            self._at = len(BOM)

    def position(self) -> int:
        """Bytes of the file before the place where it stands."""
        return self._base + self._at

    def peek(self) -> str:
        """The next character that is no white space, where it then stands; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> str:
        """The next character, one of ``wanted``, and go past it."""
        found = self.peek()
        if not found or found not in wanted:
            raise ValueError(f"at byte {self.position()} {found!r} stands where one of {wanted!r} was expected")
        self._at += 1
        return found

    def value(self) -> tuple[Any, int, int]:
        """The next value, and the bytes of the file where it begins and ends."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > MAX_ITEM_BYTES or not self._more():
                    raise ValueError(f"{error.msg} at byte {self._base + error.pos}") from None
                continue
            if _NUMBER_TO_THE_END.match(self._text, end) and self._more():
                continue  # of a number the text may hold the begin alone, as "0." of 0.5
            start, self._at = self.position(), end
            return value, start, self.position()

    def _more(self) -> bool:
        """Read on, forgetting what has been passed; False at the end of the file."""
        chunk = self._opened.read(CHUNK_BYTES)
        if not chunk:
            return False
        self.digest.update(chunk)
        self._text = self._text[self._at :] + chunk.decode("latin-1")
        self._base += self._at
        self._at = 0
        return True

    def names(self) -> Iterator[str]:
        """The names of an object; whoever asks takes the value before the next one."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            if self.peek() != '"':
                raise ValueError(f"at byte {self.position()} a name was expected")
            name, _, _ = self.value()
            self.take(":")
            yield name
            if self.take(",}") == "}":
                return

    def items(self) -> Iterator[tuple[Any, int, int]]:
        """The values of a list, with the bytes where they begin and end."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return
