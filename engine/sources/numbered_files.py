"""The files of a table-like source, their rows numbered through from 0.

In: each file's name, number of rows and digest, in order. Out: the numbers of its rows, which keys may be made of, and
digests; slices of rows as the units of a source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.artifacts import digest_of
from schemas.records import UnitRef


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


class NumberedFiles:
    """Files in order. Picklable."""

    def __init__(self, files: Iterable[tuple[str, int, str]]) -> None:
        """Name, rows and digest of each."""
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
        """Of every file's name and digest."""
        return digest_of([[name, digest] for name, digest in self._digests.items()])
