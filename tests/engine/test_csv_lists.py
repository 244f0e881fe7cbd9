"""Lists of urls in CSV: quotes hold separators and line ends, and one bad row is one reject."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from source_outcomes import FAST, assert_reads_alike, outcomes, reasons, told

from engine.sources import open_source
from engine.sources.guess import guess_source
from engine.sources.text_records import MAX_RECORD_LINES, next_csv_record
from engine.sources.urls import Urls
from schemas.recipes import UrlsSource
from schemas.records import CaptionedImage

TEXTS = ("a dog", "a dog, and a cat", 'a "big" dog', "a dog\non grass", 'two\r\n"lines",', "ein Hündchen", "")


def written(rows: list[list[str]], **dialect: str) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL if dialect.pop("quoted", "") else csv.QUOTE_MINIMAL, **dialect).writerows(
        rows
    )
    return text.getvalue()


@pytest.mark.parametrize("dialect", [{}, {"quoted": "all"}, {"delimiter": ";"}, {"lineterminator": "\n"}])
@pytest.mark.parametrize("unit_size", [1, 3, 64, 65, 1000])
def test_every_record_is_one_row_whatever_its_quotes_hold(
    tmp_path: Path, dialect: dict[str, str], unit_size: int
) -> None:
    draw = random.Random(0)
    rows = [[f"ftp://a/{number}", draw.choice(TEXTS), str(number)] for number in range(150)]
    for part in range(2):
        content = written([["URL", "TEXT", "id"], *rows[part * 100 : part * 100 + 100]], **dialect)
        (tmp_path / f"{part}.csv").write_text(content, encoding="utf-8-sig", newline="")
    source = Urls(UrlsSource(uri=str(tmp_path), key_column="id", **FAST))
    found = [row for ref in source.units(unit_size) for row in source._table.read(ref)]
    assert [[row.cells["URL"], row.cells["TEXT"], row.key] for row in found] == rows


def test_a_list_is_downloaded_by_its_columns(bad_server: Any, tmp_path: Path) -> None:
    url = bad_server.url("/picture/1")
    (tmp_path / "x.csv").write_text(f'"id","url","caption"\n"k1","{url}","a dog,\na ""cat"""\n')
    (one,) = outcomes(tmp_path / "x.csv", key_column="id", carry=["id"])
    assert isinstance(one, CaptionedImage)
    assert (one.key, one.caption, one.locator, one.columns) == ("k1", 'a dog,\na "cat"', url, {"id": "k1"})


def test_a_bad_row_is_one_reject_and_the_next_one_is_read(tmp_path: Path) -> None:
    rows = {
        b'ftp://a/1,"a quote that nothing closes': "row_unreadable",
        b'ftp://a/2,"a dog"': "url_invalid",
        b'ftp://a/3,"a dog" on grass': "row_unreadable",
        b"ftp://a/4,a dog, and a cat": "row_invalid",
        b"ftp://a/5,caf\xe9": "caption_unreadable",
        b'ftp://a/6,a 12" dog': "url_invalid",
        b"ftp://a/7": "caption_missing",
        b"": "url_missing",
        b"ftp://a/8," + b"x" * 1_000_000: "row_unreadable",
        b"ftp://a/9," + b'"' + b"x" * 200_000 + b'"': "row_unreadable",
        b'"ftp://a/10","a dog\non grass"': "url_invalid",
    }
    path = tmp_path / "list.csv"
    path.write_bytes(b"\n".join([b"url,caption", *rows]))
    for unit_size in (1, 4, 100):
        assert reasons(outcomes(path, unit_size)) == list(rows.values())


def test_a_quote_is_looked_for_in_so_many_lines_and_no_further() -> None:
    text = b'a,"' + b"x\n" * MAX_RECORD_LINES + b'"\n'
    file = io.BytesIO(text)
    assert next_csv_record(file, ",") == b'a,"x\n'
    assert next_csv_record(io.BytesIO(text.replace(b"x\n", b"", 1)), ",") == text.replace(b"x\n", b"", 1)


def test_a_csv_without_names_is_read_by_what_its_first_line_holds(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('"a dog, a cat",http://\na cat,http://\n')
    assert told(outcomes(tmp_path / "x.csv")) == [("000000000", "url_invalid"), ("000000001", "url_invalid")]


def test_files_of_two_layouts_and_of_two_kinds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("url,caption\nftp://a/1,a dog\n")
    (tmp_path / "1.csv").write_text("caption,url\na dog,ftp://a/1\n")
    with pytest.raises(
        ValueError, match=r"1\.csv does not begin with the line of names of the first file, url, caption"
    ):
        open_source(UrlsSource(uri=str(tmp_path)))
    (tmp_path / "1.csv").rename(tmp_path / "1.jsonl")
    (tmp_path / "1.jsonl").write_text(json.dumps({"url": "ftp://a/1", "caption": "a dog"}))
    with pytest.raises(ValueError, match="a list is of one of"):
        open_source(UrlsSource(uri=str(tmp_path)))


@pytest.mark.parametrize("name", ["list.csv", "list.tsv"])
def test_a_list_of_a_web_server_without_ranges_and_of_an_object_store_is_read_as_a_local_one(
    bad_server: Any, s3_bucket: str, name: str
) -> None:
    import s3fs

    path = bad_server.root / name
    separator = "," if name == "list.csv" else "\t"
    path.write_text(
        written([["url", "caption"], *([f"ftp://a/{n}", "a dog"] for n in range(150))], delimiter=separator)
    )
    s3fs.S3FileSystem().put(str(path), f"{s3_bucket}/{name}")
    for uri in (bad_server.url(f"/file/{name}"), f"{s3_bucket}/{name}"):
        assert guess_source(uri) == {"kind": "urls", "uri": uri}
        assert_reads_alike(UrlsSource(uri=str(path)), UrlsSource(uri=uri), 70)
