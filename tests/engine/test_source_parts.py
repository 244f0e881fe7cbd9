"""Sources of several files: all are read by one layout, and a file that comes later leaves the others as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.sources import Source, open_source
from engine.sources.urls import Urls
from schemas.recipes import ParquetSource, UrlsSource


def parts_of(source: Source) -> dict[str, str]:
    return {ref.uri: source.part_digest(ref.uri) for ref in source.units(2)}


def write(folder: Path, name: str, keys: list[str], caption: str = "a dog") -> None:
    table = pa.table({"id": keys, "image": [b"\xff\xd8\xff"] * len(keys), "caption": [caption] * len(keys)})
    if name.endswith(".parquet"):
        pq.write_table(table, folder / name)
    else:
        lines = ["id\turl\tcaption", *(f"{key}\thttp://x/{key}\t{caption}" for key in keys)]
        (folder / name).write_text("".join(f"{line}\n" for line in lines))


def source_of(folder: Path, ending: str, **fields: Any) -> Source:
    kind = ParquetSource if ending == "parquet" else UrlsSource
    return open_source(kind(uri=str(folder), **fields))


@pytest.mark.parametrize("ending", ["parquet", "tsv", "csv"])
def test_a_file_that_comes_after_leaves_the_digests_of_the_others(tmp_path: Path, ending: str) -> None:
    write(tmp_path, f"1.{ending}", ["a", "b", "c"])
    write(tmp_path, f"2.{ending}", ["d"])
    before, whole = parts_of(source_of(tmp_path, ending)), source_of(tmp_path, ending).fingerprint()
    assert len(set(before.values())) == 2
    write(tmp_path, f"3.{ending}", ["e"])
    after = source_of(tmp_path, ending)
    assert parts_of(after).items() > before.items()
    assert after.fingerprint() != whole
    write(tmp_path, f"2.{ending}", ["d"], caption="a cat")
    changed = parts_of(source_of(tmp_path, ending))
    assert changed[f"1.{ending}"] == before[f"1.{ending}"]
    assert changed[f"2.{ending}"] != before[f"2.{ending}"]


@pytest.mark.parametrize("ending", ["parquet", "tsv", "csv"])
def test_what_decides_the_keys_of_a_file_is_in_its_digest(tmp_path: Path, ending: str) -> None:
    """Numbers of rows, where a file comes before; and keys that an earlier file has."""
    write(tmp_path, f"1.{ending}", ["a"])
    write(tmp_path, f"2.{ending}", ["b"])
    by_number, by_key = parts_of(source_of(tmp_path, ending)), parts_of(source_of(tmp_path, ending, key_column="id"))
    write(tmp_path, f"0.{ending}", ["z"])
    assert not parts_of(source_of(tmp_path, ending)).items() & by_number.items()
    (tmp_path / f"0.{ending}").unlink()
    write(tmp_path, f"1.{ending}", ["b"])
    assert parts_of(source_of(tmp_path, ending, key_column="id"))[f"2.{ending}"] != by_key[f"2.{ending}"]
    assert parts_of(source_of(tmp_path, ending))[f"2.{ending}"] == by_number[f"2.{ending}"]


@pytest.mark.parametrize("second", ["b\thttp://x/b\ta cat\n", "url\tid\tcaption\nhttp://x/b\tb\ta cat\n", "\xff\n"])
def test_a_tsv_without_the_first_ones_line_of_names_is_refused_and_not_read_one_row_short(
    tmp_path: Path, second: str
) -> None:
    write(tmp_path, "1.tsv", ["a"])
    (tmp_path / "2.tsv").write_text(second, encoding="latin-1")
    with pytest.raises(ValueError, match=r"2\.tsv does not begin with the line of names .*id, url, caption"):
        Urls(UrlsSource(uri=str(tmp_path)))
    (tmp_path / "2.tsv").write_text("")
    assert [ref.rows for ref in Urls(UrlsSource(uri=str(tmp_path))).units(10)] == [1]


def test_columns_that_a_recipe_names_tell_a_line_of_names(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("Where\tWhat\nftp://x/1\ta dog\n")
    source = Urls(UrlsSource(uri=str(tmp_path / "x.tsv"), url_column="Where", caption_column="What"))
    [ref] = source.units(10)
    [only] = source.read(ref)
    assert (ref.rows, only.key) == (1, "000000000")
