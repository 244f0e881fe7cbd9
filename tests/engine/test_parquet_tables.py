"""A small Parquet file is one table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.storage.parquet_tables import parquet_bytes, read_parquet


def test_its_bytes_give_the_table_with_its_metadata() -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]}).replace_schema_metadata({"made": "by hand"})
    assert read_parquet(parquet_bytes(table)).equals(table, check_metadata=True)


def test_what_is_no_parquet_file_is_arrows_error() -> None:
    with pytest.raises(pa.ArrowInvalid):
        read_parquet(b"no table")


def test_an_empty_table_has_its_schema_and_no_row_group() -> None:
    """Hugging Face ``datasets`` takes the rows of the first row group as its batch size, and fails where it is 0."""
    empty = pa.table({"key": pa.array([], pa.string())})
    content = parquet_bytes(empty)
    assert pq.ParquetFile(pa.BufferReader(content)).metadata.num_row_groups == 0
    assert read_parquet(content) == empty
