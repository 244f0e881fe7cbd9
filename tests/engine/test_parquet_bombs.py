"""Parquet files of a few kilobytes whose rows say megabytes each: memory is taken for one row, not for all of them."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from killed_jobs import call_apart
from source_outcomes import read_units, reasons

from engine.sources import open_source
from schemas.recipes import ParquetSource

ROWS, CELL_BYTES = 24, 20 << 20
BOUND_BYTES = 10 * CELL_BYTES


def written(folder: Path, **large: bytes | str) -> str:
    """A file whose columns have the same value in every row, stored once."""
    columns: dict[str, Any] = {"image": [b"\xff\xd8\xff"] * ROWS, "caption": ["a dog"] * ROWS, "id": range(ROWS)}
    for name, value in large.items():
        columns[name] = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), [value])
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd", store_schema=False)  # or it says "dictionary"
    assert path.stat().st_size < 10_000
    return str(path)


def outcomes_and_growth(uri: str, fields: dict[str, Any]) -> tuple[set[str], int]:
    """The reasons of a source's rows, and by how many bytes the process grew while they were read."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = set(reasons(read_units(open_source(ParquetSource(uri=uri, **fields)), ROWS)))
    return found, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


@pytest.mark.parametrize(
    ("large", "fields", "reason"),
    [
        ({"image": b"\xff\xd8\xff" + bytes(CELL_BYTES)}, {"max_image_bytes": 1 << 20}, "image_too_large"),
        ({"id": "k" * CELL_BYTES}, {"key_column": "id"}, "key_invalid"),
        ({"caption": "a dog" * (CELL_BYTES // 5)}, {}, "caption_too_long"),
    ],
    ids=["pictures", "keys", "captions"],
)
def test_what_is_too_large_is_a_reject_and_only_one_is_in_memory(
    tmp_path: Path, large: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    found, growth = call_apart(outcomes_and_growth, written(tmp_path, **large), fields)
    assert found == {reason}
    assert growth < BOUND_BYTES


def forged(folder: Path, before: bytes, after: bytes) -> str:
    """A file of three rows in one group, in whose footer ``after`` stands where ``before`` does, which is once."""
    table = pa.table({"image": [b"\xff\xd8\xff"] * 3, "caption": ["a dog", None, "a cat"]})
    pq.write_table(table, folder / "a.parquet", store_schema=False)
    content = (folder / "a.parquet").read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = content[start:-8]
    assert footer.count(before) == 1
    footer = footer.replace(before, after)
    (folder / "a.parquet").write_bytes(content[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    return str(folder / "a.parquet")


def test_a_footer_that_does_not_hold_ends_no_process(tmp_path: Path) -> None:
    """It says of a column that nothing is missing in it, and how much is: Arrow aborts where it is asked for that."""
    uri = forged(tmp_path, b"\x25\x02\x18\x07caption", b"\x25\x00\x18\x07caption")
    assert call_apart(outcomes_and_growth, uri, {})[0] == {"row_group_broken"}


@pytest.mark.parametrize("sign", [b"\xfe", b"\xff"], ids=["many", "less than none"])
def test_a_footer_that_claims_rows_without_end_is_an_error_in_one_line(tmp_path: Path, sign: bytes) -> None:
    uri = forged(tmp_path, b"\x16\x06\x26\x08", b"\x16" + sign + b"\xff" * 7 + b"\x01\x26\x08")
    with pytest.raises(ValueError, match=r"a\.parquet is not a Parquet file"):
        open_source(ParquetSource(uri=uri)).units(ROWS)


def test_a_carried_text_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    source = open_source(ParquetSource(uri=written(tmp_path, note="x" * 2_000_000), carry=["note", "id"]))
    assert [one.columns for one in read_units(source, ROWS)] == [{"id": number} for number in range(ROWS)]
