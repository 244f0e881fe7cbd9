"""Pictures in a folder, with captions beside them or in a table: every one is a sample or says why not."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from source_outcomes import assert_reads_alike, read_units, told

from engine.artifacts import Store
from engine.sources import open_source
from engine.sources.folder import Folder
from engine.sources.guess import guess_source
from schemas.recipes import FolderSource
from schemas.records import CaptionedImage


@pytest.fixture
def photos(web: Any, tmp_path: Path) -> Path:
    """Three pictures: one with a caption, one with a long name and none, one in capitals."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("a.jpg", "b.v2.jpg", "C.JPG")):
        (folder / name).write_bytes(web.jpeg(number))
    (folder / "a.txt").write_text("\ufeffA dog.\n", encoding="utf-8")
    (folder / "C.txt").write_text("Two cats.", encoding="utf-8")
    return folder


def read_all(uri: Path, unit_size: int = 100, **fields: Any) -> list[Any]:
    return read_units(Folder(FolderSource(uri=str(uri), **fields)), unit_size)


@pytest.mark.parametrize("unit_size", [1, 2, 100])
def test_a_caption_lies_beside_its_picture(web: Any, photos: Path, unit_size: int) -> None:
    found = read_all(photos, unit_size)
    assert told(found) == [("C", "ok"), ("a", "ok"), ("b_v2", "caption_missing")]
    samples = [one for one in found if isinstance(one, CaptionedImage)]
    assert [one.caption for one in samples] == ["Two cats.", "A dog."]
    assert [one.image for one in samples] == [web.jpeg(2), web.jpeg(0)]


@pytest.mark.parametrize(("file", "asked"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_may_be_in_either_of_unicodes_two_ways(web: Any, tmp_path: Path, file: str, asked: str) -> None:
    picture, other = (unicodedata.normalize(form, "caf\u00e9 \ud55c") for form in (file, asked))
    (tmp_path / f"{picture}.jpg").write_bytes(web.jpeg())
    (tmp_path / f"{other}.txt").write_text("A dog.")
    (tmp_path / "table.csv").write_text(f"file_name,caption\n{other}.jpg,A dog.\n", encoding="utf-8")
    assert [outcome for _, outcome in told(read_all(tmp_path))] == ["ok"]
    assert [outcome for _, outcome in told(read_all(tmp_path, captions=f"{tmp_path}/table.csv"))] == ["ok"]


def test_a_name_with_dots_is_a_sample_and_of_two_that_become_one_key_the_second_is_counted(
    web: Any, tmp_path: Path
) -> None:
    names = ("IMG_2020.12.24", "IMG_2020_12.24", "photo.rf.abc")
    for name in names:
        (tmp_path / f"{name}.jpg").write_bytes(web.jpeg())
        (tmp_path / f"{name}.txt").write_text("A dog.")
    found = read_all(tmp_path)
    assert told(found) == [("IMG_2020_12_24", "ok"), ("IMG_2020_12_24", "key_duplicate"), ("photo_rf_abc", "ok")]
    assert [one.locator for one in found if isinstance(one, CaptionedImage)] == [f"{names[0]}.jpg", f"{names[2]}.jpg"]
    assert "'IMG_2020_12.24.jpg': an earlier row, of 'IMG_2020.12.24.jpg', has this key" in found[1].message


def test_pictures_in_folders_of_it_are_samples_too_but_what_lies_hidden_is_not(web: Any, photos: Path) -> None:
    for name in ("2021/x.jpg", "2021/may/y.Jpg", "z.heif", ".thumbnails/t.jpg", "__MACOSX/a.jpg", "._a.jpg", "loop"):
        path = photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "loop":
            path.symlink_to(photos)
            continue
        path.write_bytes(web.jpeg())
        path.with_suffix(".TXT").write_text("A dog.")
    found = [("C", "ok"), ("2021_may_y", "ok"), ("2021_x", "ok"), ("a", "ok"), ("b_v2", "caption_missing"), ("z", "ok")]
    assert sorted(told(read_all(photos))) == sorted(found)
    assert [one.locator for one in read_all(photos) if one.key == "2021_x"] == ["2021/x.jpg"]


def test_the_key_of_a_picture_has_its_folder_whatever_else_lies_there(web: Any, photos: Path) -> None:
    for name in ("a.jpg", "b.v2.jpg", "C.JPG"):
        (photos / name).unlink()
    (photos / "2021").mkdir()
    (photos / "2021" / "x.jpg").write_bytes(web.jpeg())
    (photos / "2021" / "x.txt").write_text("A dog.")
    assert told(read_all(photos)) == [("2021_x", "ok")]


def test_a_link_to_nothing_is_a_reject_of_its_own(photos: Path) -> None:
    (photos / "d.jpg").symlink_to(photos / "not-fetched")
    (photos / "d.txt").write_text("A dog.")
    assert ("d", "image_missing") in told(read_all(photos))


def test_a_caption_that_is_no_utf8_and_one_of_nothing_are_counted_apart(photos: Path) -> None:
    (photos / "a.txt").write_bytes(b"caf\xe9")
    (photos / "b.v2.txt").write_text(" \n")
    assert told(read_all(photos)) == [("C", "ok"), ("a", "caption_unreadable"), ("b_v2", "caption_missing")]


TABLES = {
    "pairs.csv": 'file_name,caption\na.jpg,"A dog, and a ""cat""."\n./b.v2.jpg,A cat.\n',
    "pairs.tsv": 'file_name\tcaption\na.jpg\tA dog, and a "cat".\nb.v2.jpg\tA cat.\n',
    "semicolons.csv": 'file_name; caption\na.jpg; "A dog, and a ""cat""."\nb.v2.jpg; A cat.\n',
    "metadata.jsonl": "".join(
        json.dumps({"file_name": name, "text": text}) + "\n"
        for name, text in (("a.jpg", 'A dog, and a "cat".'), ("b.v2.jpg", "A cat."))
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_names_pictures_and_captions(photos: Path, name: str) -> None:
    (photos / name).write_text(TABLES[name], encoding="utf-8")
    found = read_all(photos, captions=str(photos / name))
    assert [(one.key, one.caption) for one in found] == [("a", 'A dog, and a "cat".'), ("b_v2", "A cat.")]


def test_several_captions_of_a_picture_are_several_samples(photos: Path) -> None:
    table = photos / "pairs.csv"
    table.write_text(f"path,text\n{photos}/a.jpg,A dog.\na.jpg,A brown dog.\n")
    assert told(read_all(photos, captions=str(table))) == [("a", "ok"), ("a_2", "ok")]


def test_bad_rows_are_counted_and_the_rest_is_read(photos: Path) -> None:
    (photos / "notes.txt").write_text("no picture")
    rows = {
        "a.jpg,A dog, and more": "row_invalid",
        "a.jpg,": "caption_missing",
        "a.jpg": "caption_missing",
        "none.jpg,A dog.": "image_missing",
        "../photos/a.jpg,A dog.": "path_unsafe",
        ",A dog.": "path_unsafe",
        "..,A dog.": "path_unsafe",
        "notes.txt,A dog.": "not_an_image",
        "C.JPG,Two cats.": "ok",
    }
    table = photos / "pairs.csv"
    table.write_text("\n".join(["file,caption", *rows]))
    assert [reason for _, reason in told(read_all(photos, captions=str(table)))] == list(rows.values())


def test_of_a_table_rows_are_taken_by_its_columns_and_pictures_of_the_others_are_not_opened(photos: Path) -> None:
    (photos / "C.JPG").unlink()
    table = photos / "pairs.csv"
    table.write_text("file,caption,score\na.jpg,A dog.,0.5\nC.JPG,Two cats.,0.1\na.jpg,,\na.jpg,A dog.,0.9,x\n")
    keep = {"score": {"min": 0.3}}
    found = read_all(photos, captions=str(table), keep=keep, carry=["score"])
    assert told(found) == [
        ("a", "ok"),
        ("C", "column_score_below_min"),
        ("a_2", "column_score_missing"),
        ("(row 3)", "row_invalid"),
    ]
    assert found[0].columns == {"score": "0.5"}
    with pytest.raises(
        ValueError, match=r"source\.carry: the table .* no column 'scores'; did you mean 'score'\? it has"
    ):
        read_all(photos, captions=str(table), carry=["scores"])
    with pytest.raises(ValueError, match=r"give one with source\.captions"):
        read_all(photos, keep=keep)


def test_what_a_table_carries_is_of_its_content(photos: Path) -> None:
    def fingerprint(score: str, **fields: Any) -> str:
        (photos / "pairs.csv").write_text(f"file,caption,score\na.jpg,A dog.,{score}\n")
        return open_source(FolderSource(uri=str(photos), captions=str(photos / "pairs.csv"), **fields)).fingerprint()

    assert fingerprint("0.5") == fingerprint("0.6")
    assert fingerprint("0.5", carry=("score",)) != fingerprint("0.6", carry=("score",))


def test_the_fingerprint_is_of_names_and_captions_wherever_they_lie(photos: Path, tmp_path: Path) -> None:
    here = open_source(FolderSource(uri=str(photos))).fingerprint()
    photos.rename(tmp_path / "elsewhere")
    there = FolderSource(uri=str(tmp_path / "elsewhere"))
    assert open_source(there).fingerprint() == here
    (tmp_path / "elsewhere" / "a.txt").write_text("A wolf.")
    assert open_source(there).fingerprint() != here


WRONG = {
    "url,caption\nhttp://a,A dog.\n": "lists urls",
    "file,words\na.jpg,A dog.\n": "none of the columns caption, text.*source.caption_column",
    "file,caption\n": "no row below",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_table_of_something_else_is_one_line(photos: Path, text: str) -> None:
    (photos / "pairs.csv").write_text(text)
    with pytest.raises(ValueError, match=WRONG[text]):
        read_all(photos, captions=str(photos / "pairs.csv"))


def test_a_folder_and_a_csv_are_guessed(photos: Path) -> None:
    assert guess_source(str(photos)) == {"kind": "folder", "uri": str(photos)}
    table = photos / "metadata.csv"
    table.write_text("file_name,caption\n")
    expected = {"kind": "folder", "uri": str(photos), "captions": str(table)}
    assert guess_source(str(photos)) == expected == guess_source(str(table))
    (photos / "more.csv").write_text("")
    with pytest.raises(ValueError, match="2 tables; name the one"):
        guess_source(str(photos))


def test_a_file_of_another_kind_is_not_taken_for_a_tar(photos: Path) -> None:
    with pytest.raises(ValueError, match="is one picture: `glip-engine ground"):
        guess_source(str(photos / "a.jpg"))
    with pytest.raises(ValueError, match="is not a tar; give tars"):
        guess_source(str(photos / "a.txt"))


def test_pictures_without_any_caption_are_told_where_to_put_them(photos: Path) -> None:
    for name in ("a.txt", "C.txt"):
        (photos / name).unlink()
    with pytest.raises(ValueError, match=r"no caption for any picture of 3; .*--set source\.captions"):
        read_all(photos)


def test_a_folder_of_an_object_store_is_read_as_a_local_one(web: Any, photos: Path, s3_bucket: str) -> None:
    (photos / "2021").mkdir()
    (photos / "2021" / "x.jpg").write_bytes(web.jpeg())
    (photos / "2021" / "x.TXT").write_text("A dog.")
    store = Store(f"{s3_bucket}/photos")
    for file in (path for path in photos.rglob("*") if path.is_file()):
        store.write(str(file.relative_to(photos)), file.read_bytes())
    uri = f"{s3_bucket}/photos"
    assert guess_source(uri) == {"kind": "folder", "uri": uri}
    assert_reads_alike(FolderSource(uri=str(photos)), FolderSource(uri=uri), 2)
