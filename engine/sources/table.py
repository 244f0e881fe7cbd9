"""A source whose rows have columns: shared by Parquet files of pictures and lists of urls.

In: rows of files, the columns that samples are made of, and those that the recipe names. Out: units, digests, and the
rows of a unit, each with its key and its cells, or with the reason why it is no sample.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from engine.artifacts import digest_of
from engine.sources import Problem
from engine.sources.keys import RepeatedRows, key_of, row_key
from engine.sources.numbered_files import NumberedFiles, Slice, slice_units
from engine.sources.own_columns import OwnColumns
from engine.sources.unit_bytes import UnitBytes, text_bytes
from schemas.records import Reject, UnitRef

Cells = dict[str, Any]


class Rows(Protocol):
    """The rows of files in one format. Picklable."""

    @property
    def files(self) -> NumberedFiles: ...

    def slices(self, unit_size: int) -> Iterator[Slice]:
        """The slices of at most ``unit_size`` rows that units are made of."""
        ...

    def read(self, name: str, first_row: int, rows: int) -> Iterator[Cells | Problem]:
        """Exactly ``rows`` rows of one file, in order; a Problem for each that cannot be read."""
        ...

    def column(self, name: str) -> Iterator[Any]:
        """All values of one column, in order; None for a row without one."""
        ...


class TableRow(NamedTuple):
    """A row that may be a sample. ``locator`` tells its place (``part.parquet#12``)."""

    key: str
    cells: Cells
    locator: str

    def reject(self, problem: Problem) -> Reject:
        """The row as a reject."""
        return Reject(self.key, "read", problem.reason, f"{self.locator}: {problem.message}")


class Table:
    """All rows of a source. ``columns`` are those that samples are made of; keys come from ``key_column``, or are row
    numbers where that is None."""

    def __init__(self, rows: Rows, uri: str, columns: Sequence[str], key_column: str | None, own: OwnColumns) -> None:
        self._rows, self._uri, self._own = rows, uri, own
        self._columns, self._key = [*columns, key_column], key_column
        self._repeated = RepeatedRows(rows.column(key_column) if key_column else ())

    def units(self, unit_size: int) -> list[UnitRef]:
        """The units of the source. ValueError where it has no row."""
        return slice_units(self._rows.slices(unit_size), self._uri)

    def fingerprint(self) -> str:
        """The digest of the columns' names and of the files' contents."""
        return digest_of([*self._columns, self._rows.files.digest()])

    def part_digest(self, uri: str) -> str:
        """The digest of all that decides the samples of one file: the columns that are read, its content, the numbers
        of its rows, from which keys are made, and which rows repeat an earlier key."""
        files = self._rows.files
        numbers = files.numbers(uri)
        repeated = self._repeated.among(numbers)
        return digest_of([*self._columns, uri, files.file_digest(uri), numbers.start, repeated])

    def read(self, ref: UnitRef) -> Iterator[TableRow | Reject]:
        """The rows of a unit, in order. Reasons, besides those of the files and of
        :mod:`engine.sources.own_columns`: ``key_invalid``, ``key_duplicate``, ``unit_too_large``."""
        first = self._rows.files.numbers(ref.uri).start + ref.first_row
        repeated = frozenset(self._repeated.among(range(first, first + ref.rows)))
        rows, room = self._rows.read(ref.uri, ref.first_row, ref.rows), UnitBytes("texts")
        return (
            self._outcome(cells, f"{ref.uri}#{ref.first_row + place}", first + place, repeated, room)
            for place, cells in enumerate(rows)
        )

    def _outcome(
        self, cells: Cells | Problem, locator: str, number: int, repeated: Container[int], room: UnitBytes
    ) -> TableRow | Reject:
        if isinstance(cells, Problem):
            return TableRow(row_key(number), {}, locator).reject(cells)
        key, problem = key_of(cells, self._key, number, repeated)
        problem = problem or self._own.broken_by(cells) or room.over(text_bytes(cells.values()))
        row = TableRow(key, cells, locator)
        return row if problem is None else row.reject(problem)
