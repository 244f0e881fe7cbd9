"""The boxes of a dataset as a table of DuckDB, which works out of core; the only file that imports duckdb.

In: committed units, and a selection. Out: a view with the columns of ``BOX_SCHEMA`` at least, over the tables of the
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
import pyarrow as pa
import pyarrow.parquet as pq

from engine.artifacts import Store
from engine.box_batches import BOX_SCHEMA, box_columns, check_stored_agreement, joined, numbered
from engine.dataset.annotation_tables import StoredTable, read_whole_tables
from engine.selecting.rules import select_rows
from engine.selection import Selection
from engine.shards import annotations_name
from schemas.shards import ANNOTATION_SCHEMA

MEMORY_LIMIT = "1GB"

Connection: TypeAlias = duckdb.DuckDBPyConnection


@contextmanager
def box_database(*, on_disk: bool = False, memory_limit: str = MEMORY_LIMIT) -> Iterator[tuple[Connection, Path]]:
    """A database that spills to disk, and the temporary folder that goes with it: in memory, or in a file of that
    folder, which compresses what is kept for long."""
    with tempfile.TemporaryDirectory(prefix="glip-engine-") as folder:
        settings = {"memory_limit": memory_limit, "temp_directory": f"{folder}/spill"}
        where = f"{folder}/boxes.duckdb" if on_disk else ":memory:"
        with duckdb.connect(where, config={**settings, "preserve_insertion_order": not on_disk}) as connection:
            [(has_bar,)] = connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()
            if has_bar:  # as where somebody types; a notebook without ipywidgets cannot set it, and has none
                connection.execute("SET enable_progress_bar = false")
            yield connection, Path(folder)


@contextmanager
def naming_damage() -> Iterator[None]:
    """Turn DuckDB's errors about tables that are damaged, or that their store does not give, into a RuntimeError of one
    line."""
    try:
        yield
    except duckdb.Error as error:
        if str(error).startswith("Traceback"):  # of the store's client; DuckDB adds its SQL
            fault = str(error).partition("\n\nLINE")[0].rpartition("\n")[2]
            raise RuntimeError(
                f"a table of the dataset cannot be read ({fault}); see that the store answers and that the credentials "
                "have not expired, and try again"
            ) from None
        what = " ".join(str(error).split())[:300]
        raise RuntimeError(f"a table of the dataset cannot be asked ({what}); run `glip-engine verify`") from None


def add_boxes(
    connection: Connection, folder: Path, view: str, store: Store, units: Sequence[int], selection: Selection | None
) -> None:
    """Make a view named ``view`` of the boxes of ``units`` that the selection keeps (None: all of them). No unit gives
    an empty view. Temporary tables lie in ``folder`` under the view's name.

    The boxes are the teacher's, for comparing teachers: duplicates are included, reviewers' verdicts are not applied.
    ValueError where a table is damaged, or lacks a column that the selection reads. Without a selection damage is found
    later, when the view is read: RuntimeError as of :func:`naming_damage`.
    """
    if selection is None:
        files = stored_tables(connection, store, units)
    else:
        (folder / view).mkdir()
        files = list(_write_selected(store, units, selection, folder / view))
    if not files:
        empty = folder / f"{view}-empty.parquet"
        pq.write_table(ANNOTATION_SCHEMA.empty_table(), empty)
        files = [str(empty)]
    with naming_damage():
        connection.read_parquet(files).create_view(view)


def stored_tables(connection: Connection, store: Store, units: Sequence[int]) -> list[str]:
    """The annotation tables of ``units`` as DuckDB reads them, in order, from a folder or an object store."""
    if store.is_local:
        return [store.path(annotations_name(unit)) for unit in units]
    protocol = store.root.partition("://")[0]
    if not connection.filesystem_is_registered(protocol):
        connection.register_filesystem(fsspec.filesystem(protocol))
    return [f"{store.root}/{annotations_name(unit)}" for unit in units]


def _write_selected(store: Store, units: Sequence[int], selection: Selection, folder: Path) -> Iterator[str]:
    """The boxes that the selection keeps, as tables of some hundred thousand boxes."""
    for number, (table, image) in enumerate(map(numbered, joined(_checked_tables(store, units, selection)))):
        path = folder / f"{number:06d}.parquet"
        if len(table):
            table = table.filter(pa.array(select_rows(box_columns(table, image), selection)[0]))
        pq.write_table(table, path)
        yield str(path)


def _checked_tables(store: Store, units: Sequence[int], selection: Selection) -> Iterator[StoredTable]:
    for stored in read_whole_tables(store, units, BOX_SCHEMA):
        check_stored_agreement(stored, selection, f"{store.root}/{annotations_name(stored.unit)}")
        yield stored
