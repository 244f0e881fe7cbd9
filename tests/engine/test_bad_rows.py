"""One bad row is one reject: it takes no other with it, stops no job and is not lost, in any source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_outcomes import outcomes, read_tars, read_units, reasons, told

from engine.sources import open_source
from engine.sources.parquet import Parquet
from schemas.recipes import CocoSource, FolderSource, ParquetSource, UrlsSource
from schemas.records import CaptionedImage

NO_UTF8 = b"caf\xe9"


def texts(values: list[bytes]) -> pa.Array:
    """Strings of bytes that nobody has checked, as careless writers store them."""
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(values, pa.binary()).buffers())


def pictures(web: Any, path: Path, count: int, **columns: Any) -> Path:
    given = {"image": [web.jpeg()] * count, "caption": ["a dog"] * count, **columns}
    pq.write_table(pa.table(given), path, row_group_size=100)
    return path


def read(path: Path, unit_size: int = 1000, **fields: Any) -> list[str]:
    return reasons(read_units(Parquet(ParquetSource.model_validate({"uri": str(path), **fields})), unit_size))


@pytest.mark.parametrize("unit_size", [1000, 30])
@pytest.mark.parametrize("bad", [0, 63, 64, 150])
def test_a_caption_that_is_no_utf8_is_one_row_of_its_row_group(
    web: Any, tmp_path: Path, bad: int, unit_size: int
) -> None:
    captions = [NO_UTF8 if number == bad else b"a dog" for number in range(200)]
    path = pictures(web, tmp_path / "a.parquet", 200, caption=texts(captions))
    expected = ["caption_unreadable" if number == bad else "ok" for number in range(200)]
    assert read(path, unit_size) == expected


def test_a_key_that_is_no_utf8_stops_no_planning(web: Any, tmp_path: Path) -> None:
    path = pictures(web, tmp_path / "a.parquet", 3, id=texts([b"x", NO_UTF8, b"x"]))
    assert read(path, key_column="id") == ["ok", "key_invalid", "key_duplicate"]


def test_a_path_that_is_no_utf8_leaves_the_bytes_beside_it(web: Any, tmp_path: Path) -> None:
    images = pa.StructArray.from_arrays([pa.array([web.jpeg()] * 2), texts([NO_UTF8, b"1.jpg"])], ["bytes", "path"])
    path = pictures(web, tmp_path / "a.parquet", 2, image=images)
    assert read(path) == ["ok", "ok"]
    names = pictures(web, tmp_path / "b.parquet", 2, image=texts([NO_UTF8, b"1.jpg"]))
    (tmp_path / "1.jpg").write_bytes(web.jpeg())
    assert read(names) == ["path_unsafe", "ok"]


def test_a_url_that_is_no_utf8_is_one_row_of_its_list(tmp_path: Path) -> None:
    urls = texts([b"ftp://a/1", b"http://a/" + NO_UTF8, b"ftp://a/3"])
    pq.write_table(pa.table({"url": urls, "caption": ["a dog"] * 3}), tmp_path / "a.parquet")
    assert reasons(outcomes(tmp_path / "a.parquet")) == ["url_invalid", "url_unreadable", "url_invalid"]


@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl"])
def test_a_caption_that_is_no_utf8_is_one_row_of_its_list(tmp_path: Path, ending: str) -> None:
    row = {"tsv": b"ftp://a/1\t%s", "csv": b"ftp://a/1,%s", "jsonl": b'{"url": "ftp://a/1", "caption": "%s"}'}[ending]
    names = {"tsv": [b"url\tcaption"], "csv": [b"url,caption"], "jsonl": []}[ending]
    path = tmp_path / f"list.{ending}"
    path.write_bytes(b"\n".join([*names, row % b"a dog", row % NO_UTF8, row % b"a cat"]))
    assert reasons(outcomes(path)) == ["url_invalid", "caption_unreadable", "url_invalid"]


def test_a_date_that_python_has_not_is_one_row(web: Any, tmp_path: Path) -> None:
    days = pa.array([1, 2**30, 3], pa.date32())
    path = pictures(web, tmp_path / "a.parquet", 3, taken=days)
    keep = {"taken": {"none_of": ["1970-01-04"]}}
    assert read(path, keep=keep) == ["ok", "column_taken_missing", "column_taken_not_wanted"]


def test_a_damaged_column_of_keys_is_a_broken_row_group_and_stops_no_planning(web: Any, tmp_path: Path) -> None:
    names = [f"a-rather-long-name-{number}" for number in range(250)]
    path = pictures(web, tmp_path / "a.parquet", 250, id=names)
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(2)
    content = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(content)
    assert read(path, key_column="id") == [*["ok"] * 100, *["row_group_broken"] * 100, *["ok"] * 50]


def test_numbers_are_keys(web: Any, tmp_path: Path) -> None:
    """COYO's ``id`` is an integer."""
    path = pictures(web, tmp_path / "a.parquet", 4, id=pa.array([841814333321, 7, 7, None], pa.int64()))
    source = open_source(ParquetSource(uri=str(path), key_column="id"))
    keys = [("841814333321", "ok"), ("7", "ok"), ("7", "key_duplicate"), ("000000003", "key_invalid")]
    assert told(read_units(source, 10)) == keys


def test_a_key_that_is_none_repeats_no_other(tmp_path: Path) -> None:
    rows = [{"id": one, "url": "ftp://a/1", "caption": "a dog"} for one in ("k\ud800", "k?", True, 1, "1")]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = outcomes(tmp_path / "x.jsonl", key_column="id")
    assert reasons(found) == ["key_invalid", "url_invalid", "key_invalid", "url_invalid", "key_duplicate"]


@pytest.mark.parametrize("first", [b"\xff\xfe", b"", b"[1]", b"{"])
def test_a_bad_first_line_stops_no_list(tmp_path: Path, first: bytes) -> None:
    good = json.dumps({"url": "ftp://a/1", "caption": "a dog"}).encode()
    (tmp_path / "x.jsonl").write_bytes(first + b"\n" + good + b"\n")
    assert reasons(outcomes(tmp_path / "x.jsonl")) == ["row_unreadable", "url_invalid"]
    (tmp_path / "x.jsonl").write_bytes(first + b"\n")
    with pytest.raises(ValueError, match=r"x\.jsonl is not a list of rows"):
        open_source(UrlsSource(uri=str(tmp_path / "x.jsonl")))


@pytest.mark.parametrize("name", ["n" * 5000 + ".jpg", "loop.jpg", "1.jpg/x.jpg"])
def test_a_name_that_the_filesystem_refuses_is_one_row(web: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "1.jpg").write_bytes(web.jpeg())
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    path = pictures(web, tmp_path / "a.parquet", 2, image=[name, "1.jpg"])
    assert read(path) == ["image_missing", "ok"]


# -------------------------------------------------------------------------------------------------------------- COCO


def coco(folder: Path, web: Any, images: list[Any], annotations: list[Any]) -> Path:
    (folder / "1.jpg").write_bytes(web.jpeg(1))
    (folder / "c.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder / "c.json"


def read_coco(path: Path, **fields: Any) -> list[tuple[str, str]]:
    return told(read_units(open_source(CocoSource(uri=str(path), images=str(path.parent), **fields)), 10))


@pytest.mark.parametrize("captions", ["each", "joined"])
def test_a_caption_that_is_no_utf8_is_one_caption_of_its_json(web: Any, tmp_path: Path, captions: str) -> None:
    images = [{"id": number, "file_name": "1.jpg"} for number in (1, 2)]
    annotations = [{"id": number, "image_id": number, "caption": f"dog {number}"} for number in (1, 2)]
    path = coco(tmp_path, web, images, annotations)
    path.write_bytes(path.read_bytes().replace(b"dog 1", NO_UTF8))
    expected = {
        "each": [("000000001-1", "caption_unreadable"), ("000000002-2", "ok")],
        "joined": [("000000001", "caption_missing"), ("000000002", "ok")],
    }
    assert read_coco(path, captions=captions) == expected[captions]


def test_where_an_image_is_a_sample_one_that_is_none_is_counted(web: Any, tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "1.jpg"}, {"id": 1, "file_name": "2.jpg"}, {"file_name": "3.jpg"}, {"id": 4}, 5]
    path = coco(tmp_path, web, images, [{"id": 1, "image_id": 1, "caption": "A dog."}])
    assert read_coco(path, captions="each") == [("000000001-1", "ok")]
    assert read_coco(path, captions="joined") == [
        ("000000001", "ok"),
        ("000000001", "image_duplicate"),
        ("(image 2)", "image_invalid"),
        ("(image 3)", "image_invalid"),
        ("(image 4)", "image_invalid"),
    ]


def test_a_sample_beside_a_bad_one_keeps_its_own_picture(web: Any, tmp_path: Path) -> None:
    """Contents of files are matched to rows in order: rejects between them move nothing."""
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(web.jpeg(number))
    columns = {"image_path": ["0.jpg", "../x", "2.jpg", "3.jpg"], "caption": ["a", "b", None, "d"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = read_units(open_source(ParquetSource(uri=str(tmp_path / "a.parquet"))), 10)
    kept = [(one.caption, one.image) for one in found if isinstance(one, CaptionedImage)]
    assert kept == [("a", web.jpeg(0)), ("d", web.jpeg(3))]


# ------------------------------------------------------------------------------------------------- tables of a folder


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_caption_that_is_no_utf8_is_one_row_of_a_table_of_pictures(web: Any, tmp_path: Path, ending: str) -> None:
    rows = [(f"{number}.jpg", f"dog {number}") for number in range(3)]
    for name, _ in rows:
        (tmp_path / name).write_bytes(web.jpeg())
    if ending == "csv":
        lines = ["file_name,caption", *(f"{name},{caption}" for name, caption in rows)]
    else:
        lines = [json.dumps({"file_name": name, "caption": caption}) for name, caption in rows]
    table = tmp_path / f"captions.{ending}"
    table.write_bytes("\n".join(lines).encode().replace(b"dog 1", NO_UTF8))
    source = open_source(FolderSource(uri=str(tmp_path), captions=str(table)))
    assert told(read_units(source, 10)) == [("0", "ok"), ("1", "caption_unreadable"), ("2", "ok")]


def test_lines_that_are_no_rows_of_a_table_of_pictures_are_counted(web: Any, tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(web.jpeg())
    good = json.dumps({"file_name": "0.jpg", "caption": "a\u2028dog"}, ensure_ascii=False)
    (tmp_path / "x.jsonl").write_text(f"[1]\n{good}\n{{\n\n")
    source = open_source(FolderSource(uri=str(tmp_path), captions=str(tmp_path / "x.jsonl")))
    assert told(read_units(source, 10)) == [("(row 0)", "row_unreadable"), ("0", "ok"), ("(row 2)", "row_unreadable")]


@pytest.mark.parametrize(
    ("name", "told_of"),
    [("photo.rf.9c", "photo.rf.9c.txt has a second one"), ("may/photo", "'may/photo.jpg': a key has")],
)
def test_a_name_that_makes_no_key_is_told_with_what_to_do(web: Any, tmp_path: Path, name: str, told_of: str) -> None:
    (found,) = read_tars(web.tar_of(tmp_path / "0.tar", [(f"{name}.jpg", web.jpeg()), (f"{name}.txt", b"a dog")]))
    assert told_of in found.message
    assert "pack the" in found.message
