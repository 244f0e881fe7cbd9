"""Rows of Parquet files, read by row group and column: never a whole file, never a whole row group at once.

In: Parquet files and the names of columns. Out: slices of rows for the units, the rows of one slice as dictionaries,
and a digest of the files. Files come from outside: a row group that cannot be decoded gives rows that say so.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.artifacts import digest_of
from engine.sources.places import Files, LastOpened, SourceFile
from schemas.records import UnitRef

ROWS_AT_ONCE = 64  # decoded together: of pictures some megabytes
BUFFER_BYTES = 1 << 20  # read of a column chunk at once, instead of the whole chunk
DIGESTED_GROUPS = 8  # of each file, evenly spread, whose text is part of the digest


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows ``[first_row, first_row + rows)`` of one file."""

    name: str
    first_row: int
    rows: int


def slice_units(slices: Iterable[Slice], uri: str) -> list[UnitRef]:
    """The slices of a source as its units; ValueError where there is none."""
    refs = [UnitRef(index, one.name, one.first_row, one.rows) for index, one in enumerate(slices)]
    if not refs:
        raise ValueError(f"source {uri} holds no row")
    return refs


@dataclass(frozen=True, slots=True)
class FileLayout:
    """Rows of each row group of one file, the digest of its footer and sampled text, the number of its first row."""

    name: str
    groups: tuple[int, ...]
    digest: str
    first_number: int


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


@dataclass(slots=True)
class _Reader:
    """A row group that is being read: ``at`` is the row, counted in the group, that comes next."""

    name: str
    group: int
    batches: Iterator[pa.RecordBatch]
    at: int = 0
    left: list[dict[str, Any]] = field(default_factory=list)

    def take(self, count: int) -> list[dict[str, Any]]:
        """Up to ``count`` of the next rows; StopIteration where the group has no more."""
        if not self.left:
            self.left = next(self.batches).to_pylist()
        taken, self.left = self.left[:count], self.left[count:]
        self.at += len(taken)
        return taken


class ParquetRows:
    """The rows of all files, numbered through from 0. Picklable. ValueError where a file is no Parquet file."""

    def __init__(self, files: Files, columns: Sequence[str], text_columns: Sequence[str]) -> None:
        self.files = files
        self._columns = list(columns)
        self._layouts: dict[str, FileLayout] = {}
        number = 0
        for file, (groups, digest) in zip(
            files.all, files.each(lambda one: _layout(files, one, text_columns), files.all), strict=True
        ):
            self._layouts[file.name] = FileLayout(file.name, groups, digest, number)
            number += sum(groups)
        self._last = LastOpened(files, files.open)
        self._opened: tuple[str, _Watched, Any] | None = None  # of the file that was read last
        self._reader: _Reader | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_reader": None}

    def slices(self, unit_size: int) -> Iterator[Slice]:
        """At most ``unit_size`` rows each: a part of a large row group, or several small ones that are neighbours."""
        for layout in self._layouts.values():
            first = 0
            for rows in _cut(layout.groups, unit_size):
                yield Slice(layout.name, first, rows)
                first += rows

    def number_of(self, name: str, row: int) -> int:
        """The number, over all files, of a row of one file."""
        return self._layouts[name].first_number + row

    def numbers(self, name: str) -> range:
        """The numbers, over all files, of the rows of one file."""
        layout = self._layouts[name]
        return range(layout.first_number, layout.first_number + sum(layout.groups))

    def file_digest(self, name: str) -> str:
        """Of one file's footer and the stored text of some row groups."""
        return self._layouts[name].digest

    def digest(self) -> str:
        """Of every file's name, footer, and the stored text of some row groups; not of the pictures."""
        return digest_of([[layout.name, layout.digest] for layout in self._layouts.values()])

    def column(self, name: str) -> Iterator[Any]:
        """All values of one column, in order."""
        for file in self.files.all:
            with self.files.open(file) as opened:
                for batch in pq.ParquetFile(opened, buffer_size=BUFFER_BYTES).iter_batches(columns=[name]):
                    yield from batch.column(0).to_pylist()

    def read(self, name: str, first_row: int, rows: int) -> list[dict[str, Any] | str]:
        """The rows of a slice as dictionaries; as a message each row that cannot be decoded."""
        outcomes: list[dict[str, Any] | str] = []
        start = 0
        for group, size in enumerate(self._layouts[name].groups):
            first, last = max(first_row - start, 0), min(first_row + rows - start, size)
            if first < last:
                outcomes += self._read_group(name, group, first, last - first)
            start += size
        return outcomes

    def _read_group(self, name: str, group: int, first: int, count: int) -> list[dict[str, Any] | str]:
        found: list[dict[str, Any] | str] = []
        try:
            reader = self._at(name, group, first)
            while len(found) < count:
                found += reader.take(count - len(found))
        except (pa.ArrowException, OSError, StopIteration, UnicodeDecodeError, OverflowError) as error:
            unread = self._opened is None or self._opened[1].failed
            self._close()
            if unread:
                raise RuntimeError(f"{name} cannot be read: {type(error).__name__}: {error}") from error
            why = f"row group {group} of {name} cannot be decoded: {' '.join(str(error).split())[:300]}"
            found += [why] * (count - len(found))
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

    def _close(self) -> None:
        self._reader = self._opened = None
        self._last.close()


def read_schema(files: Files) -> pa.Schema:
    """The columns of the first file; ValueError where it is no Parquet file."""
    with files.open(files.all[0]) as opened:
        return _metadata(opened, files.all[0]).schema.to_arrow_schema()


def _layout(files: Files, file: SourceFile, text_columns: Sequence[str]) -> tuple[tuple[int, ...], str]:
    with files.open(file) as opened:
        metadata = _metadata(opened, file)
        schema = metadata.schema.to_arrow_schema()
        missing = [name for name in text_columns if name not in schema.names]
        if missing:
            raise ValueError(f"{file.path} has no column {missing[0]!r}, which the first file has")
        digest = hashlib.sha256(_footer(opened))
        groups = range(metadata.num_row_groups)
        for group in groups[:: max(1, -(-len(groups) // DIGESTED_GROUPS))]:
            for chunk in _chunks(metadata.row_group(group), text_columns):
                opened.seek(_start(chunk))
                digest.update(opened.read(chunk.total_compressed_size))
        return tuple(metadata.row_group(group).num_rows for group in groups), digest.hexdigest()


def _footer(opened: BinaryIO) -> bytes:
    """The footer as stored, which has the sizes and offsets of all column chunks, and its own length at the end."""
    size = opened.seek(-8, os.SEEK_END) + 8
    length = int.from_bytes(opened.read(4), "little")
    opened.seek(max(size - 8 - length, 0))
    return opened.read(length)


def _metadata(opened: Any, file: SourceFile) -> Any:
    try:
        return pq.ParquetFile(opened).metadata
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file.path} is no Parquet file: {' '.join(str(error).split())[:300]}") from None


def _chunks(group: Any, columns: Sequence[str]) -> Iterator[Any]:
    every = (group.column(number) for number in range(group.num_columns))
    return (chunk for chunk in every if chunk.path_in_schema in columns)


def _start(chunk: Any) -> int:
    return int(min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset))


def _cut(groups: Sequence[int], unit_size: int) -> Iterator[int]:
    """Sizes of the slices of a file: large row groups in parts, small neighbours together."""
    together = 0
    for rows in groups:
        if together and together + rows > unit_size:
            yield together
            together = 0
        together += rows
        while together >= unit_size:
            yield unit_size
            together -= unit_size
    if together:
        yield together
