"""The boxes of a dataset as a table of DuckDB, which works out of core; the only file that imports duckdb.

In: committed units, and a selection. Out: a view with the columns of ``ANNOTATION_SCHEMA``, over the tables of the
dataset itself or, where a selection is applied while reading, over temporary tables of what it keeps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import duckdb
import fsspec
import pyarrow.parquet as pq

from engine.artifacts import Store
from engine.selection import Selection, select
from engine.shards import ShardReader, annotation_table, annotations_name
from schemas.shards import ANNOTATION_SCHEMA

MEMORY_LIMIT = "1GB"

Connection: TypeAlias = duckdb.DuckDBPyConnection
QueryError: TypeAlias = duckdb.Error


@contextmanager
def box_database(*, on_disk: bool = False, memory_limit: str = MEMORY_LIMIT) -> Iterator[tuple[Connection, Path]]:
    """A database that spills to disk, and the temporary folder that goes with it: in memory, or in a file of that
    folder, which compresses what is kept for long."""
    with (
        tempfile.TemporaryDirectory(prefix="glip-engine-") as folder,
        duckdb.connect(f"{folder}/boxes.duckdb" if on_disk else ":memory:") as connection,
    ):
        connection.execute(f"SET memory_limit = '{memory_limit}'")
        connection.execute(f"SET temp_directory = '{folder}/spill'")
        connection.execute(f"SET preserve_insertion_order = {str(not on_disk).lower()}")
        yield connection, Path(folder)


def add_boxes(
    connection: Connection, folder: Path, view: str, store: Store, units: Sequence[int], selection: Selection | None
) -> None:
    """Make the boxes of ``units`` that the selection keeps (None: all of them) the view ``view``. No unit gives an
    empty view. Temporary tables lie in ``folder`` under the view's name.

    They are the teacher's boxes, to compare teachers by: duplicates are in it, reviewers' verdicts are not."""
    if selection is None:
        files = stored_tables(connection, store, units)
    else:
        (folder / view).mkdir()
        files = [_write_selected(store, unit, selection, folder / view) for unit in units]
    if not files:
        empty = folder / f"{view}-empty.parquet"
        pq.write_table(ANNOTATION_SCHEMA.empty_table(), empty)
        files = [str(empty)]
    connection.read_parquet(files).create_view(view)


def stored_tables(connection: Connection, store: Store, units: Sequence[int]) -> list[str]:
    """The annotation tables of ``units`` as DuckDB reads them, in order, from a folder or an object store."""
    if store.is_local:
        return [store.path(annotations_name(unit)) for unit in units]
    protocol = store.root.partition("://")[0]
    if not connection.filesystem_is_registered(protocol):
        connection.register_filesystem(fsspec.filesystem(protocol))
    return [f"{store.root}/{annotations_name(unit)}" for unit in units]


def _write_selected(store: Store, unit: int, selection: Selection, folder: Path) -> str:
    """The unit's boxes that the selection keeps, as a table of the dataset's own columns."""
    reader = ShardReader(store, unit)
    try:
        kept = [select(reader.labels(row), selection) for row in range(len(reader))]
    finally:
        reader.close()
    path = folder / f"{unit:06d}.parquet"
    pq.write_table(annotation_table(kept), path)
    return str(path)
