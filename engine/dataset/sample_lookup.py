"""Single samples of a dataset by their key.

In: a key, which may come from anyone. Out: labels or picture. The key is looked up in the dataset's own tables and in
the index of a tar, never made into a path. A few shards are kept open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.artifacts import Store
from engine.dataset.open_shards import OpenShards
from engine.shards import ShardReader
from schemas.shards import SampleLabels

MAX_OPEN_SHARDS = 8
MAX_IMAGE_BYTES = 100_000_000


class UnknownKeyError(KeyError):
    """No sample with a box has this key."""


class SampleLookup:
    """Samples by key; safe to ask from several threads. ``unit_of`` says which unit a key is in, None for none."""

    def __init__(self, store: Store, unit_of: Callable[[str], int | None]) -> None:
        self._store, self._unit_of = store, unit_of
        self._shards = OpenShards(MAX_OPEN_SHARDS)

    def labels(self, key: str) -> SampleLabels:
        """The stored labels. UnknownKeyError where there is no such sample."""
        with self._place(key) as (reader, row):
            return reader.labels(row)

    def image(self, key: str) -> bytes:
        """The stored picture's file. UnknownKeyError as above; ValueError where it is larger than 100 MB."""
        with self._place(key) as (reader, row):
            return reader.image(row, MAX_IMAGE_BYTES)

    def close(self) -> None:
        """Close the shards that are open."""
        self._shards.close()

    @contextmanager
    def _place(self, key: str) -> Iterator[tuple[ShardReader, int]]:
        unit = self._unit_of(key)
        if unit is None:
            raise UnknownKeyError(key)
        with self._shards.reader(self._store, unit) as reader:
            row = reader.row_of(key)
            if row is None:
                raise UnknownKeyError(key)
            yield reader, row
