"""The rows of a source cut into units, and the files of a source with rows numbered from 0 over all files.

In: each file's name, number of rows and digest, in order. Out: slices of rows as the units of a source; the numbers of
a file's rows, from which keys may be made, and digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.artifacts import digest_of
from schemas.records import UnitRef


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows ``[first_row, first_row + rows)`` of one file."""

    name: str
    first_row: int
    rows: int


def row_slices(rows: int, most: int) -> Iterator[tuple[int, int]]:
    """The first row and number of rows of each slice of at most ``most`` (above 0) rows, in order."""
    return ((first, min(most, rows - first)) for first in range(0, rows, most))


def units_of_rows(uri: str, rows: int, unit_size: int) -> list[UnitRef]:
    """Units of at most ``unit_size`` rows for a source that is not made of files; ``uri`` names it in each unit."""
    return [UnitRef(index, uri, *part) for index, part in enumerate(row_slices(rows, unit_size))]


def slice_units(slices: Iterable[Slice], uri: str) -> list[UnitRef]:
    """The slices of the source ``uri`` as its units; ValueError where there is none."""
    refs = [UnitRef(index, one.name, one.first_row, one.rows) for index, one in enumerate(slices)]
    if not refs:
        raise ValueError(f"source {uri} holds no row")
    return refs


class NumberedFiles:
    """The files of a source in order, with their rows and digests. Picklable."""

    def __init__(self, files: Iterable[tuple[str, int, str]]) -> None:
        """``files``: the name, the number of rows and the digest of each."""
        self._numbers: dict[str, range] = {}
        self._digests: dict[str, str] = {}
        first = 0
        for name, rows, digest in files:
            self._numbers[name], self._digests[name] = range(first, first + rows), digest
            first += rows

    def numbers(self, name: str) -> range:
        """The numbers, over all files, of the rows of one file."""
        return self._numbers[name]

    def file_digest(self, name: str) -> str:
        """The digest of one file."""
        return self._digests[name]

    def digest(self) -> str:
        """The digest of all files' names and digests."""
        return digest_of([[name, digest] for name, digest in self._digests.items()])
