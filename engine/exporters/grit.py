"""Writer of GRIT's Parquet, the format of Kosmos-2's grounded captions: ``grit.parquet``.

In: samples. Out: a row for each, with ``noun_chunks``, a list of ``[start, end, x1, y1, x2, y2, score]``: half-open
characters of the caption, corners as shares of the picture; human boxes have score 1. ``ref_exps`` is empty, since
phrases are not widened to expressions here, and so are the CLIP similarities, which are unknown. The column
``file_name`` is our addition: GRIT has urls. Source: the dataset card of zzliang/GRIT on the Hugging Face hub, which is
loaded by `datasets` or pyarrow alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.artifacts import Store
from schemas.shards import DatasetCard, SampleLabels

ROWS_AT_ONCE = 1000
GRIT_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("clip_similarity_vitb32", pa.float64()),
        ("clip_similarity_vitl14", pa.float64()),
        ("id", pa.int64()),
        ("url", pa.string()),
        ("caption", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("noun_chunks", pa.list_(pa.list_(pa.float64()))),
        ("ref_exps", pa.list_(pa.list_(pa.float64()))),
        ("file_name", pa.string()),
    ]
)


@contextmanager
def grit(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``grit.parquet``."""
    numbers, rows = count(), list[dict[str, Any]]()
    with store.writing("grit.parquet") as file, pq.ParquetWriter(file, GRIT_SCHEMA, compression="snappy") as table:

        def flush() -> None:
            table.write_table(pa.Table.from_pylist(rows, GRIT_SCHEMA))
            rows.clear()

        def add(labels: SampleLabels, file_name: str) -> None:
            rows.append(_row(labels, file_name, next(numbers)))
            if len(rows) >= ROWS_AT_ONCE:
                flush()

        yield add
        if rows:
            flush()


def _row(labels: SampleLabels, file_name: str, number: int) -> dict[str, Any]:
    chunks = []
    for box in labels.boxes:
        phrase, (x1, y1, x2, y2) = labels.phrases[box.phrase], box.box_xyxy
        shares = [x1 / labels.width, y1 / labels.height, x2 / labels.width, y2 / labels.height]
        chunks.append([phrase.start, phrase.end, *shares, box.score])
    return {
        "key": labels.key,
        "id": number,
        "url": labels.locator if labels.locator.startswith(("http://", "https://")) else None,
        "caption": labels.caption,
        "width": labels.width,
        "height": labels.height,
        "noun_chunks": chunks,
        "ref_exps": [],
        "file_name": file_name,
    }
