"""The boxes of a dataset as a table of DuckDB, which works out of core; the only file that imports duckdb.

In: committed units, and a selection. Out: a view with the columns of ``ANNOTATION_SCHEMA``, over the tables of the
dataset itself or, where a selection is applied while reading, over temporary tables of what it keeps.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import duckdb
import fsspec
import pyarrow.parquet as pq

from engine.artifacts import Store
from engine.duplicates import Duplicates
from engine.selection import Selection, select_with_reasons
from engine.shards import ShardReader, annotation_table, annotations_name
from schemas.shards import ANNOTATION_SCHEMA, SampleLabels

MEMORY_LIMIT = "1GB"

Connection: TypeAlias = duckdb.DuckDBPyConnection


@contextmanager
def box_database() -> Iterator[tuple[Connection, Path]]:
    """A database in memory that spills to disk, and the temporary folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="glip-engine-") as folder, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(f"SET temp_directory = '{folder}/spill'")
        yield connection, Path(folder)


def add_boxes(
    connection: Connection,
    folder: Path,
    view: str,
    store: Store,
    units: Sequence[int],
    selection: Selection | None,
    duplicates: Duplicates | None = None,
) -> Counter[str]:
    """Make the boxes of ``units`` that the selection keeps (None: all of them) the view ``view``; returns how many each
    of its rules dropped. No unit gives an empty view. Temporary tables lie in ``folder`` under the view's name.
    With a selection go the boxes of ``duplicates`` too, as ``sample_duplicate``."""
    dropped: Counter[str] = Counter()
    if selection is None:
        files = _stored_tables(connection, store, units)
    else:
        (folder / view).mkdir()
        left_out = duplicates or Duplicates()
        files = [_write_selected(store, unit, selection, left_out.of(unit), folder / view, dropped) for unit in units]
    if not files:
        empty = folder / f"{view}-empty.parquet"
        pq.write_table(ANNOTATION_SCHEMA.empty_table(), empty)
        files = [str(empty)]
    connection.read_parquet(files).create_view(view)
    return dropped


def _stored_tables(connection: Connection, store: Store, units: Sequence[int]) -> list[str]:
    if store.is_local:
        return [store.path(annotations_name(unit)) for unit in units]
    protocol = store.root.partition("://")[0]
    if not connection.filesystem_is_registered(protocol):
        connection.register_filesystem(fsspec.filesystem(protocol))
    return [f"{store.root}/{annotations_name(unit)}" for unit in units]


def _write_selected(
    store: Store, unit: int, selection: Selection, left_out: frozenset[int], folder: Path, dropped: Counter[str]
) -> str:
    """The unit's boxes that the selection keeps, as a table of the dataset's own columns; none of rows ``left_out``."""
    kept: list[SampleLabels] = []
    reader = ShardReader(store, unit)
    try:
        for row in range(len(reader)):
            stored = reader.labels(row)
            if row in left_out:
                dropped["sample_duplicate"] += len(stored.boxes)
                continue
            labels, reasons = select_with_reasons(stored, selection)
            kept.append(labels)
            dropped.update(reasons)
    finally:
        reader.close()
    path = folder / f"{unit:06d}.parquet"
    pq.write_table(annotation_table(kept), path)
    return str(path)
