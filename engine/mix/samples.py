"""The samples that can be drawn from a dataset, compact enough to keep tens of millions in memory.

In: for each shard the rows that can be drawn. Out: sample number -> unit and row. The samples of a whole shard take no
memory, those of a shard with rows left out four bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SampleRef:
    """The place of a sample: row ``row`` of shard ``unit`` of dataset number ``dataset`` of the mix."""

    dataset: int
    unit: int
    row: int


@dataclass(frozen=True, slots=True)
class UnitRows:
    """The rows of a shard that can be drawn: the first ``count`` ones, or those in ``rows`` where given."""

    unit: int
    count: int
    rows: Rows | None = None


class SampleRefs:
    """The samples of dataset number ``dataset`` as a sequence, in the order of its shards."""

    def __init__(self, dataset: int, units: Sequence[UnitRows]) -> None:
        self._dataset = dataset
        self._units = np.array([one.unit for one in units], dtype=np.int64)
        self._ends = np.cumsum([one.count for one in units], dtype=np.int64)
        self._rows = [one.rows for one in units]

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, number: int) -> SampleRef:
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        number = int(number) % len(self)
        place = self._place(number)
        row = number - self.in_shard_of(number).start
        rows = self._rows[place]
        return SampleRef(self._dataset, int(self._units[place]), row if rows is None else int(rows[row]))

    def in_shard_of(self, number: int) -> range:
        """The numbers of all samples in the shard of sample ``number`` (0 or more), which is one of them."""
        place = self._place(number)
        return range(int(self._ends[place - 1]) if place else 0, int(self._ends[place]))

    def _place(self, number: int) -> int:
        return int(np.searchsorted(self._ends, number, side="right"))

    def __iter__(self) -> Iterator[SampleRef]:
        return (self[number] for number in range(len(self)))

    @property
    def nbytes(self) -> int:
        """The bytes that the arrays take."""
        return self._units.nbytes + self._ends.nbytes + sum(rows.nbytes for rows in self._rows if rows is not None)
