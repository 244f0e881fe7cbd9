"""YOLO's text files arrive exact from their published layouts; what is wrong is counted by reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from gold_files import HEIGHT, WIDTH, boxes_of, import_all, import_yolo, picture

from engine.gold import import_gold

WHOLE = "0.5 0.5 1 1"


def labelled(folder: Path, name: str, lines: str = f"0 {WHOLE}") -> None:
    """A picture and its label file, in the folders of each."""
    picture(folder / "images" / f"{name}.jpg")
    file = folder / "labels" / f"{name}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(lines)


def test_yolo_lines_are_shares_of_the_picture(tmp_path: Path) -> None:
    card, (first, second) = import_yolo(tmp_path, "1 0.5 0.5 1 1\n0 0.25 0.25 0.1 0.1\n", "names: [cat, dog]")
    assert boxes_of(first) == [("cat", (20, 16, 30, 24)), ("dog", (0, 0, WIDTH, HEIGHT))]
    assert (second.boxes, second.caption, card.classes) == ([], "", ["cat", "dog"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.1", "annotation_malformed"),
        ("0 0.1 0.1 0.2 0.1 0.9", "annotation_malformed"),
        ("0 0.1 0.1 0.2 0.1 nan 0.2", "box_not_finite"),
        ("0 a b c d", "annotation_malformed"),
        ("7 0.5 0.5 0.1 0.1", "category_undeclared"),
        ("-1 0.5 0.5 0.1 0.1", "category_undeclared"),
        ("0 nan 0.5 0.1 0.1", "box_not_finite"),
        ("0 0.5 0.5 nan 0.1", "box_not_finite"),
        ("0 0.5 0.5 0 0.1", "box_without_area"),
        ("0 1.5 0.5 0.1 0.1", "box_outside_image"),
    ],
)
def test_a_bad_yolo_line_is_a_counted_reject(tmp_path: Path, line: str, reason: str) -> None:
    card, (sample, _) = import_yolo(tmp_path, f"{line}\n0 0.25 0.25 0.1 0.1\n", "names: {0: cat}")
    assert card.stages[1].dropped == {reason: 1}
    assert boxes_of(sample) == [("cat", (20, 16, 30, 24))]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("names: [", "not YAML"),
        ("names: 2001-99-99", r"data\.yaml is not YAML"),
        ("[" * 1_000_000, r"data\.yaml is not YAML"),
        ("a: &x [1]\nnames: [*x]", "alias"),
        ("nc: 3", "names no class"),
        ("[]", "names no class"),
    ],
)
def test_yolo_without_names_is_refused(tmp_path: Path, data: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_yolo(tmp_path, "0 0.5 0.5 1 1", data)


def test_a_yolo_picture_that_is_a_link_to_nothing_is_a_counted_reject(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "lost.jpg").symlink_to("elsewhere.jpg")
    card, samples = import_yolo(tmp_path, "0 0.5 0.5 1 1", "names: [cat]")
    assert [sample.key for sample in samples] == ["one", "two"]
    assert card.stages[0].dropped == {"image_missing": 1}


def test_a_yolo_polygon_becomes_the_box_around_it(tmp_path: Path) -> None:
    _, (sample, _) = import_yolo(tmp_path, "0 0.2 0.5 0.3 0.25 0.4 0.5 0.3 0.75\n0 0.5 0.5 1 1", "names: [cat]")
    assert boxes_of(sample) == [("cat", (20, 20, 40, 60)), ("cat", (0, 0, WIDTH, HEIGHT))]


def test_the_box_of_a_yolo_pose_is_not_a_polygon_with_its_keypoints(tmp_path: Path) -> None:
    data = "kpt_shape: [2, 2]\nnames: [person]"
    _, (sample, _) = import_yolo(tmp_path, "0 0.5 0.5 0.2 0.5 0.9 0.9 0.1 0.1", data)
    assert boxes_of(sample) == [("person", (40, 20, 60, 60))]


def test_yolo_lines_that_are_no_boxes_are_not_pictures_without_objects(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"labels: none of 2 annotations could be .*: annotation_malformed \(2\)"):
        import_yolo(tmp_path, "0 0.1 0.1 0.5 0.1 0.9\n0 0.2 0.2 0.5 0.1 0.8", "names: [cat]")
    (tmp_path / "labels" / "one.txt").write_text("0 0.5 0.5 1 1")
    _, samples = import_all("yolo", tmp_path)  # the folder is free
    assert [len(sample.boxes) for sample in samples] == [1, 0]


def test_yolo_labels_too_large_to_be_read_are_not_a_picture_without_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.gold.yolo.MAX_LABEL_BYTES", 100)
    card, samples = import_yolo(tmp_path, "0 0.5 0.5 1 1\n" * 10, "names: [cat]")
    assert ([one.key for one in samples], card.stages[0].dropped) == (["two"], {"annotation_too_large": 1})


def test_yolo_labels_of_no_picture_are_not_pictures_without_objects(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "one.jpg")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "one.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "classes.txt").write_text("cat")
    with pytest.raises(ValueError, match=r"no picture in .*images has its file of labels, such as .*labels/one\.txt"):
        import_all("yolo", tmp_path)
    (tmp_path / "labels" / "one.txt").touch()  # this says that it has none
    _, (sample,) = import_all("yolo", tmp_path)
    assert sample.boxes == []


def test_without_a_split_all_folders_of_a_yolo_dataset_are_imported(tmp_path: Path) -> None:
    for split in ("train", "val"):
        labelled(tmp_path, f"{split}/of_{split}")
    (tmp_path / "classes.txt").write_text("cat")
    _, samples = import_all("yolo", tmp_path)
    assert [(one.key, one.locator, len(one.boxes)) for one in samples] == [
        ("of_train", "labels#train/of_train", 1),
        ("of_val", "labels#val/of_val", 1),
    ]
    picture(tmp_path / "images" / "test" / "one.jpg")
    with pytest.raises(ValueError, match=r"no picture in .*images/test has its file of labels, .*; --split takes one"):
        import_all("yolo", tmp_path, out="three")
    _, samples = import_all("yolo", tmp_path, out="one", split="val")
    assert [(one.key, one.locator) for one in samples] == [("of_val", "labels#of_val")]


def test_pictures_of_one_name_in_several_splits_of_yolo_are_all_imported(tmp_path: Path) -> None:
    for split in ("train", "val"):
        labelled(tmp_path, f"{split}/1")
    (tmp_path / "classes.txt").write_text("cat")
    card, samples = import_all("yolo", tmp_path)
    assert [(one.key, one.locator) for one in samples] == [
        ("train_1", "labels#train/1"),
        ("val_1", "labels#val/1"),
    ]
    assert card.rejects == 0


def test_yolo_labels_without_a_picture_that_can_be_read_are_counted(tmp_path: Path) -> None:
    for name in ("one", "two"):
        labelled(tmp_path, name)
    picture(tmp_path / "images" / "scan.tif")
    for name in ("scan", "gone", "._one", "classes"):
        (tmp_path / "labels" / f"{name}.txt").write_text("cat")
    card, samples = import_all("yolo", tmp_path)  # its classes are in labels/classes.txt, as LabelImg writes them
    assert ([one.key for one in samples], card.classes) == (["one", "two"], ["cat"])
    assert card.stages[0].dropped == {"image_missing": 2}


def test_an_empty_line_in_a_list_of_classes_counts(tmp_path: Path) -> None:
    labelled(tmp_path, "one", f"2 {WHOLE}\n1 0.5 0.5 0.5 0.5\n")
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n\n")
    card, (sample,) = import_all("yolo", tmp_path)
    assert boxes_of(sample) == [("dog", (0, 0, WIDTH, HEIGHT))]
    assert card.stages[1].dropped == {"category_undeclared": 1}


def test_the_number_of_a_yolo_class_may_be_written_as_one_with_decimals(tmp_path: Path) -> None:
    _, (sample, _) = import_yolo(tmp_path, "1.000000 0.5 0.5 1 1\n0.0 0.5 0.5 1 1", "names: [cat, dog]")
    assert sample.caption == "cat. dog"


@pytest.mark.parametrize("name", ["no", "~", "on"])
def test_a_class_name_that_yaml_takes_for_something_else_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"YAML reads the name of class 1 as .*; write it in quotes"):
        import_yolo(tmp_path, "0 0.5 0.5 1 1", f"names:\n  0: 7\n  1: {name}")
    (tmp_path / "data.yaml").write_text(f"names: {{0: 7, 1: '{name}'}}")
    assert import_all("yolo", tmp_path)[0].classes == ["7", name]


ROBOFLOW = """train: ../train/images
val: ../valid/images
test: ../test/images

nc: 2
names: ['cat', 'dog']

roboflow:
  workspace: someone
  project: pets
  version: 3
  license: CC BY 4.0
  url: https://universe.roboflow.com/someone/pets/dataset/3
"""


def roboflow(folder: Path, *splits: str, data: str = ROBOFLOW) -> Path:
    """As its export "YOLOv8" is unpacked, with a picture in each split."""
    for split in splits:
        name = f"of_{split}_jpg.rf.0a1b"
        picture(folder / split / "images" / f"{name}.jpg")
        (folder / split / "labels").mkdir()
        (folder / split / "labels" / f"{name}.txt").write_text("1 0.5 0.5 1 1")
    (folder / "README.roboflow.txt").touch()
    (folder / "data.yaml").write_text(data)
    return folder


def test_a_dataset_as_roboflow_writes_it_is_imported_with_its_splits(tmp_path: Path) -> None:
    folder = roboflow(tmp_path / "pets", "train", "valid", "test")
    card, samples = import_all("yolo", folder)
    assert [(one.key, one.locator) for one in samples] == [
        (f"of_{split}_jpg_rf_0a1b", f"labels#{split}/of_{split}_jpg.rf.0a1b") for split in ("test", "train", "valid")
    ]
    assert [boxes_of(one) for one in samples] == [[("dog", (0, 0, WIDTH, HEIGHT))]] * 3
    assert card.classes == ["cat", "dog"]
    _, (sample,) = import_all("yolo", folder, split="valid", out="one")
    assert sample.locator == "labels#of_valid_jpg.rf.0a1b"
    with pytest.raises(ValueError, match="has no split 'val'; there are: test, train, valid"):
        import_all("yolo", folder, split="val", out="none")
    (folder / "valid" / "labels" / "of_valid_jpg.rf.0a1b.txt").unlink()
    with pytest.raises(ValueError, match=r"no picture in .*/valid/images has its file of labels, such as .*/valid/lab"):
        import_all("yolo", folder, out="unlabelled")


def test_paths_in_a_data_yaml_are_not_followed(tmp_path: Path) -> None:
    roboflow(tmp_path / "secret", "train")
    outside = f"path: {tmp_path / 'secret'}\ntrain: train/images\nval: ../secret/train/images\nnames: [cat, dog]"
    _, samples = import_all("yolo", roboflow(tmp_path / "pets", "valid", data=outside))
    assert [one.key for one in samples] == ["of_valid_jpg_rf_0a1b"]


def test_a_yaml_of_another_name_is_given_instead_of_the_folder(tmp_path: Path) -> None:
    folder = roboflow(tmp_path / "pets", "train")
    (folder / "data.yaml").rename(folder / "pets.yaml")
    with pytest.raises(ValueError, match="a YAML of another name may be given"):
        import_all("yolo", folder)
    card = import_gold("yolo", folder / "pets.yaml", tmp_path / "out")
    assert (card.samples, card.classes) == (1, ["cat", "dog"])
