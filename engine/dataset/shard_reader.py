"""Reading shards: the samples of a committed unit, in order or by row, checked against what the manifest says.

In: a store and a unit. Out: labels and pictures as :func:`engine.shards.write_shard` put them down.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO

from pydantic import ValidationError

from engine.artifacts import Store
from engine.dataset.shard_files import committed_units, read_manifest, shard_name
from schemas.shards import SampleLabels

MAX_LABEL_BYTES = 20_000_000
MENDED_BY = "`glip-engine verify` shows what else is wrong, and `label` or `import` redoes that unit"


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A sample of a dataset: its labels and the encoded picture, byte for byte as the source had it."""

    labels: SampleLabels
    image: bytes
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


class ShardReader:
    """Random access to the samples of one committed shard: ``reader[row]``, for a ``with``. Opens the tar once; not for
    sharing between threads."""

    def __init__(self, store: Store, unit: int) -> None:
        manifest = read_manifest(store, unit)
        if manifest is None:
            raise ValueError(f"unit {unit} of {store.root} is not committed (no whole manifest); {MENDED_BY}")
        self._where = f"{store.root}/{shard_name(unit)}"
        self._rows: dict[str, int] = {}
        self._file = store.open(shard_name(unit))
        try:
            self._members = _index_tar(self._file, self._where)
            if len(self._members) != manifest.samples:
                raise ValueError(
                    f"{self._where} holds {len(self._members)} samples, its manifest says {manifest.samples}; "
                    f"{MENDED_BY}"
                )
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[LabelledImage]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> LabelledImage:
        _, (extension, image_at, image_size), (labels_at, labels_size) = self._members[row]
        return LabelledImage(self._labels(labels_at, labels_size), self._bytes(image_at, image_size), extension)

    def labels(self, row: int) -> SampleLabels:
        """The labels alone, without reading the picture."""
        return self._labels(*self._members[row][2])

    def row_of(self, key: str) -> int | None:
        """The row of the sample with this key, None where the shard has none."""
        if not self._rows:
            self._rows = {name: row for row, (name, _, _) in enumerate(self._members)}
        return self._rows.get(key)

    def image(self, row: int, max_bytes: int) -> bytes:
        """The picture alone; ValueError, before it is read, where it has more than ``max_bytes``."""
        _, offset, size = self._members[row][1]
        if size > max_bytes:
            raise ValueError(f"{self._where}: the picture of row {row} has {size} bytes, more than {max_bytes}")
        return self._bytes(offset, size)

    def extension(self, row: int) -> str:
        """What the picture's member ends in, as ``jpg``."""
        return self._members[row][1][0]

    def close(self) -> None:
        self._file.close()

    def _labels(self, offset: int, size: int) -> SampleLabels:
        try:
            return SampleLabels.model_validate_json(self._bytes(offset, size))
        except ValidationError as error:
            raise ValueError(f"{self._where}: a sample breaks the format: {error.errors()[0]['msg']}") from None

    def _bytes(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)


_Member = tuple[str, tuple[str, int, int], tuple[int, int]]


def _index_tar(file: BinaryIO, where: str) -> list[_Member]:
    """Where the picture and the labels of each sample stand in the tar, in order."""
    members: list[_Member] = []
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            entries = iter(tar)
            for image in entries:
                labels = next(entries, None)
                key, _, extension = image.name.partition(".")
                if labels is None or labels.name != f"{key}.json" or labels.size > MAX_LABEL_BYTES:
                    raise ValueError(f"{where}: after {image.name!r} its labels {key}.json are missing; {MENDED_BY}")
                members.append((key, (extension, image.offset_data, image.size), (labels.offset_data, labels.size)))
    except tarfile.TarError as error:
        raise ValueError(f"{where} is not a whole tar: {error}; {MENDED_BY}") from None
    return members
