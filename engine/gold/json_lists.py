"""Random access to the long lists of a JSON document that may be larger than memory; it is scanned once for its items.

In: a file whose top level is an object with lists, such as COCO's, or a list. Out: the lists by name. An item is parsed
when it is read, by its number or by a key such as the ``image_id`` of annotations. The places of items are kept on disk
(``engine.gold.scratch``); memory holds one item and a few megabytes of text.

The standard decoder parses each item; only the punctuation between items is parsed here. (``ijson`` could do that, but
not with the NaN that Python writes, which must be a rejected box and not the end of the import.)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from engine.gold.files import odd_content
from engine.gold.scratch import Row, Scratch, Stored, stored

CHUNK_BYTES = 1 << 22
MAX_ITEM_BYTES = 100_000_000
BOM = b"\xef\xbb\xbf".decode("latin-1")
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER_TO_THE_END = re.compile(r"[0-9.eE+-]*\Z")


class Items:
    """The items of one list, each read from the file when needed: rows ``[first, end)`` of the table ``items`` in
    ``database``."""

    def __init__(self, file: Path, database: Scratch, first: int) -> None:
        self._file, self.database = file, database
        self.first = self.end = first

    def __len__(self) -> int:
        return self.end - self.first

    def __getitem__(self, row: int) -> Any:
        if not 0 <= row < len(self):
            raise IndexError(f"item {row} of {len(self)}")
        return next(self._read("row = ?", self.first + row))

    def __iter__(self) -> Iterator[Any]:
        return self._read("TRUE")

    def of(self, key: int | str) -> Iterator[Any]:
        """The items with the key, in the order of the file; none where the list is not indexed."""
        return self._read("key = ?", stored(key))

    def without(self, table: str, column: str) -> Iterator[Any]:
        """The items whose key is not in the column of a table, or that have no key, in the order of the file."""
        known = f"SELECT 1 FROM {table} WHERE {column} = key"
        strange = f"SELECT key FROM (SELECT DISTINCT key FROM items) WHERE NOT EXISTS ({known})"
        return self._read(f"(key IS NULL OR key IN ({strange}))")

    def _read(self, condition: str, *values: Stored) -> Iterator[Any]:
        places = self.database.select(
            f"SELECT start, length FROM items WHERE {condition} AND row BETWEEN ? AND ? ORDER BY row",
            *values,
            self.first,
            self.end - 1,
        )
        with self._file.open("rb") as opened:
            for start, length in places:
                opened.seek(start)
                yield json.loads(opened.read(length))


class JsonLists:
    """The lists of the JSON object in ``file`` by name, or the one list that the file is, under None; and its SHA-256.

    ``keys``: for each list the field by which its items are indexed. ValueError, in one line, where the file does not
    exist or is no JSON; RuntimeError where the disk of temporary files is full.
    """

    def __init__(self, file: Path, keys: Mapping[str | None, str] | None = None) -> None:
        if not file.is_file():
            raise ValueError(f"{file} does not exist; give the folder that holds the annotations")
        self._file, self._keys = file, keys or {}
        self.lists: dict[str | None, Items] = {}
        self._database = Scratch()
        with file.open("rb") as opened:
            scanner = _Scanner(opened)
            try:
                self._database.fill("items", "row INTEGER PRIMARY KEY, start, length, key", self._scan(scanner))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{file} is not JSON: {odd_content(file) or error}") from None
        if self._keys:
            self._database.index("items", "key")
        self.sha256 = scanner.digest.hexdigest()

    def _scan(self, scanner: _Scanner) -> Iterator[Row]:
        """The rows of the table ``items``, list after list."""
        first = scanner.peek()
        if first == "[":
            yield from self._scan_list(None, scanner, 0)
        elif first == "{":
            rows = 0
            for name in scanner.names():
                if scanner.peek() == "[":
                    yield from self._scan_list(name, scanner, rows)
                    rows = self.lists[name].end
                else:
                    scanner.value()
        else:
            scanner.value()  # some other value, which has no lists
        if scanner.peek():
            raise ValueError(f"more after its end, at byte {scanner.position()}")

    def _scan_list(self, name: str | None, scanner: _Scanner, row: int) -> Iterator[Row]:
        if name in self.lists:
            raise ValueError(f"it has two lists {name!r}")
        items = self.lists[name] = Items(self._file, self._database, row)
        field = self._keys.get(name)
        for item, start, end in scanner.items():
            key = item.get(field) if isinstance(item, dict) else None
            yield items.end, start, end - start, stored(_text_of(key) if isinstance(key, str) else key)
            items.end += 1


def _text_of(latin_1: str) -> str:
    """A string of the scanner, decoded: its characters are bytes of UTF-8, unless it was written with escapes."""
    try:
        return latin_1.encode("latin-1").decode()
    except UnicodeError:
        return latin_1


class _Scanner:
    """Walks over JSON text, a few megabytes of it at a time. Methods raise ValueError where it is no JSON.

    Bytes are read as Latin-1, in which a character is a byte, so that positions in the text are positions in the file.
    Strings are therefore not decoded yet.
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
        """The current position in the file, in bytes."""
        return self._base + self._at

    def peek(self) -> str:
        """Skip white space and return the next character without passing it; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> str:
        """Pass and return the next character, which must be one of ``wanted``."""
        found = self.peek()
        if not found or found not in wanted:
            raise ValueError(f"at byte {self.position()} {found!r} came where one of {wanted!r} was expected")
        self._at += 1
        return found

    def value(self) -> tuple[Any, int, int]:
        """Pass and return the next value, with the positions in the file where it begins and ends."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > MAX_ITEM_BYTES or not self._more():
                    raise ValueError(f"{error.msg} at byte {self._base + error.pos}") from None
                continue
            if _NUMBER_TO_THE_END.match(self._text, end) and self._more():
                continue  # the text may end inside of a number, as in "0." of 0.5
            start, self._at = self.position(), end
            return value, start, self.position()

    def _more(self) -> bool:
        """Read more text and drop what has been passed; returns False at the end of the file."""
        chunk = self._opened.read(CHUNK_BYTES)
        if not chunk:
            return False
        self.digest.update(chunk)
        self._text = self._text[self._at :] + chunk.decode("latin-1")
        self._base += self._at
        self._at = 0
        return True

    def names(self) -> Iterator[str]:
        """The names of an object. The caller must pass each value before it asks for the next name."""
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
        """The values of a list, with the positions in the file where they begin and end."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return
