"""The format of a dataset has one owner: writing and reading shards stand side by side here.

In: labelled samples of one unit, in order, with their image bytes. Out: a tar of ``KEY.<ext>`` and ``KEY.json``, the
tables beside it, and the manifest, written last. Any tool opens the result: ``tar``, ``webdataset``, pyarrow, DuckDB.

The tar is a function of the samples alone (no times, owners or random order in it), so equal work gives equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from engine.artifacts import Store, digest_file
from schemas.records import Reject, UnitRef
from schemas.reports import StageCounts
from schemas.shards import (
    ANNOTATION_SCHEMA,
    FORMAT,
    REJECT_SCHEMA,
    DatasetCard,
    FileDigest,
    SampleLabels,
    ShardManifest,
)

CARD = "dataset.json"
MAX_LABEL_BYTES = 20_000_000
_KEY = re.compile(r"[^./\\\x00-\x1f\ud800-\udfff]{1,200}")
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A sample of a dataset: its labels and the encoded picture, byte for byte as the source had it."""

    labels: SampleLabels
    image: bytes
    extension: str


def shard_name(unit: int) -> str:
    return f"shards/{unit:06d}.tar"


def annotations_name(unit: int) -> str:
    return f"annotations/{unit:06d}.parquet"


def rejects_name(unit: int) -> str:
    return f"rejects/{unit:06d}.parquet"


def manifest_name(unit: int) -> str:
    return f"manifests/{unit:06d}.json"


def valid_key(key: str) -> bool:
    """Whether WebDataset keeps the key whole: a dot would split it, a slash or control character leads elsewhere."""
    return _KEY.fullmatch(key) is not None


# ----------------------------------------------------------------------------------------------------------- writing


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

    Samples keep their order. ValueError where a key occurs twice or cannot be a WebDataset key: then nothing is
    committed. An empty ``samples`` gives an empty tar: the unit is done, and its rejects say why it is empty.
    """
    _check_keys(samples)
    store.delete(manifest_name(ref.index))  # of other work: it must not vouch for the files that are now replaced
    with store.writing(shard_name(ref.index)) as file:
        _write_tar(file, samples)
        file.seek(0)
        shard = _file_digest(shard_name(ref.index), file)  # of what was meant, not of what came back
    annotations = annotation_table(sample.labels for sample in samples)
    reject_rows = [{name: getattr(reject, name) for name in REJECT_SCHEMA.names} for reject in rejects]
    files = [
        shard,
        _write_table(store, annotations_name(ref.index), annotations),
        _write_table(store, rejects_name(ref.index), pa.Table.from_pylist(reject_rows, REJECT_SCHEMA)),
    ]
    manifest = ShardManifest(
        unit=ref.index,
        source_uri=ref.uri,
        first_row=ref.first_row,
        rows=ref.rows,
        work_digest=work_digest,
        stages=list(stages),
        samples=len(samples),
        phrases=sum(len(sample.labels.phrases) for sample in samples),
        boxes=annotations.num_rows,
        rejects=len(rejects),
        files=files,
        first_key=samples[0].labels.key if samples else None,
        last_key=samples[-1].labels.key if samples else None,
        seconds=seconds,
        finished_at=finished_at,
        worker=worker,
    )
    store.write(manifest_name(ref.index), _document(manifest))
    return manifest


def write_card(store: Store, card: DatasetCard) -> None:
    """Write ``dataset.json`` whole."""
    store.write(CARD, _document(card))


def _check_keys(samples: Sequence[LabelledImage]) -> None:
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


def _write_tar(file: BinaryIO, samples: Iterable[LabelledImage]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for sample in samples:
            key = sample.labels.key
            _add_member(tar, f"{key}.{sample.extension}", sample.image)
            _add_member(tar, f"{key}.json", _checked_json(sample.labels))


def _checked_json(labels: SampleLabels) -> bytes:
    """The ``.json`` member, read back: what breaks an invariant is not committed."""
    content = sample_json(labels)
    try:
        SampleLabels.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"a sample breaks the format: {error.errors()[0]['msg']}") from None
    return content


def _add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(content))


def sample_json(labels: SampleLabels) -> bytes:
    """The ``.json`` member: UTF-8, fields in the order of the schema, those without a value left out."""
    return labels.model_dump_json(exclude_none=True).encode()


def annotation_table(samples: Iterable[SampleLabels]) -> pa.Table:
    """The boxes of ``samples`` in order, one row each: ``ANNOTATION_SCHEMA``. Built by columns: a row is a box, and
    there are billions of them."""
    columns: dict[str, list[Any]] = {name: [] for name in ANNOTATION_SCHEMA.names}
    for labels in samples:
        boxes = labels.boxes
        phrases = [labels.phrases[box.phrase] for box in boxes]
        columns["phrase"] += [box.phrase for box in boxes]
        columns["phrase_text"] += [phrase.text for phrase in phrases]
        columns["head_lemma"] += [phrase.head_lemma for phrase in phrases]
        columns["start"] += [phrase.start for phrase in phrases]
        columns["end"] += [phrase.end for phrase in phrases]
        for side, name in enumerate(("x1", "y1", "x2", "y2")):
            columns[name] += [box.box_xyxy[side] for box in boxes]
        columns["score"] += [box.score for box in boxes]
        columns["agreement"] += [box.agreement for box in boxes]
        for name in ("key", "width", "height", "image_sha256", "image_phash"):
            columns[name] += [getattr(labels, name)] * len(boxes)
        columns["caption_sha256"] += [hashlib.sha256(labels.caption.encode()).hexdigest()] * len(boxes)
    return pa.Table.from_pydict(columns, ANNOTATION_SCHEMA)


def sample_schema() -> str:
    """The JSON Schema of the ``.json`` member, as it stands in ``docs/sample.schema.json``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **SampleLabels.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"


def _write_table(store: Store, name: str, table: pa.Table) -> FileDigest:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    store.write(name, sink.getvalue())
    sink.seek(0)
    return _file_digest(name, sink)


def _document(document: DatasetCard | ShardManifest) -> bytes:
    return (document.model_dump_json(indent=1) + "\n").encode()


def _file_digest(name: str, file: BinaryIO) -> FileDigest:
    sha256, size = digest_file(file)
    return FileDigest(path=name, sha256=sha256, size=size)


# ----------------------------------------------------------------------------------------------------------- reading


def read_card(store: Store) -> DatasetCard:
    """The dataset's card. ValueError where there is none, or where it is of another format."""
    if not store.exists(CARD):
        raise ValueError(
            f"{store.root} is no dataset: it has no {CARD}. Give the folder that `label` or `import` wrote"
        )
    try:
        return DatasetCard.model_validate_json(store.read(CARD))
    except ValidationError as error:
        raise ValueError(
            f"{store.root}/{CARD} is not of the format {FORMAT}: {error.error_count()} fields are wrong, the first "
            f"{'.'.join(map(str, error.errors()[0]['loc']))!r}: {error.errors()[0]['msg']}"
        ) from None


def read_manifest(store: Store, unit: int) -> ShardManifest | None:
    """The manifest of a unit, or None where the unit is not committed (no manifest, or none that can be read)."""
    try:
        return ShardManifest.model_validate_json(store.read(manifest_name(unit)))
    except (FileNotFoundError, ValidationError):
        return None


def committed_units(store: Store) -> list[int]:
    """Numbers of the units that have a manifest, ascending."""
    return [int(name[:-5]) for name in store.names("manifests") if re.fullmatch(r"\d{6,}\.json", name)]


def read_shard(store: Store, unit: int) -> Iterator[LabelledImage]:
    """The samples of a committed shard, in order, spans and boxes checked.

    ValueError where the unit is not committed, or where the tar does not hold what the manifest says.
    """
    reader = ShardReader(store, unit)
    try:
        for row in range(len(reader)):
            yield reader[row]
    finally:
        reader.close()


class ShardReader:
    """Random access to the samples of one committed shard: ``reader[row]``. Opens the tar once; not for sharing
    between threads."""

    def __init__(self, store: Store, unit: int) -> None:
        manifest = read_manifest(store, unit)
        if manifest is None:
            raise ValueError(f"unit {unit} of {store.root} is not committed (no whole manifest); run `label` again")
        self._where = f"{store.root}/{shard_name(unit)}"
        self._file = store.open(shard_name(unit))
        try:
            self._members = _index_tar(self._file, self._where)
            if len(self._members) != manifest.samples:
                raise ValueError(
                    f"{self._where} holds {len(self._members)} samples, its manifest says {manifest.samples}; "
                    "run `verify`, then `label` again"
                )
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, row: int) -> LabelledImage:
        (extension, image_at, image_size), (labels_at, labels_size) = self._members[row]
        return LabelledImage(self._labels(labels_at, labels_size), self._bytes(image_at, image_size), extension)

    def labels(self, row: int) -> SampleLabels:
        """The labels alone, without reading the picture."""
        return self._labels(*self._members[row][1])

    def extension(self, row: int) -> str:
        """What the picture's member ends in, as ``jpg``."""
        return self._members[row][0][0]

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


_Member = tuple[tuple[str, int, int], tuple[int, int]]


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
                    raise ValueError(f"{where}: after {image.name!r} its labels {key}.json were expected")
                members.append(((extension, image.offset_data, image.size), (labels.offset_data, labels.size)))
    except tarfile.TarError as error:
        raise ValueError(f"{where} is not a whole tar: {error}; run `verify`, then `label` again") from None
    return members
