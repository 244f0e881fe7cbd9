"""Reader of GRIT, Kosmos-2's web captions with scored boxes: Parquet files, and the pictures that were downloaded.

In: a ``.parquet`` file, or a folder of them, and the pictures, each called as ``file_name`` says where that column is
there (our own export has it), else ``KEY.jpg``. Out: a row a caption: its ``noun_chunks``, ``[start, end, x1, y1, x2,
y2, score]`` with half-open characters and corners as shares of the picture. ``ref_exps`` are the same boxes with longer
phrases, and are left out. Source: the dataset card of zzliang/GRIT on the Hugging Face hub.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from engine.artifacts import digest_file
from engine.gold.coco_json import CocoItem, Keys, Text, checked, rejected_row
from engine.gold.rules import file_size, read_picture
from engine.gold.sources import GoldPlace, GoldReader, GoldRow
from engine.gold.spans import Caption, SpanBoxes, grounding_row
from engine.storage.digests import digest_of_list

COLUMNS = ("key", "caption", "width", "height", "noun_chunks", "file_name")
CHUNK_NUMBERS = 7


class GritRow(CocoItem):
    """A row of the table; sizes in pixels. Chunks are checked one by one."""

    key: Text = Field(pattern=r"^[^\x00]{1,250}$")
    caption: Text
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    noun_chunks: list[list[float]]
    file_name: Text | None = Field(default=None, pattern=r"^[^\x00]{1,250}$")


class GritCaptions(GoldReader):
    """Rows in the order of the files; one row group is in memory at a time."""

    def __init__(self, place: GoldPlace) -> None:
        place = place.without_split("grit")
        paths = _paths(place.annotations)
        self._files = [_opened(path) for path in paths]
        self._digests = [_sha256(path) for path in paths]
        self._folder = place.image_folder("images")
        self.uri = place.annotations.name
        self._starts = array("q", [0])
        self._groups: list[tuple[pq.ParquetFile, int]] = []
        for file in self._files:
            for group in range(file.num_row_groups):
                self._groups.append((file, group))
                self._starts.append(self._starts[-1] + file.metadata.row_group(group).num_rows)
        self._at, self._rows = -1, list[dict[str, Any]]()
        self._keys = Keys(str(row["key"]) for row in self._cells("key"))
        self.fingerprint = self._digest()

    def __len__(self) -> int:
        return self._starts[-1]

    def _digest(self) -> str:
        names = map(self._file_name, self._cells("key", "file_name"))
        sizes = (file_size(self._folder / PurePosixPath(name).name) for name in names)
        return digest_of_list([self._digests, sizes])

    def _cells(self, *wanted: str) -> Iterator[dict[str, Any]]:
        """Of every row the cells of some columns, as far as there are such."""
        for file in self._files:
            present = [name for name in wanted if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=present, use_threads=False):
                yield from batch.to_pylist()

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        number = bisect_right(self._starts, row) - 1
        value = self._group(number)[row - self._starts[number]]
        line = checked(GritRow, value)
        if isinstance(line, str):
            return rejected_row(str(value.get("key")), "line_malformed", f"row {row}: {line}", ())
        chunks = [_span(chunk, line) for chunk in line.noun_chunks]
        caption = Caption(
            key=line.key,
            text=line.caption,
            width=line.width,
            height=line.height,
            locator=f"{self.uri}#{row}",
            spans=[chunk for chunk in chunks if isinstance(chunk, SpanBoxes)],
            malformed=[chunk for chunk in chunks if isinstance(chunk, str)],
        )
        name, size = self._file_name(value), (line.width, line.height)
        return grounding_row(row, caption, self._keys, lambda: read_picture(self._folder, name, size), recipe_digest)

    @staticmethod
    def _file_name(row: dict[str, Any]) -> str:
        return str(row.get("file_name") or f"{row.get('key')}.jpg")

    def _group(self, number: int) -> list[dict[str, Any]]:
        if self._at != number:
            file, group = self._groups[number]
            present = [name for name in COLUMNS if name in file.schema_arrow.names]
            self._at, self._rows = number, file.read_row_group(group, columns=present, use_threads=False).to_pylist()
        return self._rows


def _paths(place: Path) -> list[Path]:
    paths = [place] if place.is_file() else sorted(place.glob("*.parquet"))
    if not paths:
        raise ValueError(f"{place} holds no .parquet file of GRIT; give the file, or the folder of the files")
    return paths


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return digest_file(file)[0]


def _opened(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
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
