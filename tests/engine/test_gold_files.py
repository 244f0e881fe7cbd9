"""Files of a source as others packed them: links lead nowhere, marks and names of other systems are understood."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import pickle
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from coco_sources import box_entry, detection_source
from gold_files import (
    boxes_of,
    flickr_object,
    import_all,
    import_flickr,
    import_odvg,
    import_yolo,
    odvg_detection,
    picture,
    refcoco_files,
    refcoco_reference,
    voc_files,
    xml_object,
)

from engine.gold import import_gold

MAC = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "
BOX = {"bbox": [1, 1, 5, 5], "label": 0, "category": "cat"}


def yolo(folder: Path) -> None:
    import_yolo(folder, "0 0.5 0.5 1 1", "names: [cat]")


def voc(folder: Path) -> None:
    for name in ("one", "two"):
        voc_files(folder, name, xml_object("dog", 1, 1, 5, 5))


def flickr30k(folder: Path) -> None:
    import_flickr(folder, "[/EN#1/people Two men] .", flickr_object("1", 1, 1, 5, 5))
    picture(folder / "flickr30k-images" / "8.jpg")
    for file in ("Annotations/7.xml", "Sentences/7.txt"):
        (folder / file.replace("7", "8")).write_bytes((folder / file).read_bytes())


@pytest.mark.parametrize(
    ("build", "file"),
    [
        (yolo, "labels/one.txt"),
        (voc, "Annotations/two.xml"),
        (flickr30k, "Annotations/8.xml"),
        (flickr30k, "Sentences/8.txt"),
    ],
)
def test_annotations_of_a_picture_are_not_read_through_a_link_out_of_their_folder(
    tmp_path: Path, build: Callable[[Path], None], file: str
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    build(folder)
    before = import_all(build.__name__, folder, out="before")[0]
    secret = tmp_path / "secret"
    (folder / file).rename(secret)
    (folder / file).symlink_to(secret)
    if build is yolo:
        (folder / "labels" / "two.txt").touch()
    card, samples = import_all(build.__name__, folder, out="after")
    assert len(samples) == before.samples - 1
    reason = "annotation_malformed" if file == "Annotations/8.xml" else "annotation_outside_folder"
    assert card.stages[0].dropped == {reason: 1}


def odvg(folder: Path) -> None:
    import_odvg(folder, [odvg_detection([BOX])])
    (folder / "label_map.json").write_text('{"0": "cat"}')


def refcoco(folder: Path) -> None:
    refcoco_files(folder, [refcoco_reference(11, "train", ["the cat"])])


def coco(folder: Path) -> None:
    detection_source(folder.parent, [box_entry(1, 5, [10, 20, 30, 40])])


def of_lists(folder: Path) -> None:
    voc(folder)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "ImageSets" / "Main" / "val.txt").write_text("one\n")
    (folder / "labelmap.txt").write_text("dog:::\n")


def of_classes(folder: Path) -> None:
    yolo(folder)
    (folder / "data.yaml").rename(folder / "classes.txt")


@pytest.mark.parametrize(
    ("format", "build", "file"),
    [
        ("yolo", yolo, "data.yaml"),
        ("yolo", of_classes, "classes.txt"),
        ("voc", of_lists, "labelmap.txt"),
        ("voc", of_lists, "ImageSets/Main/val.txt"),
        ("odvg", odvg, "label_map.json"),
        ("odvg", odvg, "train.jsonl"),
        ("refcoco", refcoco, "refs.json"),
        ("refcoco", refcoco, "instances.json"),
        ("coco", coco, "instances.json"),
    ],
)
def test_lists_and_documents_are_not_read_through_a_link_out_of_their_folder(
    tmp_path: Path, format: str, build: Callable[[Path], None], file: str
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    build(folder)
    split = "val" if file.endswith("val.txt") else None
    secret = tmp_path / "secret"
    (folder / file).rename(secret)
    (folder / file).symlink_to(secret)
    with pytest.raises(ValueError, match=r"is a link that leads out of its folder and is not followed") as raised:
        import_all(format, folder, split=split, out="after")
    assert secret.read_text()[:5] not in str(raised.value)


def test_a_folder_may_be_a_link_and_a_file_that_is_named_may_be_one(tmp_path: Path) -> None:
    source = detection_source(tmp_path / "disk", [box_entry(1, 5, [10, 20, 30, 40])])
    (tmp_path / "here").symlink_to(source)
    assert import_gold("coco", tmp_path / "here", tmp_path / "one").samples == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "val.json").symlink_to(source / "instances.json")
    (tmp_path / "mine" / "images").symlink_to(source / "images")
    assert import_gold("coco", tmp_path / "mine" / "val.json", tmp_path / "two").samples == 2


def test_pictures_in_a_linked_folder_of_yolo_are_not_passed_over(tmp_path: Path) -> None:
    picture(tmp_path / "disk" / "one.jpg")
    folder = tmp_path / "source"
    picture(folder / "images" / "val" / "two.jpg")
    (folder / "images" / "train").symlink_to(tmp_path / "disk")
    for split, name in (("train", "one"), ("val", "two")):
        (folder / "labels" / split).mkdir(parents=True)
        (folder / "labels" / split / f"{name}.txt").write_text("0 0.5 0.5 1 1")
    (folder / "classes.txt").write_text("cat")
    with pytest.raises(ValueError, match=r"images/train is a link that leads out of .*; import it alone with --split"):
        import_all("yolo", folder)
    _, (sample,) = import_all("yolo", folder, split="train", out="one")
    assert sample.key == "one"


@pytest.mark.parametrize(
    ("build", "file"),
    [(yolo, "images/one.jpg"), (yolo, "labels/one.txt"), (voc, "Annotations/two.xml"), (flickr30k, "Sentences/8.txt")],
)
def test_a_name_that_is_no_text_is_one_reject(tmp_path: Path, build: Callable[[Path], None], file: str) -> None:
    """As of a zip archive of Windows that was unpacked here."""
    folder = tmp_path / "source"
    folder.mkdir()
    build(folder)
    content = (folder / file).read_bytes()
    other = (folder / file).with_stem(os.fsdecode(b"\xb0\xa1"))
    other.write_bytes(content)
    card, samples = import_all(build.__name__, folder, out="after")
    assert (len(samples), card.rejects) == (2, 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_may_begin_with_a_mark_of_its_encoding_and_have_the_line_ends_of_windows(
    tmp_path: Path, encoding: str
) -> None:
    picture(tmp_path / "yolo" / "images" / "one.jpg")
    (tmp_path / "yolo" / "labels").mkdir()
    (tmp_path / "yolo" / "labels" / "one.txt").write_bytes("0 .5 .5 1 1\r\n1 .5 .5 .5 .5\r\n".encode(encoding))
    (tmp_path / "yolo" / "classes.txt").write_bytes("cät\r\ndog\r\n".encode(encoding))
    _, (sample,) = import_all("yolo", tmp_path / "yolo")
    assert [name for name, _ in boxes_of(sample)] == ["cät", "dog"]

    of_lists(tmp_path / "voc")
    (tmp_path / "voc" / "ImageSets" / "Main" / "val.txt").write_bytes("one\r\n".encode(encoding))
    (tmp_path / "voc" / "labelmap.txt").write_bytes("# a comment\r\ndog:::\r\n".encode(encoding))
    card, samples = import_all("voc", tmp_path / "voc", split="val")
    assert ([one.key for one in samples], card.classes) == (["one"], ["dog"])

    flickr30k(tmp_path / "flickr")
    (tmp_path / "flickr" / "Sentences" / "7.txt").write_bytes("[/EN#1/people Two men] .\r\n".encode(encoding))
    _, samples = import_all("flickr30k", tmp_path / "flickr", out=encoding)
    assert samples[0].caption == "Two men ."


def test_what_macos_keeps_beside_files_is_passed_over(tmp_path: Path) -> None:
    yolo(tmp_path / "yolo")
    voc(tmp_path / "voc")
    flickr30k(tmp_path / "flickr30k")
    odvg(tmp_path / "odvg")
    for file in list(tmp_path.rglob("*.*")):
        if file.is_file() and not any(part.endswith("-out") for part in file.parts):
            file.with_name(f"._{file.name}").write_bytes(MAC)
    for format, count in (("yolo", 2), ("voc", 2), ("flickr30k", 2), ("odvg", 1)):
        card, samples = import_all(format, tmp_path / format, out="again")
        assert (len(samples), card.rejects) == (count, 0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(b"{}", mtime=0), "compressed by gzip"),
        (b"PK\x03\x04 a zip", "zip archive"),
        (pickle.dumps([]), "a pickle of Python"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html></html>", "a failed download"),
        (json.dumps({"images": []}).encode("utf-16"), "save it as UTF-8"),
        (codecs.BOM_UTF16_BE + b"\0{\0}", "save it as UTF-8"),
        (b" \n", "it is empty"),
        (b"{'images': []}", "byte 1"),
    ],
    ids=["gzip", "zip", "pickle", "lfs", "html", "utf-16", "utf-16 of big ends", "empty", "python"],
)
def test_a_file_that_is_no_json_is_told_by_what_it_is(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "instances.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"instances\.json is not JSON: .*{told}"):
        import_gold("coco", tmp_path, tmp_path / "out")


def test_lines_that_are_compressed_are_told_by_it(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(gzip.compress(json.dumps(odvg_detection([BOX])).encode(), mtime=0))
    with pytest.raises(ValueError, match=r"train\.jsonl is not of the format ODVG: it is compressed by gzip"):
        import_gold("odvg", tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("stated", "stored"),
    [
        ("JPEGImages\\one.jpg", "JPEGImages/one.jpg"),
        (unicodedata.normalize("NFC", "caf\u00e9 \ud55c.jpg"), unicodedata.normalize("NFD", "caf\u00e9 \ud55c.jpg")),
        (unicodedata.normalize("NFD", "caf\u00e9 \ud55c.jpg"), unicodedata.normalize("NFC", "caf\u00e9 \ud55c.jpg")),
    ],
    ids=["windows", "of a mac", "for a mac"],
)
def test_a_picture_is_found_by_its_name_as_another_system_writes_it(tmp_path: Path, stated: str, stored: str) -> None:
    source = detection_source(tmp_path, [box_entry(1, 5, [10, 20, 30, 40])])
    document = json.loads((source / "instances.json").read_text())
    document["images"][0]["file_name"] = stated
    (source / "instances.json").write_text(json.dumps(document))
    (source / "images" / stored).parent.mkdir(exist_ok=True)
    (source / "images" / "one.jpg").rename(source / "images" / stored)
    card = import_gold("coco", source, tmp_path / "out")
    assert (card.samples, card.rejects) == (2, 0)


def test_a_windows_path_leads_no_further_out_than_another(tmp_path: Path) -> None:
    source = detection_source(tmp_path, [box_entry(1, 5, [10, 20, 30, 40])])
    picture(tmp_path / "secret.jpg")
    document = json.loads((source / "instances.json").read_text())
    document["images"][1]["file_name"] = "..\\..\\secret.jpg"
    (source / "instances.json").write_text(json.dumps(document))
    card = import_gold("coco", source, tmp_path / "out")
    assert card.stages[0].dropped.keys() <= {"image_outside_folder", "image_missing"}
    assert card.samples == 1
