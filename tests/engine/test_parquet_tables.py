"""A small Parquet file is one table."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.storage.parquet_tables import read_parquet


def test_its_bytes_give_the_table_with_its_metadata_or_some_of_its_columns() -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]}).replace_schema_metadata({"made": "by hand"})
    file = io.BytesIO()
    pq.write_table(table, file)
    assert read_parquet(file.getvalue()).equals(table, check_metadata=True)
    assert read_parquet(file.getvalue(), ["b"]).to_pydict() == {"b": ["x", None]}


def test_what_is_no_parquet_file_is_arrows_error() -> None:
    with pytest.raises(pa.ArrowInvalid):
        read_parquet(b"no table")
