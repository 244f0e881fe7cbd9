"""Columns of Parquet files in each layout that their writers choose, and those that are no captions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_outcomes import read_units

from engine.sources import open_source
from schemas.recipes import ParquetSource


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), "fixed", "dictionary"])
@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.string_view(), "dictionary"])
def test_bytes_and_texts_of_every_layout_are_read(web: Any, tmp_path: Path, kind: Any, text: Any) -> None:
    images = pa.array([web.jpeg(0)] * 2, pa.binary(len(web.jpeg(0))) if kind == "fixed" else pa.binary())
    images = images.dictionary_encode() if kind == "dictionary" else images if kind == "fixed" else images.cast(kind)
    texts = pa.array(["a dog", None])
    texts = texts.dictionary_encode() if text == "dictionary" else texts.cast(text)
    pq.write_table(pa.table({"image": images, "caption": texts}), tmp_path / "a.parquet")
    first, second = read_units(open_source(ParquetSource(uri=str(tmp_path))), 10)
    assert (first.image, first.caption, second.reason) == (web.jpeg(0), "a dog", "caption_missing")


@pytest.mark.parametrize("captions", [[["a dog", "two dogs"]], [b"a dog"], [{"en": "a dog"}], [1]])
def test_a_column_that_cannot_hold_captions_is_an_error_and_no_job_of_rejects(tmp_path: Path, captions: Any) -> None:
    pq.write_table(pa.table({"image": [b"x"], "caption": captions}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"column 'caption' of .* is .*; a caption is one text"):
        open_source(ParquetSource(uri=str(tmp_path)))
