"""The rows of text files: TSV and JSONL, one row a line, or CSV, whose quoted texts may contain line ends.

In: text files. Out: slices of rows for the units, and the rows of one slice as dictionaries. A text file has no index,
so planning reads each file through, block by block, and keeps the offset of every ``STRIDE``-th row. Files are
untrusted: a line that is too long or no JSON gives a Problem.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.sources import Problem
from engine.sources.columns import field_names
from engine.sources.last_opened import LastOpened, changed
from engine.sources.numbered_files import NumberedFiles, Slice, row_slices
from engine.sources.places import Files, SourceFile
from engine.sources.table import Cells
from engine.sources.text_records import (
    TOO_LONG,
    csv_cells,
    json_cells,
    named_cells,
    next_csv_record,
    next_line,
    separator_of,
)

BLOCK_BYTES = 1 << 22
STRIDE = 64  # rows between two kept offsets: 24 million rows take 3 MB
FIRST_LINES = 100  # in which a readable row, and the fields of a JSONL, are looked for

Offsets: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TextLayout:
    """The number of rows of one file, the byte offset of every ``STRIDE``-th row, and the SHA-256 of the file."""

    lines: int
    offsets: Offsets
    digest: str


class TextRows:
    """The :class:`~engine.sources.table.Rows` of text files, without the headers of a TSV or CSV.

    known_names: in lower case; a first line with one of them is a header. ``names``: the columns, from the header, or
    the numbers "0", "1", … without one; of a JSONL, the fields of its first lines. ``first_row``: the first readable
    row. ValueError where none of the first lines can be read, or a file has another header than the first one.
    """

    def __init__(self, files: Files, known_names: frozenset[str]) -> None:
        self._places = files
        self._last = LastOpened(files, files.open_lines)
        self._is_table = not files.all[0].name.lower().endswith(".jsonl")
        self._separator = self._find_separator() if files.all[0].name.lower().endswith(".csv") else None
        self._header: list[str] | None = None
        self._read_first_lines(known_names)
        layouts = files.each(self._index, files.all)
        self._layouts = {file.name: layout for file, layout in zip(files.all, layouts, strict=True)}
        self.files = NumberedFiles((name, one.lines, one.digest) for name, one in self._layouts.items())

    def slices(self, unit_size: int) -> Iterator[Slice]:
        """Slices of at most ``unit_size`` rows."""
        for name, layout in self._layouts.items():
            for first, lines in row_slices(layout.lines, unit_size):
                yield Slice(name, first, lines)

    def column(self, name: str) -> Iterator[Any]:
        """All values of one column, in order; None for a row without one."""
        for one in self.slices(10_000):
            for row in self.read(one.name, one.first_row, one.rows):
                yield row.get(name) if isinstance(row, dict) else None

    def read(self, name: str, first_row: int, rows: int) -> Iterator[Cells | Problem]:
        """The rows of a slice as dictionaries; a Problem for each bad one. RuntimeError where the file has changed
        since planning: no row begins at a kept offset, or there are fewer rows."""
        file, start = self._last.open(name), int(self._layouts[name].offsets[first_row // STRIDE])
        file.seek(max(start - 1, 0))
        if start and file.read(1) != b"\n":
            raise changed(name)
        for _ in range(first_row % STRIDE):
            self._next(file)
        return (self._parse(self._planned(file, name)) for _ in range(rows))

    def _find_separator(self) -> str:
        """The separator of the first CSV, which is used for all."""
        with self._places.open_lines(self._places.all[0]) as file:
            return separator_of(file)

    def _next(self, file: BinaryIO) -> bytes | None:
        """The bytes of the next row; empty at the end of the file; None where it is too long."""
        return next_line(file) if self._separator is None else next_csv_record(file, self._separator)

    def _planned(self, file: BinaryIO, name: str) -> bytes | None:
        """The next row of those that planning counted. RuntimeError where the file has fewer."""
        line = self._next(file)
        if line == b"":
            raise changed(name)
        return line

    def _parse(self, line: bytes | None) -> Cells | Problem:
        if self._separator is not None:
            return csv_cells(line, self._header, self._separator)
        if line is None:
            return TOO_LONG
        text = line.decode("utf-8-sig", "surrogateescape").rstrip("\r\n")
        return named_cells(text.split("\t"), self._header) if self._is_table else json_cells(text)

    def _read_first_lines(self, known_names: frozenset[str]) -> None:
        """Find the header, the names of the columns, and the first row. ValueError where no first line is readable."""
        with self._places.open_lines(self._places.all[0]) as file:
            first = self._parse(self._next(file))
            texts = [str(one) for one in first.values()] if self._is_table and isinstance(first, dict) else []
            if not known_names.isdisjoint(map(str.lower, texts)):
                self._header = texts
                first = self._parse(self._next(file))
            others = itertools.islice(iter(partial(self._next, file), b""), FIRST_LINES)
            rows = [first, *map(self._parse, others)]
        good = [row for row in rows if isinstance(row, dict)]
        if not good:
            why = next(row.message for row in rows if isinstance(row, Problem))
            raise ValueError(f"{self._places.all[0].path} is not a list of rows: in the first one, {why}")
        self.first_row = good[0]
        self.names = self._header or (list(good[0]) if self._is_table else field_names(good))

    def _checked_header(self, opened: BinaryIO, file: SourceFile) -> bytes:
        """The header of one file, empty for an empty file. ValueError where it is not that of the first file."""
        line = self._next(opened) or b""
        names = self._header or []
        if line and self._parse(line) != dict(zip(names, names, strict=True)):
            raise ValueError(
                f"{file.path} does not begin with the line of names of the first file, {', '.join(names)}; give files "
                "of one layout"
            )
        return line

    def _index(self, file: SourceFile) -> TextLayout:
        """The layout of one file. A last line without a line end counts as a row."""
        digest, kept, lines, at, last = hashlib.sha256(), [], 0, 0, b"\n"
        with self._places.open_whole(file) as opened:
            if self._header is not None:
                digest.update(self._checked_header(opened, file))
            start = at = opened.tell()
            while block := opened.read(BLOCK_BYTES):
                digest.update(block)
                starts = np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + at + 1
                kept.append(starts[(STRIDE - 1 - lines) % STRIDE :: STRIDE])
                lines += len(starts)
                at, last = at + len(block), block[-1:]
            if self._separator is not None:
                opened.seek(start)
                return TextLayout(*self._record_starts(opened), digest.hexdigest())
        offsets = np.concatenate([np.array([start]), *kept]).astype(np.int64)
        return TextLayout(lines + (last != b"\n"), offsets, digest.hexdigest())

    def _record_starts(self, opened: BinaryIO) -> tuple[int, Offsets]:
        """The number of records in the rest of a CSV, and the offset of every ``STRIDE``-th. Records are read in order,
        which is the only way to tell line ends inside of quotes."""
        kept, records, at = [opened.tell()], 0, opened.tell()
        while self._next(opened) != b"":
            if records and records % STRIDE == 0:
                kept.append(at)
            records, at = records + 1, opened.tell()
        return records, np.array(kept, np.int64)
