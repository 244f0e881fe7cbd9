"""Small Parquet files, as bytes.

In: a table, or the bytes of one, never a file of Python's. Out: the bytes, or the table, decoded in the calling thread.
Arrow reads any file in a pool of threads, which live until the process ends; where one of them lets go of a file of
Python's when the interpreter is gone, a command whose work is done ends as aborted
(https://github.com/apache/arrow/issues/34314).
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(content: bytes) -> pa.Table:
    """The table. pyarrow.ArrowException or OSError where it is none."""
    return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
