"""Small Parquet files, as bytes.

In: a table, or the bytes of one, never a Python file object. Out: the bytes, or the table, decoded in the calling
thread. Arrow reads files in a pool of threads that live until the process ends; if one of them releases a Python file
after the interpreter has shut down, a command that has done its work aborts
(https://github.com/apache/arrow/issues/34314).
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(content: bytes) -> pa.Table:
    """The table in ``content``. pyarrow.ArrowException or OSError where that is no Parquet file."""
    return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as the bytes of a Parquet file; of an empty one without a row group, since readers trip over one of no
    rows."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        if len(table):
            writer.write_table(table)
    return sink.getvalue()
