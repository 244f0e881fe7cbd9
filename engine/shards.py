"""The format of a dataset: it is written here, and read in :mod:`engine.dataset.shard_reader`.

Both, and the names of files, the card and the manifests (:mod:`engine.dataset.shard_files`), are imported from here.

In: labelled samples of one unit, in order, with their image bytes. Out: a tar of ``KEY.<ext>`` and ``KEY.json``, the
tables beside it, and the manifest, written last. Any tool opens the result: ``tar``, ``webdataset``, pyarrow, DuckDB.

The tar is a function of the samples alone (no times, owners or random order in it), so equal work gives equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from engine.artifacts import Store
from engine.dataset.annotation_rows import annotation_table
from engine.dataset.shard_files import (
    CARD,
    annotations_name,
    committed_units,
    key_of_name,
    manifest_name,
    read_card,
    read_manifest,
    read_manifests,
    rejects_name,
    shard_name,
    valid_key,
    write_card,
)
from engine.dataset.shard_reader import LabelledImage, ShardReader, placed_labels, read_labels, read_samples, read_shard
from engine.dataset.tar_writer import TarWriter
from engine.storage.parquet_tables import parquet_bytes
from schemas.records import Reject, UnitRef
from schemas.reports import StageCounts
from schemas.shards import REJECT_SCHEMA, FileDigest, SampleLabels, ShardManifest

__all__ = [
    "CARD",
    "LabelledImage",
    "ShardReader",
    "annotation_table",
    "annotations_name",
    "committed_units",
    "key_of_name",
    "manifest_name",
    "placed_labels",
    "read_card",
    "read_labels",
    "read_manifest",
    "read_manifests",
    "read_samples",
    "read_shard",
    "rejects_name",
    "sample_json",
    "sample_schema",
    "shard_name",
    "valid_key",
    "write_card",
    "write_shard",
]

_EXTENSION = re.compile(r"[a-z0-9]{1,8}")


def write_shard(
    store: Store,
    ref: UnitRef,
    samples: Sequence[LabelledImage],
    rejects: Sequence[Reject],
    *,
    work_digest: str,
    stages: Sequence[StageCounts],
    seconds: float = 0.0,
    finished_at: str = "",
    worker: str = "",
) -> ShardManifest:
    """Write the shard of one unit and commit it with its manifest; returns the manifest.

    Samples keep their order. ValueError where a key occurs twice or cannot be a WebDataset key, or where labels break
    the format: then nothing is committed. An empty ``samples`` gives an empty tar: the unit is done, and its rejects
    say why it is empty. After a power cut the last few units may be missing as a whole, until the card has been
    written.

    If this very work is committed already, that stays and its manifest is returned: a worker that was taken for lost
    may have been first. RuntimeError in a worker whose job no longer holds ``store``.
    """
    _check_samples(samples)
    with store.committing():
        found = _committed(store, ref.index, work_digest)
        if found is not None:
            return found
        files, boxes = _write_files(store, ref.index, samples, rejects)
        manifest = ShardManifest(
            unit=ref.index,
            source_uri=ref.uri,
            first_row=ref.first_row,
            rows=ref.rows,
            work_digest=work_digest,
            stages=list(stages),
            samples=len(samples),
            phrases=sum(len(sample.labels.phrases) for sample in samples),
            boxes=boxes,
            rejects=len(rejects),
            files=files,
            first_key=samples[0].labels.key if samples else None,
            last_key=samples[-1].labels.key if samples else None,
            seconds=seconds,
            finished_at=finished_at,
            worker=worker,
        )
        store.write_document(manifest_name(ref.index), manifest, lasting=False)
    return manifest


def _committed(store: Store, unit: int, work_digest: str) -> ShardManifest | None:
    """The unit's manifest, if it is of this work and its files have the sizes that it states. Any other manifest is
    deleted: it must not vouch for files that are about to be replaced."""
    name = manifest_name(unit)
    if not store.exists(name):
        return None
    found = read_manifest(store, unit)
    same_work = found is not None and found.work_digest == work_digest
    if found is not None and same_work and all(store.size(file.path) == file.size for file in found.files):
        return found
    store.delete(name)
    return None


def _write_files(
    store: Store, unit: int, samples: Sequence[LabelledImage], rejects: Sequence[Reject]
) -> tuple[list[FileDigest], int]:
    """Write the shard and the tables of a unit; returns their digests and the number of boxes. All are written at the
    same time, because what takes longest is waiting for the disk, or the object store, to confirm."""
    with ThreadPoolExecutor(3) as threads:
        shard = threads.submit(_write_tar, store, shard_name(unit), samples)
        rows = [{name: getattr(reject, name) for name in REJECT_SCHEMA.names} for reject in rejects]
        dropped = pa.Table.from_pylist(rows, REJECT_SCHEMA)
        table_of_rejects = threads.submit(_write_table, store, rejects_name(unit), dropped)
        boxes = annotation_table(sample.labels for sample in samples)
        table_of_boxes = threads.submit(_write_table, store, annotations_name(unit), boxes)
    return [shard.result(), table_of_boxes.result(), table_of_rejects.result()], boxes.num_rows


def _check_samples(samples: Sequence[LabelledImage]) -> None:
    """Check what holds between fields once more: labels were checked when they were made, but a copy with other boxes
    or another caption was not."""
    seen: set[str] = set()
    for sample in samples:
        key = sample.labels.key
        if not valid_key(key) or not _EXTENSION.fullmatch(sample.extension) or sample.extension == "json":
            raise ValueError(
                f"key {key!r} with extension {sample.extension!r} cannot be a WebDataset member: keys are 1 to 200 "
                "characters without '.', '/', '\\' and control characters, extensions lower-case letters and digits"
            )
        if key in seen:
            raise ValueError(f"key {key!r} occurs twice in one unit; keys are unique in a dataset")
        seen.add(key)
        try:
            sample.labels.check_spans_and_boxes()
        except ValueError as error:
            raise ValueError(f"a sample breaks the format: {error}") from None


def _write_tar(store: Store, name: str, samples: Iterable[LabelledImage]) -> FileDigest:
    with store.writing(name, lasting=False) as file:
        tar = TarWriter(file)
        for sample in samples:
            key = sample.labels.key
            tar.add(f"{key}.{sample.extension}", sample.image)
            tar.add(f"{key}.json", sample_json(sample.labels))
        tar.end()
    return FileDigest(path=name, sha256=tar.sha256.hexdigest(), size=tar.size)


def sample_json(labels: SampleLabels) -> bytes:
    """The ``.json`` member: UTF-8, fields in the order of the schema, those without a value left out."""
    return labels.model_dump_json(exclude_none=True).encode()


def sample_schema() -> str:
    """The JSON Schema of the ``.json`` member, as it stands in ``docs/sample.schema.json``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **SampleLabels.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"


def _write_table(store: Store, name: str, table: pa.Table) -> FileDigest:
    content = parquet_bytes(table)
    store.write(name, content, lasting=False)
    return FileDigest(path=name, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
