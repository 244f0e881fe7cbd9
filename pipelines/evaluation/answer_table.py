"""``answers/DATASET.parquet`` of an evaluation: a row for each box that was judged, for whoever asks what went wrong.

In: judged boxes. Out: a table that pyarrow, pandas and DuckDB read; boxes in pixels of the stored image.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from engine.artifacts import Store
from engine.metrics.judged import JudgedBox

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        *(pa.field(side, pa.float32(), nullable=False) for side in ("x1", "y1", "x2", "y2")),
        pa.field("overlap", pa.float32(), nullable=False),
        pa.field("verdict", pa.dictionary(pa.int8(), pa.string()), nullable=False),
    ]
)


def answers_name(dataset: str) -> str:
    """Where the table of a dataset lies in the folder of the evaluation."""
    return f"answers/{dataset}.parquet"


def write_answers(store: Store, dataset: str, judged: Sequence[JudgedBox]) -> None:
    """Write the table of one dataset; columns as the fields of :class:`~engine.metrics.judged.JudgedBox`."""
    columns = [
        [one.key for one in judged],
        [one.number for one in judged],
        [one.name for one in judged],
        [one.rank for one in judged],
        [one.score for one in judged],
        *([one.box_xyxy[side] for one in judged] for side in range(4)),
        [one.overlap for one in judged],
        pa.array([one.verdict for one in judged], pa.string()).dictionary_encode(),
    ]
    arrays = [
        pa.array(column, field.type) if isinstance(column, list) else column.cast(field.type)
        for column, field in zip(columns, SCHEMA, strict=True)
    ]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), file, compression="zstd")
    store.write(answers_name(dataset), file.getvalue())
