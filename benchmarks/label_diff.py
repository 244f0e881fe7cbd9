"""How a comparison of two labellings grows: ``python benchmarks/label_diff.py [--boxes 10000000]``.

Two datasets' tables of boxes are drawn by DuckDB (the second lacks a tenth of the boxes, and a tenth is moved),
then compared as ``glip-engine diff`` does. Prints the time and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from own_process import peak_mib

from engine.artifacts import Store
from engine.box_tables import MEMORY_LIMIT, add_boxes, box_database
from engine.label_diff import LabelComparison
from engine.shards import annotations_name

BOXES_A_SHARD = 500_000
PHRASES_A_SAMPLE, BOXES_A_PHRASE = 4, 3
ROWS = f"""
SELECT 'key' || sample AS key, phrase::INTEGER AS phrase, 'a dog' AS phrase_text, 'head' || (sample * 7 + phrase) % 5000
       AS head_lemma, (phrase * 10)::INTEGER AS start, (phrase * 10 + 5)::INTEGER AS "end",
       (place * 100 + shift)::FLOAT AS x1, 0::FLOAT AS y1, (place * 100 + 90 + shift)::FLOAT AS x2, 90::FLOAT AS y2,
       (id % 97 / 100)::FLOAT AS score, NULL::FLOAT AS agreement, 640::INTEGER AS width, 480::INTEGER AS height,
       'caption' || sample AS caption_sha256, 'image' || sample AS image_sha256
FROM (
    SELECT i AS id, i // {PHRASES_A_SAMPLE * BOXES_A_PHRASE} AS sample,
           i // {BOXES_A_PHRASE} % {PHRASES_A_SAMPLE} AS phrase, i % {BOXES_A_PHRASE} AS place,
           CASE WHEN $after AND i % 10 = 1 THEN 10 ELSE 0 END AS shift
    FROM range($first, $last) AS rows(i) WHERE NOT ($after AND i % 10 = 0)
)
"""


def write_tables(store: Store, boxes: int, after: bool) -> list[int]:
    """The tables of one dataset; returns the numbers of its units."""
    Path(store.path("annotations")).mkdir(parents=True)
    units = list(range(-(-boxes // BOXES_A_SHARD)))
    with duckdb.connect() as connection:
        for unit in units:
            limits = {"first": unit * BOXES_A_SHARD, "last": min(boxes, (unit + 1) * BOXES_A_SHARD), "after": after}
            connection.execute(f"COPY ({ROWS}) TO '{store.path(annotations_name(unit))}' (COMPRESSION zstd)", limits)
    return units


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, default=10_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="label-diff-") as folder:
        stores = Store(Path(folder) / "before"), Store(Path(folder) / "after")
        units = [write_tables(store, options.boxes, after) for store, after in zip(stores, (False, True), strict=True)]
        started = time.perf_counter()
        with box_database() as (connection, temporary):
            for view, store, numbers in zip(("before", "after"), stores, units, strict=True):
                add_boxes(connection, temporary, view, store, numbers, None)
            compared = LabelComparison(connection, "key")
            counts = {"images": compared.images(), "phrases": compared.phrases(), "boxes": compared.boxes()}
            compared.bands(), compared.score_shift(), compared.heads()
        seconds = time.perf_counter() - started
    for name, count in counts.items():
        print(f"{name}: {count}")
    print(f"{options.boxes:,} a side: {seconds:.1f} s, peak {peak_mib():,.0f} MiB (DuckDB's limit {MEMORY_LIMIT})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
