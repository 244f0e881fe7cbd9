"""Small Parquet files, read whole.

In: the bytes of one, or the file opened. Out: its table, decoded in the calling thread. Arrow's pool of threads, once
begun, lives until the process ends; where one of them then lets go of a Python file, the interpreter is gone, and a
command whose work is done ends as aborted (https://github.com/apache/arrow/issues/34314).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(source: bytes | BinaryIO, columns: Sequence[str] | None = None) -> pa.Table:
    """The table, or some of its columns. pyarrow.ArrowException or OSError where it is none."""
    file = pq.ParquetFile(pa.BufferReader(source) if isinstance(source, bytes) else source)
    return file.read(columns=columns, use_threads=False)
