"""``answers/DATASET.parquet`` of an evaluation: a row for each box that was judged, for whoever asks what went wrong.

In: judged boxes. Out: a table that pyarrow, pandas and DuckDB read; boxes in pixels of the stored image. It is written
row group by row group, so that no more of it lies in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.artifacts import Store
from engine.metrics.judged_boxes import OUTCOMES, JudgedBoxes, JudgedPart, Outcome

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        *(pa.field(side, pa.float32(), nullable=False) for side in ("x1", "y1", "x2", "y2")),
        pa.field("overlap", pa.float32(), nullable=False),
        pa.field("outcome", pa.dictionary(pa.int8(), pa.string()), nullable=False),
    ]
)
ROWS_A_GROUP = 1 << 20  # as pyarrow has it


def answers_name(dataset: str) -> str:
    """The name of a dataset's table in the folder of the evaluation."""
    return f"answers/{dataset}.parquet"


def write_answers(store: Store, dataset: str, judged: JudgedBoxes) -> None:
    """Write the table of one dataset; columns as the fields of its boxes."""
    outcomes = list(judged.outcomes())
    with store.writing(answers_name(dataset)) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for group in _row_groups(judged, outcomes):
            writer.write_table(group, row_group_size=ROWS_A_GROUP)


def _row_groups(boxes: JudgedBoxes, outcomes: Sequence[Outcome]) -> Iterator[pa.Table]:
    """Tables of ``ROWS_A_GROUP`` rows each, and the rest; one without rows where there is no box."""
    waiting = SCHEMA.empty_table()
    for part in boxes.parts:
        waiting = pa.concat_tables([waiting, _table(part, outcomes)])
        while len(waiting) >= ROWS_A_GROUP:
            yield waiting.slice(0, ROWS_A_GROUP).combine_chunks()
            waiting = waiting.slice(ROWS_A_GROUP)
    if len(waiting) or not len(boxes):
        yield waiting.combine_chunks()


def _table(part: JudgedPart, outcomes: Sequence[Outcome]) -> pa.Table:
    numbers = np.array([outcomes.index(one) if one in outcomes else -1 for one in OUTCOMES], dtype=np.int8)
    columns = [
        pa.array(part.keys, pa.string()).take(pa.array(part.sample)),
        part.number,
        pa.array(part.names, pa.string()).take(pa.array(part.name)),
        part.rank,
        part.score.astype(np.float32),
        *part.boxes_xyxy.astype(np.float32).T,
        part.overlap,
        pa.DictionaryArray.from_arrays(pa.array(numbers[part.outcome]), pa.array(outcomes, pa.string())),
    ]
    return pa.Table.from_arrays([pa.array(one) for one in columns], schema=SCHEMA)
