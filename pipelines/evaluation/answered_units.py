"""``units/DATASET/SHARD-ROW.parquet`` of an evaluation: what the model answered to one slice of a dataset, unscored.

In: answered units. Out: a table with a row for each sample and its boxes, whose metadata hold the unit's manifest: one
file, whole or absent. An evaluation that was stopped goes on after them; one by another protocol asks nothing anew.
"""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from engine.artifacts import Store
from schemas.records import Answer, Candidate, UnitRef
from schemas.shards import ShardManifest

_BOX = [("phrase", pa.int32()), ("box_xyxy", pa.list_(pa.float64(), 4)), ("score", pa.float64())]
SCHEMA = pa.schema([("key", pa.string()), ("candidates", pa.list_(pa.struct([*_BOX, ("agreement", pa.float64())])))])
MANIFEST = b"glip-engine:manifest"
MAX_BYTES = 1_000_000_000


class AnsweredUnit(ShardManifest):
    """The commit of one unit of an evaluation. A sample that was refused has no answer; ``phrases`` are those, or the
    classes, that have a box."""

    answers: list[Answer]


def unit_name(ref: UnitRef) -> str:
    """Where the answers to a slice lie in the folder of the evaluation."""
    dataset, _, shard = ref.uri.rpartition("#")
    return f"units/{dataset}/{shard}-{ref.first_row:06d}.parquet"


def write_unit(store: Store, ref: UnitRef, unit: AnsweredUnit) -> None:
    """Write one unit's table, in place of one of other work."""
    manifest = unit.model_dump_json(exclude={"answers"})
    rows = [asdict(one) for one in unit.answers]
    table = pa.Table.from_pylist(rows, SCHEMA.with_metadata({MANIFEST: manifest.encode()}))
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    store.write(unit_name(ref), file.getvalue(), lasting=False)


def read_unit(store: Store, ref: UnitRef, work_digest: str) -> AnsweredUnit | None:
    """What this very work has answered to a slice already; None where that is not there, or not whole."""
    try:
        content = store.read(unit_name(ref), MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        table = pq.read_table(io.BytesIO(content))
        manifest = ShardManifest.model_validate_json((table.schema.metadata or {}).get(MANIFEST, b""))
    except (OSError, ValidationError, pa.ArrowException):  # damaged: it is answered anew
        return None
    if manifest.work_digest != work_digest or table.schema.remove_metadata() != SCHEMA:
        return None
    answers = [Answer(row["key"], tuple(map(_candidate, row["candidates"]))) for row in table.to_pylist()]
    return AnsweredUnit(**{**dict(manifest), "unit": ref.index, "answers": answers})


def _candidate(row: dict[str, Any]) -> Candidate:
    return Candidate(**{**row, "box_xyxy": tuple(row["box_xyxy"])})
