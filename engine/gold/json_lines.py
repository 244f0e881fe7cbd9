"""JSON Lines with random access: the file is read once to find its lines, which are then parsed one by one.

In: a file with a JSON value on each line. Out: the values by number, None for a line that is no JSON.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 20_000_000


class JsonLines:
    """Random access to the lines that are not empty; 8 bytes of memory a line. ValueError where there is no file."""

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise ValueError(f"{file} does not exist; give the file with a JSON object on each line")
        self._file = file
        self._starts = array("q")
        digest = hashlib.sha256()
        with file.open("rb") as opened:
            start = 0
            for line in _lines(opened):
                digest.update(line)
                if line.strip():
                    self._starts.append(start)
                start += len(line)
        self._starts.append(start)
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[Any]:
        """The values in order; None for a line that is no JSON."""
        with self._file.open("rb") as opened:
            for line in _lines(opened):
                if line.strip():
                    yield _value(line)

    def __getitem__(self, row: int) -> Any:
        """The value of line ``row``; None where it is no JSON or larger than 20 MB."""
        start, end = self._starts[row], self._starts[row + 1]
        if end - start > MAX_LINE_BYTES:
            return None
        with self._file.open("rb") as opened:
            opened.seek(start)
            return _value(opened.read(end - start))


def _lines(opened: Any) -> Iterator[bytes]:
    """The lines, in pieces of at most 20 MB, so that a file without a line end is not read at once."""
    return iter(lambda: opened.readline(MAX_LINE_BYTES + 1), b"")


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
