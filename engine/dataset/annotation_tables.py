"""The annotation tables of a dataset, read whole or told of: file by file, in order, a few ahead, columns pruned.

In: a store and units. Out: for each unit, in order, its table with the columns asked for, or what is wrong with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from engine.artifacts import READS_AT_ONCE, Store

LOCAL_READS_AT_ONCE = 2
MAX_TABLE_BYTES = 1 << 32


class TableFault(NamedTuple):
    """Why a table cannot be read."""

    problem: str


class StoredTable(NamedTuple):
    """A table of one unit."""

    unit: int
    table: pa.Table


def read_unit_tables(
    store: Store, names: Sequence[tuple[int, str]], schema: pa.Schema
) -> Iterator[tuple[int, StoredTable | TableFault]]:
    """The files ``names`` (unit, path in the store) as tables of ``schema``, in order.

    A file that is missing, broken, or has other columns comes as its fault. Errors of the store itself are raised.
    """
    at_once = LOCAL_READS_AT_ONCE if store.is_local else READS_AT_ONCE
    waiting: deque[tuple[int, Future[StoredTable | TableFault]]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for unit, name in names:
                waiting.append((unit, pool.submit(_read, store, unit, name, schema)))
                if len(waiting) > 2 * at_once:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _read(store: Store, unit: int, name: str, schema: pa.Schema) -> StoredTable | TableFault:
    try:
        with _opened(store, name, schema) as file:
            lacking = [column for column in schema.names if column not in file.schema_arrow.names]
            if lacking:
                return TableFault(f"it has no column {', '.join(lacking)}: it is of another format")
            stored = file.read(columns=schema.names, use_threads=False)
        columns = [as_type(stored[field.name], field.type) for field in schema]
        return StoredTable(unit, pa.Table.from_arrays(columns, schema=schema))
    except FileNotFoundError:
        return TableFault("it is missing")
    except (pa.ArrowException, OSError, ValueError) as error:
        return TableFault(f"it cannot be read as a table: {' '.join(str(error).split())[:200]}")


def _opened(store: Store, name: str, schema: pa.Schema) -> pq.ParquetFile:
    """Texts as dictionaries: a caption's phrases repeat with every box."""
    source = store.path(name) if store.is_local else pa.BufferReader(store.read(name, MAX_TABLE_BYTES))
    metadata = pq.read_metadata(source)
    present = set(metadata.schema.names)
    texts = [field.name for field in schema if pa.types.is_dictionary(field.type) and field.name in present]
    return pq.ParquetFile(source, metadata=metadata, read_dictionary=texts)


def as_type(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """The column in another type; texts become dictionaries where that is wanted."""
    if pa.types.is_dictionary(wanted) and not pa.types.is_dictionary(column.type):
        column = column.cast(wanted.value_type).dictionary_encode()
    return column.cast(wanted)
