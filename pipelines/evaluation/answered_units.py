"""``units/DATASET/SHARD-ROW.parquet`` of an evaluation: what the model answered to one slice of a dataset, unscored.

In: answered units. Out: a table with a row for each sample and its boxes, whose metadata hold the unit's manifest: one
file, whole or absent. An evaluation that was stopped resumes after these units, and one with other protocols asks
nothing anew. The worker makes the file and the driver writes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from engine.artifacts import Store
from engine.metrics.candidates import Candidates
from engine.storage.parquet_tables import parquet_bytes, read_parquet
from schemas.records import Answer, UnitRef
from schemas.shards import ShardManifest

_BOX = [("phrase", pa.int32()), ("box_xyxy", pa.list_(pa.float64(), 4)), ("score", pa.float64())]
CANDIDATE = pa.struct([*_BOX, ("agreement", pa.float64())])
SCHEMA = pa.schema([("key", pa.string()), ("candidates", pa.list_(CANDIDATE))])
MANIFEST = b"glip-engine:manifest"
MAX_BYTES = 1_000_000_000


class AnsweredUnit(ShardManifest):
    """The commit of one unit of an evaluation; ``content`` is its file. ``phrases`` counts the phrases, or classes,
    that have a box. A sample that was refused has no answer."""

    content: bytes


def unit_name(ref: UnitRef) -> str:
    """The name of a slice's file in the folder of the evaluation."""
    dataset, _, shard = ref.uri.rpartition("#")
    return f"units/{dataset}/{shard}-{ref.first_row:06d}.parquet"


def answer_table(answers: Sequence[Answer]) -> pa.Table:
    """Answers as a table of ``SCHEMA``."""
    boxes = [one for answer in answers for one in answer.candidates]
    corners = np.array([one.box_xyxy for one in boxes], dtype=np.float64).reshape(-1)
    columns = [
        pa.array([one.phrase for one in boxes], pa.int32()),
        pa.FixedSizeListArray.from_arrays(pa.array(corners), type=CANDIDATE["box_xyxy"].type),
        pa.array([one.score for one in boxes], pa.float64()),
        pa.array([one.agreement for one in boxes], pa.float64()),
    ]
    ends = np.cumsum([0, *(len(one.candidates) for one in answers)], dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(ends), pa.StructArray.from_arrays(columns, fields=list(CANDIDATE)))
    return pa.Table.from_arrays([pa.array([one.key for one in answers], pa.string()), lists], schema=SCHEMA)


def answered_unit(manifest: ShardManifest, answers: pa.Table) -> AnsweredUnit:
    """The commit of a unit with its answers (a table of ``SCHEMA``)."""
    table = answers.replace_schema_metadata({MANIFEST: manifest.model_dump_json().encode()})
    return AnsweredUnit(**dict(manifest), content=parquet_bytes(table))


def write_unit(store: Store, ref: UnitRef, unit: AnsweredUnit) -> None:
    """Write one unit's file; it replaces one of other work."""
    store.write(unit_name(ref), unit.content, lasting=False)


def read_unit(store: Store, ref: UnitRef, work_digest: str) -> AnsweredUnit | None:
    """The answers to a slice that this very work has already; None where there are none, or not whole."""
    try:
        content = store.read(unit_name(ref), MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        table = read_parquet(content)
        manifest = ShardManifest.model_validate_json((table.schema.metadata or {}).get(MANIFEST, b""))
    except (OSError, ValidationError, pa.ArrowException):  # damaged: it is answered anew
        return None
    if manifest.work_digest != work_digest or table.schema.remove_metadata() != SCHEMA:
        return None
    return AnsweredUnit(**{**dict(manifest), "unit": ref.index, "content": content})


def candidates_by_key(unit: AnsweredUnit) -> dict[str, Candidates]:
    """The candidates of each sample of a unit that was answered."""
    table = read_parquet(unit.content).combine_chunks()
    lists = table["candidates"].combine_chunks()
    boxes = lists.values
    phrases, scores = boxes.field("phrase").to_numpy(), boxes.field("score").to_numpy()
    everything = Candidates(phrases, boxes.field("box_xyxy").values.to_numpy().reshape(-1, 4), scores)
    starts = lists.offsets.to_pylist()
    return {
        key: everything[start:end]
        for key, start, end in zip(table["key"].to_pylist(), starts, starts[1:], strict=False)
    }
