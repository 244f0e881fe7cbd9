"""The layout of a Parquet file, for planning: the rows of its row groups, its columns, and a digest; read from its
footer and the stored text of some row groups.

In: an open file and the names of its text columns. Out: its layout. Files are untrusted: ValueError where one is no
Parquet file or lacks a column.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.sources.places import Files, SourceFile
from engine.sources.watched_file import DAMAGE, WatchedFile

BUFFER_BYTES = 1 << 16  # the part of a column chunk that is read at once
MAX_ROWS = 1_000_000_000  # in a file; a forged footer may claim any number, for which units would be made
DIGESTED_GROUPS = 8  # row groups of each file, evenly spread, whose text is part of the digest


@dataclass(frozen=True, slots=True)
class FileLayout:
    """The layout of one file: rows of each row group, digest of the footer, digest of the footer and sampled text."""

    groups: tuple[int, ...]
    footer: str
    digest: str

    def slices(self, unit_size: int) -> Iterator[int]:
        """The sizes of the file's slices: large row groups are split, small neighbours are joined."""
        together = 0
        for rows in self.groups:
            if together and together + rows > unit_size:
                yield together
                together = 0
            together += rows
            while together >= unit_size:
                yield unit_size
                together -= unit_size
        if together:
            yield together


def read_schema(files: Files) -> pa.Schema:
    """The schema of the first file; ValueError where it is no Parquet file."""
    with files.open(files.all[0]) as opened:
        return _parquet(opened, files.all[0]).metadata.schema.to_arrow_schema()


def read_layout(files: Files, file: SourceFile, columns: Sequence[str], text_columns: Sequence[str]) -> FileLayout:
    """The layout of one file. ValueError where it is no Parquet file or lacks one of ``columns``; RuntimeError where it
    cannot be read."""
    with files.open(file) as opened:
        watched = WatchedFile(opened)
        parquet = _parquet(watched, file)
        metadata = parquet.metadata
        there = metadata.schema.to_arrow_schema().names
        missing = [name for name in columns if name not in there]
        if missing:
            raise ValueError(f"{file.path} has no column {missing[0]!r}, which the first file has")
        digest = hashlib.sha256(_footer(opened))
        footer = digest.hexdigest()
        groups = range(metadata.num_row_groups)
        sizes = tuple(metadata.row_group(group).num_rows for group in groups)
        if min(sizes, default=0) < 0 or sum(sizes) > MAX_ROWS:
            raise ValueError(f"{file.path} is not a Parquet file: it claims {sum(sizes)} rows, at most {MAX_ROWS}")
        for group in groups[:: max(1, -(-len(groups) // DIGESTED_GROUPS))]:
            for chunk in _chunks(parquet, group, text_columns):
                opened.seek(_start(chunk))
                digest.update(opened.read(chunk.total_compressed_size))
            if watched.failed:
                raise RuntimeError(f"{file.path} cannot be read; when it can, run the same command again to resume")
        return FileLayout(sizes, footer, digest.hexdigest())


def _parquet(opened: Any, file: SourceFile) -> Any:
    try:
        parquet = pq.ParquetFile(opened, buffer_size=BUFFER_BYTES)
        parquet.metadata.schema.to_arrow_schema().names  # noqa: B018 - raises where a name is not UTF-8
        return parquet
    except (*DAMAGE, UnicodeDecodeError) as error:
        raise ValueError(f"{file.path} is not a Parquet file: {' '.join(str(error).split())[:300]}") from None


def footer_digest(opened: BinaryIO) -> str:
    """The digest of an open file's footer, to check that the file is still the one of a layout."""
    return hashlib.sha256(_footer(opened)).hexdigest()


def _footer(opened: BinaryIO) -> bytes:
    """The footer as stored, which has the sizes and offsets of all column chunks. The file ends with its length."""
    size = opened.seek(-8, os.SEEK_END) + 8
    length = int.from_bytes(opened.read(4), "little")
    opened.seek(max(size - 8 - length, 0))
    return opened.read(length)


def _chunks(parquet: Any, group: int, columns: Sequence[str]) -> Iterator[Any]:
    """The chunks of some columns, except those that cannot be read. With an invalid footer, Arrow raises if a column is
    read, but aborts the whole process if asked for its chunk: so a row is read first."""
    schema = parquet.metadata.schema
    for number in range(len(schema)):
        path = schema.column(number).path
        if path in columns and _is_readable(parquet, group, path):
            yield parquet.metadata.row_group(group).column(number)


def _is_readable(parquet: Any, group: int, column: str) -> bool:
    try:
        next(parquet.iter_batches(1, row_groups=[group], columns=[column], use_threads=False), None)
    except DAMAGE:
        return False
    return True


def _start(chunk: Any) -> int:
    return int(min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset))
