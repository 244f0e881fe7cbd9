"""Reader of GRIT, Kosmos-2's web captions with scored boxes: Parquet files, and the downloaded pictures.

In: a ``.parquet`` file, or a folder of them, and the pictures, named by the column ``file_name`` if there is one (our
own export has it), else ``KEY.jpg``, or ``00000/KEY.jpg`` for ``00000.parquet``, as img2dataset writes them. Out: a row
for each caption, with the phrases of its ``noun_chunks``, ``[start, end, x1, y1, x2, y2, score]``: half-open
characters, and corners as shares of the picture. ``ref_exps`` are the same boxes with longer phrases, and are ignored.
Source: the dataset card of zzliang/GRIT on the Hugging Face hub.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from engine.artifacts import digest_file
from engine.gold.coco_json import CocoItem, Keys, Text, checked, rejected_row
from engine.gold.files import checked_file, file_size, own_files
from engine.gold.rules import read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow
from engine.gold.spans import Caption, SpanBoxes, grounding_row
from engine.storage.digests import digest_of_list

COLUMNS = ("key", "caption", "width", "height", "noun_chunks", "file_name")
CHUNK_NUMBERS = 7
ROWS_AT_ONCE = 1000  # rows decoded together; a row group may have a million
BUFFER_BYTES = 1 << 20  # the part of a column chunk that is read at once
Row: TypeAlias = dict[str, Any]


class GritRow(CocoItem):
    """A row of the table; sizes in pixels. Chunks are checked one by one."""

    key: Text = Field(pattern=r"^[^\x00]{1,250}$")
    caption: Text
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    noun_chunks: list[list[float]]
    file_name: Text | None = Field(default=None, pattern=r"^[^\x00]{1,250}$")


class GritCaptions(GoldReader):
    """A row for each caption, in the order of the files. ``ROWS_AT_ONCE`` are in memory; reading in order is fast."""

    def __init__(self, place: GoldPlace) -> None:
        place = place.without_split("grit")
        self._paths = _paths(place.annotations)
        self._files = [_opened(path) for path in self._paths]
        self._folder = place.image_folder("images")
        self.uri = place.annotations.name
        self._starts = array("q", [0])
        self._groups: list[tuple[int, int]] = []
        for number, file in enumerate(self._files):
            for group in range(file.num_row_groups):
                self._groups.append((number, group))
                self._starts.append(self._starts[-1] + file.metadata.row_group(group).num_rows)
        self._reading: Iterator[list[Row]] = iter(())
        self._group, self._first, self._rows = -1, 0, list[Row]()  # the current row group, and the rows in memory
        self._keys = Keys(str(row.get("key")) for _, row in self._cells("key"))
        self.fingerprint = self._digest()

    def __len__(self) -> int:
        return self._starts[-1]

    def _digest(self) -> str:
        names = (self._file_name(*of_row) for of_row in self._cells("key", "file_name"))
        return digest_of_list([map(_sha256, self._paths), (file_size(self._folder / name) for name in names)])

    def _cells(self, *wanted: str) -> Iterator[tuple[int, Row]]:
        """For every row the number of its file, and its cells in those of the ``wanted`` columns that exist."""
        for number in range(len(self._files)):
            for rows in self._batches(number, None, wanted):
                yield from ((number, row) for row in rows)

    def _batches(self, number: int, group: int | None, wanted: Sequence[str]) -> Iterator[list[Row]]:
        """The rows of a file, or of one of its row groups. ValueError where it cannot be decoded."""
        file = self._files[number]
        present = [name for name in wanted if name in file.schema_arrow.names]
        groups = None if group is None else [group]
        try:
            for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=present, use_threads=False):
                yield _rows(batch)
        except (pa.ArrowException, OSError) as error:
            why = " ".join(str(error).split())[:300]
            raise ValueError(f"{self._paths[number]} cannot be decoded: {why}; fetch it again") from None

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        number, value = self._row(row)
        line = checked(GritRow, value)
        if isinstance(line, str):
            return rejected_row(str(value.get("key")), "line_malformed", f"row {row}: {line}")
        name, size_wh = self._file_name(number, value), (line.width, line.height)
        chunks = [_span(chunk, line) for chunk in line.noun_chunks]
        caption = Caption(line.key, line.caption, size_wh, f"{self.uri}#{row}", chunks)
        return grounding_row(row, caption, self._keys, lambda: read_picture(self._folder, name, size_wh), recipe_digest)

    def _file_name(self, number: int, row: Row) -> str:
        if stated := row.get("file_name"):
            return str(stated)
        name = f"{row.get('key')}.jpg"
        nested = f"{self._paths[number].stem}/{name}"
        return nested if file_size(self._folder / nested) >= 0 else name

    def _row(self, row: int) -> tuple[int, Row]:
        """The number of a row's file, and its cells."""
        group = bisect_right(self._starts, row) - 1
        number, _ = self._groups[group]
        if group != self._group or row < self._first:
            self._reading = self._batches(*self._groups[group], COLUMNS)
            self._group, self._first, self._rows = group, self._starts[group], []
        while row >= self._first + len(self._rows):
            self._first += len(self._rows)
            self._rows = next(self._reading, [])
            if not self._rows:
                raise ValueError(f"{self._paths[number]} has fewer rows than it states; fetch it again")
        return number, self._rows[row - self._first]


def _rows(batch: pa.RecordBatch) -> list[Row]:
    """The rows of a batch; a row with text that is not UTF-8 is empty."""
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]
    except ValueError:
        return [{}] if len(batch) == 1 else [row for n in range(len(batch)) for row in _rows(batch.slice(n, 1))]


def _paths(place: Path) -> list[Path]:
    paths = [place] if place.is_file() else [checked_file(file) for file in own_files(place, "*.parquet")]
    if not paths:
        raise ValueError(f"{place} holds no .parquet file of GRIT; give the file, or the folder of the files")
    return paths


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return digest_file(file)[0]


def _opened(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, buffer_size=BUFFER_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file: {' '.join(str(error).split())}") from None
    missing = sorted(set(COLUMNS[:-1]) - set(file.schema_arrow.names))
    if missing:
        raise ValueError(f"{path} is not of the format GRIT: it has no column {', '.join(missing)}")
    return file


def _span(chunk: list[float], row: GritRow) -> SpanBoxes | str:
    """A chunk in pixels, or what is wrong with it."""
    if len(chunk) != CHUNK_NUMBERS or not all(value == int(value) for value in chunk[:2] if abs(value) < 1e9):
        return f"a noun chunk has {CHUNK_NUMBERS} numbers, the first two whole; this came: {chunk}"[:300]
    start, end, x1, y1, x2, y2, score = chunk
    if not (0 <= start < end <= len(row.caption)):
        return f"characters {start} to {end} of a caption of {len(row.caption)}"
    box = (x1 * row.width, y1 * row.height, x2 * row.width, y2 * row.height)
    return SpanBoxes(int(start), int(end), [box], scores=[score])
