"""What kind of source a plain argument means."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_outcomes import read_tars

from engine.dataset.shard_files import CARD
from engine.sources.guess import guess_source
from schemas.records import Reject


def test_files_are_guessed_by_their_ending_and_parquet_by_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"URL": ["http://a"], "TEXT": ["a"]}), tmp_path / "laion.parquet")
    pq.write_table(pa.table({"image": [b"x"], "url": ["http://a"], "text": ["a"]}), tmp_path / "hf.parquet")
    expected = {
        "scenes": "scenes",
        "a/{00000..00009}.tar": "webdataset",
        "http://host/0.tar?signature=x.json": "webdataset",
        "list.tsv": "urls",
        "list.jsonl": "urls",
        f"{tmp_path}/laion.parquet": "urls",
        f"{tmp_path}/hf.parquet": "parquet",
        "coco/annotations/captions_val2017.json": "coco",
    }
    assert {argument: guess_source(argument)["kind"] for argument in expected} == expected
    assert guess_source("coco/annotations/captions_val2017.json")["images"] == "coco/val2017"
    assert guess_source("annotations/captions_val2017.json")["images"] == "val2017"


def test_a_csv_is_a_list_of_urls_where_it_has_a_column_of_them_and_none_of_files(tmp_path: Path) -> None:
    texts = {"urls": '"URL","TEXT"\n', "pairs": "file_name,caption\n", "both": "url;path;caption\n", "none": ""}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "list.csv").write_text(text)
    found = {name: guess_source(f"{tmp_path}/{name}/list.csv")["kind"] for name in texts}
    assert found == {"urls": "urls", "pairs": "folder", "both": "folder", "none": "folder"}
    assert guess_source(f"{tmp_path}/urls") == {"kind": "urls", "uri": f"{tmp_path}/urls"}


def test_folders_are_guessed_by_their_files_and_tars_go_first(web: Any, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    pq.write_table(pa.table({"url": ["http://a"], "caption": ["a"]}), tmp_path / "a" / "00000.parquet")
    pq.write_table(pa.table({"url": ["http://a"], "caption": ["a"]}), tmp_path / "b" / "00000.parquet")
    web.tar_of(tmp_path / "b" / "00000.tar", web.samples(1))
    (tmp_path / "b" / "preview.jpg").write_bytes(web.jpeg(1))
    (tmp_path / "c" / "list.tsv").write_text("a dog\thttp://a/b\n")
    assert [guess_source(str(tmp_path / name))["kind"] for name in ("a", "b", "c")] == ["urls", "webdataset", "urls"]


def test_what_is_not_clear_or_not_there_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the folder has no file that could be the source"):
        guess_source(str(tmp_path))
    with pytest.raises(ValueError, match=r"--set source\.images=FOLDER"):
        guess_source("captions.json")


def test_a_compressed_tar_is_told_from_a_broken_one(web: Any, tmp_path: Path) -> None:
    packed = gzip.compress(web.tar_of(tmp_path / "a.tar", web.samples(2)).read_bytes())
    (tmp_path / "a.tar.gz").write_bytes(packed)
    with pytest.raises(ValueError, match=r"a\.tar\.gz is not a tar; .*what is compressed has to be unpacked"):
        guess_source(str(tmp_path / "a.tar.gz"))
    (tmp_path / "a.tar").write_bytes(packed)
    (row,) = read_tars(tmp_path / "a.tar")
    assert isinstance(row, Reject)
    assert (row.reason, row.message) == ("tar_broken", "a.tar: the tar is compressed; unpack it, and label it then")


def test_the_folder_of_coco_is_told_with_the_captions_to_choose_from(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        (tmp_path / "annotations" / f"captions_{split}.json").write_text("{}")
    with pytest.raises(ValueError, match=r"captions_train2017\.json or .*captions_val2017\.json"):
        guess_source(str(tmp_path))


def test_pictures_in_folders_of_a_folder_are_found_with_the_table_above_them(web: Any, tmp_path: Path) -> None:
    (tmp_path / "photos" / "2021").mkdir(parents=True)
    (tmp_path / "photos" / "2021" / "a.HEIF").write_bytes(b"")
    photos = str(tmp_path / "photos")
    assert guess_source(photos) == {"kind": "folder", "uri": photos}
    table = tmp_path / "photos" / "metadata.csv"
    table.write_text("file_name,caption\n")
    assert guess_source(photos) == {"kind": "folder", "uri": photos, "captions": str(table)}
    table.write_text("url,caption\n")
    assert guess_source(photos)["kind"] == "urls"
    web.tar_of(tmp_path / "photos" / "0.tar", web.samples(1))
    assert guess_source(photos)["kind"] == "webdataset"


def test_a_dataset_that_was_labelled_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text("{}")
    (tmp_path / "duplicates.parquet").touch()  # of dedupe, and no source
    with pytest.raises(ValueError, match=r"is a dataset with boxes already; its samples are '.*/shards/\*\.tar'"):
        guess_source(str(tmp_path))


def test_what_img2dataset_wrote_is_read_and_not_downloaded_again(web: Any, tmp_path: Path) -> None:
    """Its format ``parquet`` names the column of bytes after the encoding; ``files`` has tables beside folders."""
    for name in ("png", "webp"):
        pq.write_table(pa.table({"url": ["http://a"], "caption": ["a"], name: [b"x"]}), tmp_path / f"{name}.parquet")
        assert guess_source(f"{tmp_path}/{name}.parquet")["kind"] == "parquet"
    files = tmp_path / "files"
    (files / "00000").mkdir(parents=True)
    pq.write_table(pa.table({"url": ["http://a"], "caption": ["a"]}), files / "00000.parquet")
    assert guess_source(str(files))["kind"] == "urls"
    (files / "00000" / "000000000.jpg").write_bytes(web.jpeg(1))
    assert guess_source(str(files)) == {"kind": "folder", "uri": str(files)}
    pq.write_table(pa.table({"file_name": ["00000/000000000.jpg"], "caption": ["a"]}), files / "00000.parquet")
    assert guess_source(str(files))["kind"] == "parquet"


def test_an_imagefolder_of_hugging_face_is_pictures_whatever_its_table(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    for name, text in {
        "metadata.jsonl": '{"file_name": "images/a.jpg", "text": "a dog"}\n',
        "t.tsv": "image\ttext\n",
    }.items():
        table = tmp_path / name
        table.write_text(text)
        expected = {"kind": "folder", "uri": str(tmp_path), "captions": str(table)}
        assert guess_source(str(table)) == guess_source(str(tmp_path)) == expected
        table.unlink()


@pytest.mark.parametrize(
    "line", ['{"url": "http://a", "file_name": "a", "text": "a"}', "[1]", "{", '{"image": "a"}', ""]
)
def test_any_other_list_is_one_of_urls(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.jsonl").write_text(line)
    assert guess_source(f"{tmp_path}/list.jsonl")["kind"] == "urls"


def test_a_folder_that_hugging_face_datasets_saved_is_told_with_the_way_to_parquet(tmp_path: Path) -> None:
    (tmp_path / "data-00000-of-00001.arrow").write_bytes(b"")
    with pytest.raises(ValueError, match=r"load_from_disk\('\S+'\)\.to_parquet\('pairs\.parquet'\)"):
        guess_source(str(tmp_path))
    (tmp_path / "dataset_dict.json").write_text("{}")
    with pytest.raises(ValueError, match=r"load_from_disk\('\S+'\)\['train'\]\.to_parquet"):
        guess_source(str(tmp_path))


def test_a_clone_of_a_dataset_repository_is_told_with_its_tables(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"image": [b"x"], "text": ["a"]}), tmp_path / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(ValueError, match=r"there are some in folders of it: '\S+/\*\*/\*\.parquet'"):
        guess_source(str(tmp_path))
