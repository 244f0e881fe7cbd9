"""Rows of Parquet files, read by row group and column: never a whole file, never a whole row group at once.

In: Parquet files and the names of columns. Out: slices of rows for the units, and the rows of a slice as dictionaries.
Files come from outside: of a row group that cannot be decoded, the rows from there on say so; where one cell cannot, it
alone is no value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.sources.image_files import Problem
from engine.sources.last_opened import LastOpened
from engine.sources.numbered_files import NumberedFiles, Slice
from engine.sources.parquet_layout import FileLayout, read_layout
from engine.sources.places import Files
from engine.sources.table import Cells

ROWS_AT_ONCE = 64  # decoded together: of pictures some megabytes
BUFFER_BYTES = 1 << 20  # read of a column chunk at once, instead of the whole chunk
_DAMAGE = (pa.ArrowException, OSError)  # what Arrow raises over a row group that it cannot decode


class ParquetRows:
    """The :class:`~engine.sources.table.Rows` of all files. ValueError where a file is no Parquet file or lacks a
    column. ``text_columns``, some of ``columns``, hold no pictures: they are part of the files' digests."""

    def __init__(self, files: Files, columns: Sequence[str], text_columns: Sequence[str]) -> None:
        layouts = files.each(lambda one: read_layout(files, one, columns, text_columns), files.all)
        self._layouts: dict[str, FileLayout] = {
            file.name: layout for file, layout in zip(files.all, layouts, strict=True)
        }
        self.files = NumberedFiles((name, sum(one.groups), one.digest) for name, one in self._layouts.items())
        self._columns = list(dict.fromkeys(columns))
        self._last = LastOpened(files, files.open)
        self._opened: tuple[str, _Watched, Any] | None = None  # of the file that was read last
        self._reader: _Reader | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_reader": None}

    def slices(self, unit_size: int) -> Iterator[Slice]:
        """At most ``unit_size`` rows each: a part of a large row group, or several small ones that are neighbours."""
        for name, layout in self._layouts.items():
            first = 0
            for rows in layout.slices(unit_size):
                yield Slice(name, first, rows)
                first += rows

    def column(self, name: str) -> Iterator[Any]:
        """All values of one column, in order; None where one cannot be decoded."""
        for file, layout in self._layouts.items():
            for group, size in enumerate(layout.groups):
                cells: list[object] = []
                try:
                    for batch in self._parquet(file).iter_batches(
                        row_groups=[group], columns=[name], use_threads=False
                    ):
                        cells += _values(batch.column(0))
                except _DAMAGE as error:
                    self._raise_unread(file, error)
                yield from cells
                yield from [None] * (size - len(cells))
        self._close()

    def read(self, name: str, first_row: int, rows: int) -> list[Cells | Problem]:
        """The rows of a slice; a Problem ``row_group_broken`` of each that cannot be decoded."""
        outcomes: list[Cells | Problem] = []
        start = 0
        for group, size in enumerate(self._layouts[name].groups):
            first, last = max(first_row - start, 0), min(first_row + rows - start, size)
            if first < last:
                outcomes += self._read_group(name, group, first, last - first)
            start += size
        return outcomes

    def _read_group(self, name: str, group: int, first: int, count: int) -> list[Cells | Problem]:
        found: list[Cells | Problem] = []
        try:
            reader = self._at(name, group, first)
            while len(found) < count:
                found += reader.take(count - len(found))
        except (*_DAMAGE, StopIteration) as error:
            self._raise_unread(name, error)
            why = f"row group {group} of {name} cannot be decoded: {' '.join(str(error).split())[:300]}"
            found += [Problem("row_group_broken", why)] * (count - len(found))
        return found

    def _at(self, name: str, group: int, row: int) -> _Reader:
        """A reader that stands at ``row`` of the group: the one there is, where it has not passed it.

        The units of one group mostly come to one process one after another, so the group is decoded once.
        """
        reader = self._reader
        if reader is None or (reader.name, reader.group) != (name, group) or reader.at > row:
            batches = self._parquet(name).iter_batches(
                ROWS_AT_ONCE, row_groups=[group], columns=self._columns, use_threads=False
            )
            reader = self._reader = _Reader(name, group, batches)
        while reader.at < row:
            reader.take(row - reader.at)
        return reader

    def _parquet(self, name: str) -> Any:
        """The file, opened; the one that was read last stays open, since its footer may be large."""
        if self._opened is None or self._opened[0] != name:
            self._close()
            watched = _Watched(self._last.open(name))
            self._opened = (name, watched, pq.ParquetFile(watched, buffer_size=BUFFER_BYTES))
        return self._opened[2]

    def _raise_unread(self, name: str, error: Exception) -> None:
        """RuntimeError where a file could not be read; nothing where it was, and is damaged."""
        unread = self._opened is None or self._opened[1].failed
        self._close()
        if unread:
            raise RuntimeError(f"{name} cannot be read: {type(error).__name__}: {error}") from error

    def _close(self) -> None:
        self._reader = self._opened = None
        self._last.close()


@dataclass(slots=True)
class _Reader:
    """A row group that is being read: ``at`` is the row, counted in the group, that comes next."""

    name: str
    group: int
    batches: Iterator[pa.RecordBatch]
    at: int = 0
    left: list[Cells] = field(default_factory=list)

    def take(self, count: int) -> list[Cells]:
        """Up to ``count`` of the next rows; StopIteration where the group has no more."""
        if not self.left:
            self.left = _cells(next(self.batches))
        taken, self.left = self.left[:count], self.left[count:]
        self.at += len(taken)
        return taken


def _cells(batch: pa.RecordBatch) -> list[Cells]:
    """The rows of a batch."""
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):
        columns = {name: _values(batch.column(name)) for name in batch.schema.names}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(column: pa.Array) -> list[object]:
    """The cells of a column. Where one is no value of Python's (text that is no UTF-8, a date of the year 3,000,000),
    it alone is none."""
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):
        return [_value(cell) for cell in column]


def _value(cell: Any) -> object:
    """One cell; of what is no UTF-8, bytes as halves of surrogate pairs; None of what has no form in Python."""
    try:
        return cell.as_py()
    except (ValueError, OverflowError):
        if isinstance(cell, pa.StructScalar):
            return {name: _value(cell[name]) for name in cell}
        if isinstance(cell, pa.StringScalar):  # and LargeStringScalar, its subclass
            return cell.as_buffer().to_pybytes().decode("utf-8", "surrogateescape")
        return None


class _Watched:
    """A file for Arrow to read, which remembers that reading failed: Arrow raises OSError for that and for damaged
    data alike, and only the one may end in rejects."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failed = False
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except Exception:
            self.failed = True
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        """The file is closed by whoever opened it."""
