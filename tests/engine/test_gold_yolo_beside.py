"""YOLO's labels beside their pictures, as Darknet, CVAT ("YOLO 1.1") and LabelImg write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from gold_files import HEIGHT, WIDTH, boxes_of, import_all, picture

from engine.gold import import_gold

WHOLE = "0.5 0.5 1 1"


def pair(folder: Path, name: str, line: str) -> None:
    picture(folder / f"{name}.jpg")
    (folder / f"{name}.txt").write_text(line)


def test_the_folders_of_a_darknet_dataset_are_its_splits(tmp_path: Path) -> None:
    source = tmp_path / "darknet"
    pair(source / "obj_train_data", "one", f"1 {WHOLE}")
    pair(source / "obj_Validation_data", "two", "")
    (source / "obj.names").write_text("cat\ntraffic_light\n")
    (source / "obj.data").write_text("classes = 2\nnames = data/obj.names\n")
    (source / "train.txt").write_text("data/obj_train_data/one.jpg\n")
    card, (two, one) = import_all("yolo", source)
    assert (card.classes, card.rejects, two.boxes) == (["cat", "traffic light"], 0, [])
    assert boxes_of(one) == [("traffic light", (0, 0, WIDTH, HEIGHT))]
    card, (one,) = import_all("yolo", source, split="obj_train_data", out="train")
    assert (one.key, card.rejects) == ("one", 0)


def test_darknet_splits_are_not_taken_for_labels_of_one_folder_of_pictures(tmp_path: Path) -> None:
    """The pictures of one split would count as pictures without objects in the other."""
    for split in ("train", "valid"):
        pair(tmp_path / "darknet" / f"obj_{split}_data", f"of-{split}", f"0 {WHOLE}")
    (tmp_path / "darknet" / "obj.names").write_text("cat\n")
    (tmp_path / "darknet" / "train.txt").write_text("data/obj_train_data/of-train.jpg\n")
    picture(tmp_path / "photos" / "of-train.jpg")
    with pytest.raises(ValueError, match="has its file of labels"):
        import_gold("yolo", tmp_path / "darknet", tmp_path / "out", images=tmp_path / "photos")


def test_labels_beside_the_pictures_of_one_folder_are_read(tmp_path: Path) -> None:
    pair(tmp_path / "flat", "one", f"0 {WHOLE}")
    pair(tmp_path / "flat", "two", "")
    (tmp_path / "flat" / "classes.txt").write_text("cat\n")
    card, (one, two) = import_all("yolo", tmp_path / "flat")
    assert (boxes_of(one), two.boxes, card.rejects) == ([("cat", (0, 0, WIDTH, HEIGHT))], [], 0)


def test_a_folder_of_pictures_alone_is_no_yolo_dataset(tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "one.jpg")
    (tmp_path / "photos" / "classes.txt").write_text("cat\n")
    with pytest.raises(ValueError, match="has no folder images/ beside labels/"):
        import_all("yolo", tmp_path / "photos")
