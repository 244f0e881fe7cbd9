"""Duplicates across a whole dataset: the first sample of a picture in source order stays, readers leave the others out.

In: a dataset with its hashes. Out: ``duplicates.parquet``, one row for each sample that readers leave out, exact (the
same file) or near (another file of the picture).

The shards stay as they are. No unit of a labelling job knows of another, so what a shard holds is a function of its own
rows, whatever the number of workers and their order. The price is that a picture which the source has twice is grounded
twice.

A sample takes 48 bytes here and its key; ten million of them fit into the memory of any machine that trains.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.artifacts import Store, digest_of
from engine.dataset.manifest_summary import ManifestSummary
from engine.filtering.image_hash import ALGORITHM, WordArray
from engine.filtering.image_identity import ImageIdentity
from engine.filtering.near_duplicates import IndexArray, leaders, near_pairs
from engine.shards import CARD
from engine.storage.parquet_tables import parquet_bytes, read_parquet
from schemas.shards import DUPLICATE_SCHEMA

DUPLICATES = "duplicates.parquet"
EXACT, NEAR = "duplicate_exact", "duplicate_near"
DuplicateOf = Literal["image", "pair"]
_METADATA = b"glip_engine"
_MAX_BYTES = 1 << 32


# ------------------------------------------------------------------------------------------------------------ finding


@dataclass(frozen=True, slots=True)
class Identities:
    """The samples of a dataset in order, by column. ``hashed``: whether the sample has a perceptual hash. ``captions``:
    64 bits of the SHA-256 of each caption."""

    digests: npt.NDArray[np.uint64]
    """N x 2: 128 bits of the SHA-256 of each file."""
    hashes: WordArray
    """N x 2; anything where there is none."""
    hashed: npt.NDArray[np.bool_]
    captions: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, images: Iterable[ImageIdentity]) -> Identities:
        """The identities of images as columns; no image gives empty columns."""
        packed = bytearray()
        for image in images:
            packed += image.sha256[:16] + (image.phash or 0).to_bytes(16, "big")
            packed += image.caption_sha256[:8] + bytes(7) + bytes([image.phash is not None])
        words = np.frombuffer(packed, dtype=">u8").astype(np.uint64).reshape(-1, 6)
        return cls(words[:, :2], words[:, 2:4], words[:, 5] != 0, words[:, 4])


@dataclass(frozen=True, slots=True)
class FoundDuplicates:
    """What each sample is a duplicate of. ``of``: the number of the sample that stays, its own if that is itself.
    ``exact``: whether an earlier sample has the same file. ``distance``: the bits between the hashes of both."""

    of: IndexArray
    exact: npt.NDArray[np.bool_]
    distance: npt.NDArray[np.uint8]


def find_duplicates(samples: Identities, *, by: DuplicateOf, max_distance: int) -> FoundDuplicates:
    """Which samples are duplicates, by the picture alone or by the pair of picture and caption.

    The first sample of a picture stays. ``max_distance`` (0 to 12) says how near the hashes of near duplicates are,
    where both pictures have one (:func:`engine.filtering.image_hash.near`); the file must be the same otherwise.
    """
    count = len(samples.hashes)
    captions = np.unique(samples.captions, return_inverse=True)[1] if by == "pair" else np.zeros(count, np.int64)
    first_file = _first_of_equal(np.column_stack([samples.digests, captions.astype(np.uint64)]))
    own = np.arange(count)
    exact = first_file != own

    files = np.flatnonzero(~exact & samples.hashed)
    first_hash = files[_first_of_equal(np.column_stack([samples.hashes[files], captions[files].astype(np.uint64)]))]
    pictures = np.unique(first_hash)  # one of each hash, in source order
    pairs = near_pairs(samples.hashes[pictures], max_distance, captions[pictures] if by == "pair" else None)
    leader, distance = leaders(len(pictures), pairs)

    of, bits = own.copy(), np.zeros(count, dtype=np.uint8)
    place = np.searchsorted(pictures, first_hash)
    of[files], bits[files] = pictures[leader[place]], distance[place]
    return FoundDuplicates(of[first_file], exact, bits[first_file])


def _first_of_equal(rows: npt.NDArray[np.uint64]) -> IndexArray:
    """For each row of an N x K table the lowest index of a row equal to it."""
    count = len(rows)
    order = np.lexsort(rows.T[::-1])  # stable: equal rows stay in order of their index
    begins = np.ones(count, dtype=bool)
    begins[1:] = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    first = np.empty(count, dtype=np.int64)
    first[order] = order[np.flatnonzero(begins)][np.cumsum(begins) - 1] if count else order
    return first


# ------------------------------------------------------------------------------------------------------ the table


def duplicate_table(found: FoundDuplicates, keys: Sequence[str], manifests: Sequence[ManifestSummary]) -> pa.Table:
    """The table of the samples that are left out, in order: ``DUPLICATE_SCHEMA``. ``keys`` are of all samples of the
    units in ``manifests``."""
    out = np.flatnonzero(found.of != np.arange(len(found.of)))
    ends = np.cumsum([manifest.samples for manifest in manifests])
    place = np.searchsorted(ends, out, side="right")
    units = np.array([manifest.unit for manifest in manifests], dtype=np.int32)
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    columns = [
        pa.array(units[place], pa.int32()),
        pa.array(out - starts[place], pa.int32()),
        pa.array([keys[number] for number in out.tolist()], pa.string()),
        pa.array([EXACT if same else NEAR for same in found.exact[out]], pa.string()),
        pa.array([keys[number] for number in found.of[out].tolist()], pa.string()),
        pa.array(found.distance[out], pa.uint8()),
    ]
    return pa.Table.from_arrays(columns, schema=DUPLICATE_SCHEMA)


def write_duplicates(
    store: Store, table: pa.Table, manifests: Sequence[ManifestSummary], *, by: DuplicateOf, max_distance: int
) -> None:
    """Write the table, with the digest of the shards that it was made for and how it was made."""
    made = {"shards": shards_digest(manifests), "by": by, "max_distance": max_distance, "hash": ALGORITHM}
    store.write(DUPLICATES, parquet_bytes(table.replace_schema_metadata({_METADATA: json.dumps(made).encode()})))


def shards_digest(manifests: Sequence[ManifestSummary]) -> str:
    """Digest of the shards of ``manifests``; a table of duplicates holds for these alone."""
    return digest_of([file.sha256 for one in manifests for file in one.files if file.path.startswith("shards/")])


# -------------------------------------------------------------------------------------------- what readers leave out


@dataclass(frozen=True)
class Duplicates:
    """The rows that readers leave out, by unit. ``digest`` is None where there is no table of duplicates."""

    rows: dict[int, frozenset[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    digest: str | None = None

    def of(self, unit: int) -> frozenset[int]:
        """The rows of a unit to leave out."""
        return self.rows.get(unit, frozenset())

    def __len__(self) -> int:
        return sum(self.counts.values())


def read_duplicates(store: Store, manifests: Sequence[ManifestSummary]) -> Duplicates:
    """The duplicates of a dataset; none where there is no table of them.

    ValueError where the table was made for other shards than ``manifests``: the dataset has changed since.
    """
    if not store.exists(DUPLICATES):
        return Duplicates()
    content = store.read(DUPLICATES, max_bytes=_MAX_BYTES)
    try:
        table = read_parquet(content)
        made = dict(json.loads(table.schema.metadata[_METADATA]))
        if not table.schema.equals(DUPLICATE_SCHEMA) or any(column.null_count for column in table.columns):
            raise ValueError("its columns are others, or have rows without a value")
        units, rows, reasons = (table[name].to_pylist() for name in ("unit", "row", "reason"))
    except (pa.ArrowException, ValueError, KeyError, TypeError):
        raise ValueError(f"{store.root}/{DUPLICATES} is not a table of duplicates; run `dedupe` again") from None
    if made.get("shards") != shards_digest(manifests):
        raise ValueError(
            f"{store.root}/{DUPLICATES} was made for other shards than those beside {CARD}, which have changed since; "
            f"run `glip-engine dedupe {store.root}` again, or delete the file to read every sample"
        )
    by_unit: dict[int, set[int]] = {}
    for unit, row in zip(units, rows, strict=True):
        by_unit.setdefault(unit, set()).add(row)
    left_out = {unit: frozenset(numbers) for unit, numbers in by_unit.items()}
    return Duplicates(left_out, dict(sorted(Counter(reasons).items())), digest_of(made | {"rows": [units, rows]}))
