"""What identifies the picture and the caption of a sample: SHA-256 of the file, perceptual hash, SHA-256 of the
caption.

In: committed units. Out: one row for each of their samples, in the order of the shards. Rows come from the tables of
boxes. A shard is read only where its table lacks a sample (human data without a box), a digest (another writer's
table), or a hash (a blank picture).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.artifacts import Store
from engine.dataset.annotation_tables import read_whole_tables
from engine.dataset.manifest_summary import ManifestSummary
from engine.filtering.image_hash import perceptual_hash, phash_text
from engine.shards import ShardReader
from schemas.records import CaptionedImage
from schemas.shards import ANNOTATION_SCHEMA

_COLUMNS = ("key", "image_sha256", "image_phash", "caption_sha256")
_DIGEST, _HASH = "^[0-9a-f]{64}$", "^[0-9a-f]{32}$"
_SCHEMA = pa.schema([ANNOTATION_SCHEMA.field(name) for name in _COLUMNS])


@dataclass(frozen=True, slots=True)
class ImageIdentity:
    """The identity of one sample. ``phash`` is None for a picture without one: blank, or beyond what is decoded."""

    key: str
    sha256: bytes
    phash: int | None
    caption_sha256: bytes


def identified(image: CaptionedImage) -> CaptionedImage:
    """The sample with its picture's SHA-256 and perceptual hash; unchanged where it has them already."""
    if image.sha256 is not None:
        return image
    return replace(image, sha256=hashlib.sha256(image.image).hexdigest(), phash=phash_text(image.image))


def image_identities(store: Store, manifests: Sequence[ManifestSummary]) -> Iterator[Iterator[ImageIdentity]]:
    """For each unit, in order, the identities of its samples, in order. ValueError where its table of boxes cannot be
    read, or its shard does not hold what the manifest says."""
    tables = read_whole_tables(store, [manifest.unit for manifest in manifests], _SCHEMA)
    for manifest, stored in zip(manifests, tables, strict=True):
        yield _of_unit(store, manifest, _first_rows(stored.table))


def _of_unit(store: Store, manifest: ManifestSummary, rows: pa.Table) -> Iterator[ImageIdentity]:
    if rows.num_rows != manifest.samples or not _tells_all(rows):
        yield from _from_shard(store, manifest.unit, range(manifest.samples))
        return
    without = [row for row, known in enumerate(rows["image_phash"].is_valid().to_pylist()) if not known]
    hashed = dict(zip(without, _from_shard(store, manifest.unit, without), strict=True)) if without else {}
    keys, digests, hashes, captions = (rows[name].to_pylist() for name in _COLUMNS)
    for row, key in enumerate(keys):
        if row in hashed:
            yield hashed[row]
        else:
            yield ImageIdentity(key, bytes.fromhex(digests[row]), int(hashes[row], 16), bytes.fromhex(captions[row]))


def _tells_all(rows: pa.Table) -> bool:
    """Whether every digest is one; a picture may have no hash."""
    digests = (pc.match_substring_regex(rows[name], _DIGEST) for name in ("image_sha256", "caption_sha256"))
    hashes = pc.match_substring_regex(rows["image_phash"], _HASH)
    return all(pc.all(one, skip_nulls=False).as_py() for one in digests) and bool(pc.all(hashes).as_py())


def _first_rows(table: pa.Table) -> pa.Table:
    """The first row of each sample in a table of boxes, whose samples stand in the order of the shard."""
    if table.num_rows < 2:
        return table
    keys = table["key"].combine_chunks()
    begins = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1)).to_numpy(zero_copy_only=False)
    return table.filter(pa.array(np.concatenate([[True], begins])))


def _from_shard(store: Store, unit: int, rows: range | list[int]) -> Iterator[ImageIdentity]:
    """Identities from a shard's labels. Where labels lack a perceptual hash, it is computed, once for each picture."""
    computed: dict[str, int | None] = {}
    with ShardReader(store, unit) as reader:
        for row in rows:
            labels = reader.labels(row)
            phash = None if labels.image_phash is None else int(labels.image_phash, 16)
            if phash is None:
                if labels.image_sha256 not in computed:
                    computed[labels.image_sha256] = perceptual_hash(reader[row].image)
                phash = computed[labels.image_sha256]
            caption = hashlib.sha256(labels.caption.encode()).digest()
            yield ImageIdentity(labels.key, bytes.fromhex(labels.image_sha256), phash, caption)
