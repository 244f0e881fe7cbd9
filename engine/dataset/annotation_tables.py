"""The tables of a dataset's units, read one after another, a few ahead, with only the columns that are asked for.

In: a store and units. Out: for each unit, in order, its table, or what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from engine.artifacts import Store
from engine.dataset.shard_files import annotations_name
from engine.storage.many_at_once import REQUESTS_AT_ONCE, many_at_once

LOCAL_READS_AT_ONCE = 2
MAX_TABLE_BYTES = 1 << 32


class TableFault(NamedTuple):
    """Why the table of one unit cannot be read."""

    unit: int
    problem: str


class StoredTable(NamedTuple):
    """A table of one unit."""

    unit: int
    table: pa.Table


def read_unit_tables(
    store: Store, units: Iterable[int], schema: pa.Schema, name_of: Callable[[int], str] = annotations_name
) -> Iterator[StoredTable | TableFault]:
    """The tables of ``units``, in order, with the columns of ``schema``; ``name_of`` a unit is the table's file.

    A file that is missing, broken, or has other columns comes as its fault. Errors of the store itself are raised.
    """
    threads = LOCAL_READS_AT_ONCE if store.is_local else REQUESTS_AT_ONCE
    return many_at_once(lambda unit: _read(store, unit, name_of(unit), schema), units, threads)


def read_whole_tables(store: Store, units: Iterable[int], schema: pa.Schema) -> Iterator[StoredTable]:
    """The annotation tables of ``units``, in order; ValueError, which names it, where one cannot be read."""
    for stored in read_unit_tables(store, units, schema):
        if isinstance(stored, TableFault):
            where = f"{store.root}/{annotations_name(stored.unit)}"
            raise ValueError(f"{where}: {stored.problem}; `glip-engine verify` shows what else is wrong")
        yield stored


def _read(store: Store, unit: int, name: str, schema: pa.Schema) -> StoredTable | TableFault:
    try:
        with _opened(store, name, schema) as file:
            lacking = [column for column in schema.names if column not in file.schema_arrow.names]
            if lacking:
                return TableFault(unit, f"it has no column {', '.join(lacking)}: it is of another format")
            stored = file.read(columns=schema.names, use_threads=False)
        return StoredTable(unit, in_schema(stored, schema))
    except FileNotFoundError:
        return TableFault(unit, "it is missing")
    except (pa.ArrowException, OSError, ValueError) as error:
        return TableFault(unit, f"it cannot be read as a table: {' '.join(str(error).split())[:200]}")


def _opened(store: Store, name: str, schema: pa.Schema) -> pq.ParquetFile:
    """The table's file, with columns of texts read as dictionaries, because a caption's phrases repeat with every box.
    It is opened from bytes in memory: see engine/storage/parquet_tables.py."""
    source = pa.BufferReader(store.read(name, MAX_TABLE_BYTES))
    metadata = pq.read_metadata(source)
    present = set(metadata.schema.names)
    texts = [field.name for field in schema if pa.types.is_dictionary(field.type) and field.name in present]
    return pq.ParquetFile(source, metadata=metadata, read_dictionary=texts)


def in_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of ``schema``, which the table has, in the types that they have there."""
    return pa.Table.from_arrays([_as_type(table[field.name], field.type) for field in schema], schema=schema)


def _as_type(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """The column in another type; texts become dictionaries where that is wanted."""
    if pa.types.is_dictionary(wanted) and not pa.types.is_dictionary(column.type):
        column = column.cast(wanted.value_type).dictionary_encode()
    return column.cast(wanted)
