"""Reading shards: the samples of a committed unit, in order or by row, checked against what the manifest says.

In: a store and a unit. Out: labels and pictures as :func:`engine.shards.write_shard` put them down.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from engine.artifacts import Store
from engine.dataset.shard_files import MENDED_BY, committed_units, read_manifest, shard_name
from engine.storage.faults import naming_faults
from schemas.shards import SampleLabels

MAX_LABEL_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A sample of a dataset: its labels and the encoded picture, byte for byte as the source had it."""

    labels: SampleLabels
    image: bytes = field(repr=False)
    extension: str


def read_shard(store: Store, unit: int) -> Iterator[LabelledImage]:
    """The samples of a committed shard, in order, spans and boxes checked.

    ValueError where the unit is not committed, or where the tar does not hold what the manifest says.
    """
    with ShardReader(store, unit) as reader:
        yield from reader


def placed_labels(store: Store) -> Iterator[tuple[tuple[int, int], SampleLabels]]:
    """Unit and row of every sample of a dataset, in order, with its labels, without the pictures. ValueError as of
    :func:`read_shard`."""
    for unit in committed_units(store):
        with ShardReader(store, unit) as reader:
            yield from (((unit, row), reader.labels(row)) for row in range(len(reader)))


def read_labels(store: Store) -> Iterator[SampleLabels]:
    """The labels of a dataset's committed units, in order, without the pictures."""
    return (labels for _, labels in placed_labels(store))


def read_samples(store: Store, places: Iterable[tuple[int, int]]) -> Iterator[LabelledImage]:
    """The samples at these units and rows; a shard is opened once for the rows of it that stand together."""
    for unit, of_unit in groupby(places, key=lambda place: place[0]):
        with ShardReader(store, unit) as reader:
            yield from (reader[row] for _, row in of_unit)


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Where the samples of a shard stand in its tar, in 16 bytes a sample.

    Each row has the first byte and the size of the picture, and those of the labels. ``extensions``: what the names of
    the pictures end in.
    """

    places: NDArray[np.unsignedinteger]
    extensions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.extensions)


class ShardReader:
    """Random access to the samples of one committed shard: ``reader[row]``, for a ``with``. Opens the tar once; not for
    sharing between threads."""

    def __init__(self, store: Store, unit: int, index: ShardIndex | None = None) -> None:
        """``index`` is that of an earlier reader of this shard: its headers are then not read again."""
        samples = _committed_samples(store, unit) if index is None else len(index)
        self._where = f"{store.root}/{shard_name(unit)}"
        self._is_local = store.is_local
        self._rows: dict[str, int] = {}
        self._file = store.open(shard_name(unit))
        try:
            self.index = self._read_index() if index is None else index
            if len(self) != samples:
                raise ValueError(f"{self._where} holds {len(self)} samples, its manifest says {samples}; {MENDED_BY}")
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[LabelledImage]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> LabelledImage:
        image_at, image_size, *labels = self.index.places[row].tolist()
        return LabelledImage(self._labels(*labels), self._bytes(image_at, image_size), self.extension(row))

    def labels(self, row: int) -> SampleLabels:
        """The labels alone, without reading the picture."""
        return self._labels(*self.index.places[row, 2:].tolist())

    def row_of(self, key: str) -> int | None:
        """The row of the sample with this key, None where the shard has none."""
        if not self._rows:
            self.index = self._read_index()
        return self._rows.get(key)

    def image(self, row: int, max_bytes: int) -> bytes:
        """The picture alone; ValueError, before it is read, where it has more than ``max_bytes``."""
        offset, size = self.index.places[row, :2].tolist()
        if size > max_bytes:
            raise ValueError(f"{self._where}: the picture of row {row} has {size} bytes, more than {max_bytes}")
        return self._bytes(offset, size)

    def extension(self, row: int) -> str:
        """What the picture's member ends in, as ``jpg``."""
        return self.index.extensions[row]

    def close(self) -> None:
        self._file.close()

    def _read_index(self) -> ShardIndex:
        """Read the places of all samples, and set the row of each key on the way."""
        with self._naming_faults():
            members = _index_tar(self._file, self._where)
        self._rows = {key: row for row, (key, _, _) in enumerate(members)}
        places = np.array([place for _, _, place in members], dtype=np.uint64).reshape(-1, 4)
        if places.max(initial=0) < 1 << 32:
            places = places.astype(np.uint32)
        return ShardIndex(places, _as_before(tuple(extension for _, extension, _ in members)))

    def _labels(self, offset: int, size: int) -> SampleLabels:
        try:
            return SampleLabels.model_validate_json(self._bytes(offset, size))
        except ValidationError as error:
            raise ValueError(f"{self._where}: a sample breaks the format: {error.errors()[0]['msg']}") from None

    def _bytes(self, offset: int, size: int) -> bytes:
        with self._naming_faults():
            self._file.seek(offset)
            return self._file.read(size)

    def _naming_faults(self) -> AbstractContextManager[None]:
        return naming_faults(self._where, "read", local=self._is_local)


def _committed_samples(store: Store, unit: int) -> int:
    manifest = read_manifest(store, unit)
    if manifest is None:
        raise ValueError(f"unit {unit} of {store.root} is not committed (no whole manifest); {MENDED_BY}")
    return manifest.samples


@lru_cache(maxsize=64)
def _as_before(extensions: tuple[str, ...]) -> tuple[str, ...]:
    """The same tuple object for equal extensions, to save memory: nearly all shards hold JPEGs alone."""
    return extensions


_Member = tuple[str, str, tuple[int, int, int, int]]


def _index_tar(file: BinaryIO, where: str) -> list[_Member]:
    """The key of each sample, what its picture's name ends in, and where both members stand in the tar, in order."""
    members: list[_Member] = []
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            entries = iter(tar)
            for image in entries:
                labels = next(entries, None)
                key, _, extension = image.name.partition(".")
                if labels is None or labels.name != f"{key}.json" or labels.size > MAX_LABEL_BYTES:
                    raise tarfile.ReadError(f"after {image.name!r} its labels {key}.json are missing")
                if image.size < 0 or labels.size < 0:  # which would lead back to what was read, for ever
                    raise tarfile.ReadError(f"a member of {key!r} has a size below 0")
                members.append((key, extension, (image.offset_data, image.size, labels.offset_data, labels.size)))
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:  # of forged headers, too
        raise ValueError(f"{where} is not a whole shard: {error}; {MENDED_BY}") from None
    return members
