"""A bounded number of shards that are kept open and read again and again, by several threads.

In: a dataset's store and a unit. Out: its open :class:`~engine.dataset.shard_reader.ShardReader`, lent to one thread at
a time. Different shards are opened and read at the same time, since each read from an object store is a wait. The index
of a shard outlives its reader: training draws samples from all shards in turn, and reading a shard's headers takes far
longer than reading one sample (``benchmarks/many_shards.py``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from engine.artifacts import Store
from engine.dataset.shard_reader import ShardIndex, ShardReader

MAX_INDEXED_SAMPLES = 32_000_000  # in 16 bytes each


@dataclass(eq=False, slots=True)
class _Place:
    """One shard, open or not yet; ``users`` counts the threads that read it or wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    reader: ShardReader | None = None
    users: int = 0

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None


class OpenShards:
    """At most ``limit`` open shards; the one unused for longest is closed first. A shard that is being read is never
    closed, so more may be open while more threads read.

    A forked process opens shards of its own, since a file that it shares with its parent has one position for both;
    and so does a process that gets a pickled copy."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places: dict[tuple[int, str, int], _Place] = {}  # by process, dataset and unit
        self._indexes: dict[tuple[str, int], ShardIndex] = {}
        self._indexed_samples = 0
        self._lock = threading.Lock()  # of the dict and the counts of users, never held while a store is asked

    def __reduce__(self) -> tuple[type[OpenShards], tuple[int]]:
        return OpenShards, (self._limit,)

    @contextmanager
    def reader(self, store: Store, unit: int) -> Iterator[ShardReader]:
        """The reader of a unit, valid inside the ``with`` block. Errors as of ``ShardReader``."""
        key = (store.root, unit)
        place = self._take((os.getpid(), *key))
        try:
            with place.lock:
                if place.reader is None:
                    place.reader = ShardReader(store, unit, self._indexes.get(key))
                    self._remember(key, place.reader.index)
                yield place.reader
        finally:
            with self._lock:
                place.users -= 1

    def close(self) -> None:
        """Close all shards, each as soon as nobody reads it."""
        with self._lock:
            places = list(self._places.values())
        for place in places:
            with place.lock:
                place.close()

    def _take(self, key: tuple[int, str, int]) -> _Place:
        with self._lock:
            place = self._places.pop(key, None) or _Place()
            self._places[key] = place  # put last: the first is the one unused for longest
            place.users += 1
            unused = self._unused() if len(self._places) > self._limit else []
        for one in unused:
            one.close()
        return place

    def _remember(self, key: tuple[str, int], index: ShardIndex) -> None:
        """Keep a shard's index; beyond the limit the oldest ones are dropped."""
        with self._lock:
            if key not in self._indexes:
                self._indexes[key] = index
                self._indexed_samples += len(index)
            while self._indexed_samples > MAX_INDEXED_SAMPLES:
                self._indexed_samples -= len(self._indexes.pop(next(iter(self._indexes))))

    def _unused(self) -> list[_Place]:
        """Take out the places beyond the limit that nobody uses, to be closed. The caller holds the lock."""
        idle = [key for key, place in self._places.items() if not place.users]
        return [self._places.pop(key) for key in idle[: len(self._places) - self._limit]]
