"""Tab-separated lines with random access: a key, a tab, and a value that may be a whole picture.

In: a ``.tsv`` file. Out: keys and values by line number. Memory holds one of them, and the places of all lines.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

MAX_KEY_BYTES = 1000
MAX_JSON_BYTES = 20_000_000
READ_BYTES = 1 << 20


class TsvLines:
    """Random access to the lines that are not empty. ValueError where there is no such file."""

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise ValueError(f"{file} does not exist; give the folder that holds the .tsv files")
        self._file = file
        self._starts, self._ends = array("q"), array("q")
        with file.open("rb") as opened:
            self.sha256 = self._index(opened)

    def _index(self, opened: BinaryIO) -> str:
        """Find where each line begins and ends; returns the SHA-256 of the file. It is read in pieces, since a line may
        be as long as a picture."""
        digest, at, start = hashlib.sha256(), 0, 0
        while piece := opened.read(READ_BYTES):
            digest.update(piece)
            if not at and piece.startswith(BOM_UTF8):
                start = len(BOM_UTF8)
            place = piece.find(b"\n")
            while place >= 0:
                self._add(start, at + place)
                start = at + place + 1
                place = piece.find(b"\n", place + 1)
            at += len(piece)
        self._add(start, at)
        return digest.hexdigest()

    def _add(self, start: int, end: int) -> None:
        if end > start:
            self._starts.append(start)
            self._ends.append(end)

    def __len__(self) -> int:
        return len(self._starts)

    def keys(self) -> Iterator[str]:
        """The key of every line, with escapes for bytes that are not UTF-8; "row-3" for row 3 without a tab."""
        with self._file.open("rb") as opened:
            for row in range(len(self)):
                key = self._key(opened, row)
                yield f"row-{row}" if key is None else key.decode(errors="backslashreplace").strip()

    def value(self, row: int, max_bytes: int) -> bytes | None:
        """The value of line ``row``: empty where it has no tab, None where it is longer than ``max_bytes``."""
        with self._file.open("rb") as opened:
            key = self._key(opened, row)
            if key is None:
                return b""
            start = self._starts[row] + len(key) + 1
            if self._ends[row] - start > max_bytes:
                return None
            opened.seek(start)
            return opened.read(self._ends[row] - start)

    def _key(self, opened: BinaryIO, row: int) -> bytes | None:
        """The key of a line; None where there is no tab in its first ``MAX_KEY_BYTES`` bytes."""
        opened.seek(self._starts[row])
        key, tab, _ = opened.read(min(MAX_KEY_BYTES, self._ends[row] - self._starts[row])).partition(b"\t")
        return key if tab else None

    def json(self, row: int) -> Any:
        """The value of line ``row`` as JSON; None where it is no JSON or larger than 20 MB."""
        content = self.value(row, MAX_JSON_BYTES)
        try:
            return None if content is None else json.loads(content)
        except (ValueError, RecursionError):
            return None
