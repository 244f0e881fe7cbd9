"""Rows of text lists, one a line: TSV or JSONL.

In: text files. Out: slices of lines for the units, the lines of one slice as dictionaries, and a digest of the files.
A text has no index, so planning reads each file through once, in blocks that are forgotten; where the units begin is
kept. Files come from outside: a line that is too long or no JSON gives a row that says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from engine.artifacts import digest_of
from engine.sources.parquet_rows import Slice
from engine.sources.places import Files, LastOpened, SourceFile

MAX_LINE_BYTES = 1_000_000
BLOCK_BYTES = 1 << 22
STRIDE = 64  # lines between two offsets that are kept: 24 million lines take 3 MB


@dataclass(frozen=True, slots=True)
class TextLayout:
    """Lines of one file, offsets of every ``STRIDE``-th, SHA-256, and the number of its first line over all files."""

    lines: int
    offsets: np.ndarray[Any, np.dtype[np.int64]]
    digest: str
    first_number: int


class TextRows:
    """The lines of all files, numbered through from 0; of a TSV with a line of names, those after it. Picklable.

    ``names`` are the columns: of that line, or the numbers ``"0"``, ``"1"`` … of a TSV without; of a JSONL, the fields
    of its first line. ``known_names``, in lower case: a first line that has one of them is one of names.
    """

    def __init__(self, files: Files, known_names: frozenset[str]) -> None:
        self.files = files
        self._last = LastOpened(files, files.open)
        self._is_tsv = files.all[0].name.endswith((".tsv", ".txt"))
        self.first_row: dict[str, Any] = {}
        self._header: list[str] | None = None
        self._read_first_line(known_names)
        self._layouts: dict[str, TextLayout] = {}
        number = 0
        for file, (lines, offsets, digest) in zip(files.all, files.each(self._index, files.all), strict=True):
            self._layouts[file.name] = TextLayout(lines, offsets, digest, number)
            number += lines

    @property
    def names(self) -> list[str]:
        return list(self.first_row)

    def slices(self, unit_size: int) -> Iterator[Slice]:
        """At most ``unit_size`` lines each."""
        for name, layout in self._layouts.items():
            for first in range(0, layout.lines, unit_size):
                yield Slice(name, first, min(unit_size, layout.lines - first))

    def number_of(self, name: str, row: int) -> int:
        """The number, over all files, of a line of one file."""
        return self._layouts[name].first_number + row

    def numbers(self, name: str) -> range:
        """The numbers, over all files, of the lines of one file."""
        layout = self._layouts[name]
        return range(layout.first_number, layout.first_number + layout.lines)

    def file_digest(self, name: str) -> str:
        """Of one file's content."""
        return self._layouts[name].digest

    def digest(self) -> str:
        """Of every file's name and content."""
        return digest_of([[name, layout.digest] for name, layout in self._layouts.items()])

    def column(self, name: str) -> Iterator[Any]:
        """All values of one column, in order; None where a line has none."""
        for one in self.slices(10_000):
            for row in self.read(one.name, one.first_row, one.rows):
                yield row.get(name) if isinstance(row, dict) else None

    def read(self, name: str, first_row: int, rows: int) -> list[dict[str, Any] | str]:
        """The lines of a slice as dictionaries; as a message each line that is none."""
        file = self._last.open(name)
        file.seek(int(self._layouts[name].offsets[first_row // STRIDE]))
        for _ in range(first_row % STRIDE):
            _next_line(file)
        return [self._parse(_next_line(file)) for _ in range(rows)]

    def _parse(self, line: bytes | None) -> dict[str, Any] | str:
        if line is None:
            return f"the line is longer than {MAX_LINE_BYTES} bytes"
        try:
            text = line.decode("utf-8-sig").rstrip("\r\n")
            if self._is_tsv:
                fields = text.split("\t")
                return dict(zip(self._header or map(str, range(len(fields))), fields, strict=False))
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            return f"the line is no UTF-8 text or no JSON: {type(error).__name__}"
        return found if isinstance(found, dict) else f"the line is a JSON {type(found).__name__}, no object"

    def _read_first_line(self, known_names: frozenset[str]) -> None:
        with self.files.open(self.files.all[0]) as file:
            first = self._parse(_next_line(file))
            if self._is_tsv and isinstance(first, dict) and {str(one).lower() for one in first.values()} & known_names:
                self._header = list(first.values())
                first = self._parse(_next_line(file))
        if not isinstance(first, dict):
            raise ValueError(f"{self.files.all[0].path} is not a list of rows: in the first one, {first}")
        self.first_row = first

    def _checked_header(self, opened: BinaryIO, file: SourceFile) -> bytes:
        """The line of names of one file, empty of an empty one. ValueError where it is not the first file's: a row
        would be taken for names, or columns for others."""
        line = _next_line(opened) or b""
        if line and line.decode("utf-8-sig", "replace").rstrip("\r\n").split("\t") != self._header:
            raise ValueError(
                f"{file.path} does not begin with the line of names of the first file, "
                f"{', '.join(self._header or ())}; give files of one layout"
            )
        return line

    def _index(self, file: SourceFile) -> tuple[int, np.ndarray[Any, np.dtype[np.int64]], str]:
        """Number of lines, offsets of every ``STRIDE``-th, SHA-256. The end of a last line without one counts."""
        digest, kept, lines, at, last = hashlib.sha256(), [], 0, 0, b"\n"
        with self.files.open_whole(file) if not self.files.is_local else self.files.open(file) as opened:
            if self._header is not None:
                digest.update(self._checked_header(opened, file))
            start = at = opened.tell()
            while block := opened.read(BLOCK_BYTES):
                digest.update(block)
                starts = np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + at + 1
                kept.append(starts[(STRIDE - 1 - lines) % STRIDE :: STRIDE])
                lines += len(starts)
                at, last = at + len(block), block[-1:]
        offsets = np.concatenate([np.array([start]), *kept]).astype(np.int64)
        return lines + (last != b"\n"), offsets, digest.hexdigest()


def _next_line(file: BinaryIO) -> bytes | None:
    """The next line, empty at the end; None where it is too long, and then passed over."""
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) <= MAX_LINE_BYTES:
        return line
    while line and not line.endswith(b"\n"):
        line = file.readline(MAX_LINE_BYTES)
    return None
