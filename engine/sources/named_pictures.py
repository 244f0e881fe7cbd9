"""Rows with a caption and the name of a picture in a folder: shared by COCO's captions and plain folders.

In: rows in order, and the folder. Out: units of rows, and the captioned images of a unit with the pictures' bytes
untouched. An invalid row has a ``problem``, and keeps its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.shards import valid_key
from engine.sources import Problem
from engine.sources.image_files import ImageFolder
from engine.sources.keys import printable
from engine.sources.numbered_files import units_of_rows
from engine.sources.own_columns import OwnColumns
from engine.sources.unit_bytes import UnitBytes
from schemas.pictures import image_extension
from schemas.records import CaptionedImage, Cell, Reject, UnitRef


@dataclass(frozen=True, slots=True)
class NamedRow:
    """The name of a picture and its caption; or the ``problem`` why the row is no sample."""

    key: str
    file_name: str = ""
    caption: str = ""
    problem: Problem | None = None
    columns: dict[str, Cell] | None = None

    @property
    def reason(self) -> str:
        """The reason of the problem; empty for a sample."""
        return self.problem.reason if self.problem else ""


def named_row(key: str, file_name: str, caption: str | Problem, fields: Mapping[str, Any], own: OwnColumns) -> NamedRow:
    """A row with the cells of ``fields`` that the recipe carries; or with a reason, where the recipe does not keep it
    or it has no caption."""
    caption = own.broken_by(fields) or caption
    if isinstance(caption, Problem):
        return NamedRow(key, file_name, problem=caption)
    return NamedRow(key, file_name, caption, columns=own.carried(fields))


class NamedPictures:
    """The rows of a source whose pictures are in one folder. Picklable."""

    def __init__(self, rows: Sequence[NamedRow], folder: ImageFolder) -> None:
        self._rows, self._folder = rows, folder

    def units(self, unit_size: int, uri: str) -> list[UnitRef]:
        """Units of at most ``unit_size`` rows each; ``uri`` names the source in each."""
        return units_of_rows(uri, len(self._rows), unit_size)

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        """The outcomes of a unit's rows; a picture that several rows name is read once."""
        rows = self._rows[ref.first_row : ref.first_row + ref.rows]
        names = list(dict.fromkeys(row.file_name for row in rows if not row.problem))
        room = UnitBytes()
        pictures = {
            name: found if isinstance(found, Problem) else room.over(len(found)) or found
            for name, found in zip(names, self._folder.read_all(names), strict=True)
        }
        return [_outcome(row, row.problem or pictures[row.file_name]) for row in rows]


def _outcome(row: NamedRow, picture: bytes | Problem) -> CaptionedImage | Reject:
    if isinstance(picture, Problem):
        return Reject(row.key, "read", picture.reason, picture.message)
    extension = image_extension(picture)
    if extension is None:
        return Reject(row.key, "read", "not_an_image", f"{row.file_name!r} begins as no picture: {picture[:16]!r}")
    return CaptionedImage(row.key, picture, extension, row.caption, row.file_name, columns=row.columns)


def with_unique_keys(rows: Iterable[NamedRow]) -> list[NamedRow]:
    """The rows; of several valid ones with one key the first counts, and the others become duplicates."""
    first: dict[str, str] = {}
    return [_checked(row, first) for row in rows]


def _checked(row: NamedRow, first: dict[str, str]) -> NamedRow:
    """The row, or one with the reason why it is no sample; ``first`` maps a key to the picture of its first row."""
    if row.problem:
        return row
    if not valid_key(row.key):
        fault = "a name or id makes a key of 1 to 200 characters, without backslash or control character"
        problem = Problem("key_invalid", f"{row.file_name[:200]!r}: {fault}")
        return replace(row, key=printable(row.key), problem=problem)
    if row.key in first:
        fault = f"{row.file_name!r}: an earlier row, of {first[row.key]!r}, has this key and counts"
        hint = "a key leaves the ending out, and dots and slashes become underscores"
        return replace(row, problem=Problem("key_duplicate", f"{fault}; {hint}"))
    first[row.key] = row.file_name
    return row
