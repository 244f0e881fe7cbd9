"""Rows of Parquet files, read by row group and column: never a whole file, never a whole row group at once.

In: Parquet files and the names of columns. Out: slices of rows for the units, and the rows of a slice as dictionaries.
Files are untrusted. If a row group cannot be decoded, its rows from there on are Problems. A single cell that cannot be
decoded is None, and one of too many bytes is :class:`~engine.sources.columns.Oversized`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.sources import Problem
from engine.sources.columns import Oversized
from engine.sources.last_opened import LastOpened, changed
from engine.sources.numbered_files import NumberedFiles, Slice
from engine.sources.parquet_layout import FileLayout, footer_digest, read_layout
from engine.sources.places import Files
from engine.sources.table import Cells
from engine.sources.watched_file import DAMAGE, WatchedFile

# Rows decoded together. They are few, because a file of a kilobyte can hold a gigabyte of picture, or of key, per row.
ROWS_AT_ONCE, KEYS_AT_ONCE = 1, 1024
CELL_OVERHEAD = 4096  # bytes of Arrow beside those of a cell, and of a path beside those of a picture
MAX_TEXT_BYTES = 1_000_000  # in a cell of a text column; other columns hold pictures
BUFFER_BYTES = 1 << 20  # the part of a column chunk that is read at once


class ParquetRows:
    """The :class:`~engine.sources.table.Rows` of Parquet files. ValueError where a file is no Parquet file or lacks a
    column. ``text_columns`` are those of ``columns`` without pictures; their text is part of the files' digests."""

    def __init__(
        self, files: Files, columns: Sequence[str], text_columns: Sequence[str], max_image_bytes: int = 0
    ) -> None:
        layouts = files.each(lambda one: read_layout(files, one, columns, text_columns), files.all)
        self._layouts: dict[str, FileLayout] = {
            file.name: layout for file, layout in zip(files.all, layouts, strict=True)
        }
        self.files = NumberedFiles((name, sum(one.groups), one.digest) for name, one in self._layouts.items())
        self._most = {one: MAX_TEXT_BYTES if one in text_columns else max_image_bytes for one in columns}
        self._last = LastOpened(files, files.open)
        self._opened: tuple[tuple[str, Sequence[str]], WatchedFile, Any] | None = None  # the file read last
        self._reader: _Reader | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_reader": None}

    def slices(self, unit_size: int) -> Iterator[Slice]:
        """Slices of at most ``unit_size`` rows: a part of a large row group, or several small neighbours."""
        for name, layout in self._layouts.items():
            first = 0
            for rows in layout.slices(unit_size):
                yield Slice(name, first, rows)
                first += rows

    def column(self, name: str) -> Iterator[Any]:
        """All values of one column, in order; None where one cannot be decoded. Equal texts of a batch share memory."""
        for file, layout in self._layouts.items():
            parquet = self._parquet(file, [name])
            for group, size in enumerate(layout.groups):
                cells: list[object] = []
                try:
                    for batch in parquet.iter_batches(
                        KEYS_AT_ONCE, row_groups=[group], columns=[name], use_threads=False
                    ):
                        cells += _values(batch.column(0))
                except DAMAGE as error:
                    self._raise_unread(file, error)
                    parquet = self._parquet(file, [name])
                yield from cells
                yield from [None] * (size - len(cells))
        self._close()

    def read(self, name: str, first_row: int, rows: int) -> Iterator[Cells | Problem]:
        """The rows of a slice; a Problem ``row_group_broken`` for each that cannot be decoded. RuntimeError where the
        file cannot be read, or has changed."""
        start = 0
        for group, size in enumerate(self._layouts[name].groups):
            first, last = max(first_row - start, 0), min(first_row + rows - start, size)
            if first < last:
                yield from self._read_group(name, group, first, last - first)
            start += size

    def _read_group(self, name: str, group: int, first: int, count: int) -> Iterator[Cells | Problem]:
        left = count
        try:
            reader = self._at(name, group, first)
            while left:
                found = reader.take(left)
                left -= len(found)
                yield from found
        except (*DAMAGE, StopIteration) as error:
            self._raise_unread(name, error)
            why = f"row group {group} of {name} cannot be decoded: {' '.join(str(error).split())[:300]}"
            yield from [Problem("row_group_broken", why)] * left

    def _at(self, name: str, group: int, row: int) -> _Reader:
        """A reader at ``row`` of the group: the current one, unless that is of another group or past the row.

        A process is given the units of a group in their order, so that it decodes the group once.
        """
        reader = self._reader
        if reader is None or (reader.name, reader.group) != (name, group) or reader.at > row:
            batches = self._parquet(name).iter_batches(
                ROWS_AT_ONCE, row_groups=[group], columns=list(self._most), use_threads=False
            )
            reader = self._reader = _Reader(name, group, batches, self._most)
        while reader.at < row:
            reader.take(row - reader.at)
        return reader

    def _parquet(self, name: str, once: Sequence[str] = ()) -> Any:
        """The open file; the one read last stays open, since its footer may be large. The columns ``once`` are read
        dictionary-encoded, so that each distinct value is there once."""
        if self._opened is None or self._opened[0] != (name, once):
            self._close()
            file = self._last.open(name)
            if footer_digest(file) != self._layouts[name].footer:
                raise changed(name)
            watched = WatchedFile(file)
            parquet = pq.ParquetFile(watched, buffer_size=BUFFER_BYTES, read_dictionary=list(once))
            self._opened = ((name, once), watched, parquet)
        return self._opened[2]

    def _raise_unread(self, name: str, error: Exception) -> None:
        """Raise RuntimeError if ``error`` means that the file could not be read, and not that its data is damaged."""
        unread = self._opened is None or self._opened[1].failed
        self._close()
        if unread:
            raise RuntimeError(f"{name} cannot be read: {type(error).__name__}: {error}") from error

    def _close(self) -> None:
        self._reader = self._opened = None
        self._last.close()


@dataclass(slots=True)
class _Reader:
    """A row group that is being read; ``at`` is the number of its next row. ``most``: the bytes allowed in a cell, by
    column. ``left``: rows that are decoded already."""

    name: str
    group: int
    batches: Iterator[pa.RecordBatch]
    most: Mapping[str, int]
    at: int = 0
    left: list[Cells] = field(default_factory=list)

    def take(self, count: int) -> list[Cells]:
        """Up to ``count`` of the next rows, at least one; StopIteration where the group has no more."""
        if not self.left:
            self.left = _cells(next(self.batches), self.most)
        taken, self.left = self.left[:count], self.left[count:]
        self.at += len(taken)
        return taken


def _cells(batch: pa.RecordBatch, most: Mapping[str, int]) -> list[Cells]:
    """The rows of a batch, with at most ``most`` bytes in a cell of each column."""
    columns = {name: _bounded(batch.column(name), most[name]) for name in batch.schema.names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _bounded(column: pa.Array, most: int) -> list[object]:
    size = column.nbytes
    return [Oversized(size)] * len(column) if size > most + CELL_OVERHEAD else _values(column)


def _values(column: pa.Array) -> list[object]:
    """The cells of a column, each converted by itself where Python cannot represent all of them (text that is not
    UTF-8, a date in the year 3,000,000)."""
    if isinstance(column, pa.DictionaryArray):
        words = _values(column.dictionary)
        numbers = column.indices.to_pylist()  # unchecked: in a damaged file they may have any value
        return [None if one is None or not 0 <= one < len(words) else words[one] for one in numbers]
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):
        return [_value(cell) for cell in column]


def _value(cell: Any) -> object:
    """One cell; bytes that are not UTF-8 become lone surrogates, and what Python cannot represent is None."""
    try:
        return cell.as_py()
    except (ValueError, OverflowError):
        if isinstance(cell, pa.StructScalar):
            return {name: _value(cell[name]) for name in cell}
        if isinstance(cell, pa.StringScalar):  # and LargeStringScalar, its subclass
            return cell.as_buffer().to_pybytes().decode("utf-8", "surrogateescape")
        return None
