"""Pascal VOC and YOLO arrive exact from their published layouts; what is wrong is counted by reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from gold_files import HEIGHT, WIDTH, boxes_of, import_all, import_voc, import_yolo, picture, voc_files, xml_object

from engine.gold import import_gold

BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'


def test_voc_boxes_count_pixels_from_one_and_hold_the_last(tmp_path: Path) -> None:
    card, (sample,) = import_voc(tmp_path, xml_object("dog", 1, 1, WIDTH, HEIGHT) + xml_object("cat", 11, 21, 30.5, 40))
    assert sample.caption == "cat. dog"
    assert boxes_of(sample) == [("cat", (10, 20, 30.5, 40)), ("dog", (0, 0, WIDTH, HEIGHT))]
    assert (card.task, card.classes, sample.key) == ("detection", ["cat", "dog"], "one")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("<object><name>cat</name></object>", "annotation_malformed"),
        ("<object><bndbox><xmin>1</xmin></bndbox></object>", "annotation_malformed"),
        ("<object><name>cat</name><bndbox><xmin>x</xmin></bndbox></object>", "annotation_malformed"),
        (xml_object("cat", float("nan"), 1, 5, 5), "box_not_finite"),
        (xml_object("cat", 9, 1, 5, 5), "box_without_area"),
        (xml_object("cat", 500, 1, 600, 5), "box_outside_image"),
    ],
)
def test_a_bad_voc_object_is_a_counted_reject(tmp_path: Path, item: str, reason: str) -> None:
    card, (sample,) = import_voc(tmp_path, item + xml_object("dog", 1, 1, 5, 5))
    assert card.stages[1].dropped == {reason: 1}
    assert boxes_of(sample) == [("dog", (0, 0, 5, 5))]


def test_an_entity_bomb_is_refused_and_the_rest_is_imported(tmp_path: Path) -> None:
    voc_files(tmp_path, "one", xml_object("dog", 1, 1, 5, 5))
    (tmp_path / "Annotations" / "bomb.xml").write_text(BOMB)
    (tmp_path / "Annotations" / "cut.xml").write_text("<annotation><object>")
    (tmp_path / "Annotations" / "dtd.xml").write_text("<!DOCTYPE annotation><annotation/>")
    card, samples = import_all("voc", tmp_path)
    assert card.stages[0].dropped == {"annotation_malformed": 3}
    assert [sample.key for sample in samples] == ["one"]


def test_a_voc_label_map_declares_the_classes_in_its_order(tmp_path: Path) -> None:
    voc_files(
        tmp_path, "one", xml_object("cat", 1, 1, 5, 5) + xml_object("dog", 1, 1, 5, 5) + xml_object("ufo", 1, 1, 5, 5)
    )
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:::\ncat:::\n")
    card, (sample,) = import_all("voc", tmp_path)
    assert (card.classes, sample.caption) == (["dog", "cat"], "dog. cat")
    assert card.stages[1].dropped == {"category_undeclared": 1}


def voc_lists(folder: Path, *names: str) -> Path:
    """Where the lists of splits lie, beside a picture of a dog for each name."""
    for name in names:
        voc_files(folder, name, xml_object("dog", 1, 1, 5, 5))
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    return lists


def test_a_voc_split_takes_the_pictures_of_its_list(tmp_path: Path) -> None:
    lists = voc_lists(tmp_path, "one", "two")
    (lists / "val.txt").write_text("two\ngone\n")
    card, samples = import_all("voc", tmp_path, split="val")
    assert [sample.key for sample in samples] == ["two"]
    assert card.stages[0].dropped == {"annotation_missing": 1}
    (lists / "dog_val.txt").write_text("one -1\ntwo  1\n")
    assert [sample.key for sample in import_all("voc", tmp_path, split="dog_val", out="flags")[1]] == ["one", "two"]
    (lists / "bad.txt").write_text("../one\n")
    for split, message in (("bad", "the name of a file"), ("test", "no split 'test'"), ("../x", "a split is a name")):
        with pytest.raises(ValueError, match=message):
            import_all("voc", tmp_path, split=split, out=f"out-{len(message)}")


def test_a_name_in_the_list_of_a_split_may_have_spaces(tmp_path: Path) -> None:
    lists = voc_lists(tmp_path, "my photo 1", "my photo 0")
    (lists / "val.txt").write_text("my photo 1\r\nmy photo 0\r\n")
    assert [sample.key for sample in import_all("voc", tmp_path, split="val")[1]] == ["my photo 1", "my photo 0"]


@pytest.mark.parametrize(
    ("filename", "kept"), [("gone.jpg", True), ("", True), ("../secret.jpg", False), ("/etc/passwd", False)]
)
def test_a_voc_file_name_never_leads_out_of_the_folder(tmp_path: Path, filename: str, kept: bool) -> None:
    """A name that is not there is passed over for the picture of the annotation's own name, as labelling tools leave
    wrong ones; one that is there, outside, is refused."""
    voc_files(tmp_path, "one", xml_object("dog", 1, 1, 5, 5), filename=filename)
    voc_files(tmp_path, "two", xml_object("dog", 1, 1, 5, 5))
    picture(tmp_path / "secret.jpg")
    card, samples = import_all("voc", tmp_path)
    assert [sample.key for sample in samples] == (["one", "two"] if kept else ["two"])
    assert card.stages[0].dropped == ({} if kept else {"image_outside_folder": 1})


def test_voc_annotations_in_folders_belong_to_the_pictures_in_those(tmp_path: Path) -> None:
    """As CVAT writes them for pictures in folders, and ImageNet has them."""
    voc_files(tmp_path, "one", xml_object("dog", 1, 1, 5, 5))
    for film in ("a", "b"):
        picture(tmp_path / "JPEGImages" / film / "one.jpg")
        (tmp_path / "Annotations" / film).mkdir()
        text = (tmp_path / "Annotations" / "one.xml").read_text()
        (tmp_path / "Annotations" / film / "one.xml").write_text(text.replace("dog", f"dog {film}"))
    _, samples = import_all("voc", tmp_path)
    assert [(one.key, one.caption) for one in samples] == [
        ("a_one", "dog a"),
        ("b_one", "dog b"),
        ("one", "dog"),
    ]
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("b/one\n")
    _, (sample,) = import_all("voc", tmp_path, split="val", out="val")
    assert (sample.key, sample.caption, sample.locator) == ("one", "dog b", "Annotations#b/one")


@pytest.mark.parametrize("filename", ["C:\\photos\\one.JPG", "gone.jpg", ""])
def test_a_voc_picture_with_its_ending_in_capitals_is_found(tmp_path: Path, filename: str) -> None:
    voc_files(tmp_path, "one", xml_object("dog", 1, 1, 5, 5), filename=filename)
    (tmp_path / "JPEGImages" / "one.jpg").rename(tmp_path / "JPEGImages" / "one.JPG")
    _, (sample,) = import_all("voc", tmp_path)
    assert sample.caption == "dog"


def test_voc_without_a_readable_annotation_says_why(tmp_path: Path) -> None:
    voc_files(tmp_path, "one", "")
    (tmp_path / "Annotations" / "one.xml").write_text('<?xml version="1.0" encoding="gb2312"?><annotation/>')
    with pytest.raises(ValueError, match=r"none of 1 XML .*; one\.xml: no XML: multi-byte encodings are not supported"):
        import_all("voc", tmp_path)


@pytest.mark.data
def test_the_raccoons_arrive_whole(tmp_path: Path, data_folder: Path) -> None:
    raccoons = data_folder / "raccoon"
    card = import_gold("voc", raccoons / "voc_xml", tmp_path / "out", images=raccoons / "images")
    assert (card.samples, card.boxes, card.rejects, card.classes) == (200, 217, 0, ["raccoon"])


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
        ("[" * 5000, r"data\.yaml is not YAML"),
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
        picture(tmp_path / "images" / split / f"of_{split}.jpg")
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / f"of_{split}.txt").write_text("0 0.5 0.5 1 1")
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
        picture(tmp_path / "images" / split / "1.jpg")
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / "1.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "classes.txt").write_text("cat")
    card, samples = import_all("yolo", tmp_path)
    assert [(one.key, one.locator) for one in samples] == [
        ("train_1", "labels#train/1"),
        ("val_1", "labels#val/1"),
    ]
    assert card.rejects == 0


def test_yolo_labels_without_a_picture_that_can_be_read_are_counted(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "scan.tif")
    for name in ("scan", "gone", "._one", "classes"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{name}.txt").write_text("cat")
    for name in ("one", "two"):
        picture(tmp_path / "images" / f"{name}.jpg")
        (tmp_path / "labels" / f"{name}.txt").write_text("0 0.5 0.5 1 1")
    card, samples = import_all("yolo", tmp_path)  # its classes are in labels/classes.txt, as LabelImg writes them
    assert ([one.key for one in samples], card.classes) == (["one", "two"], ["cat"])
    assert card.stages[0].dropped == {"image_missing": 2}


def test_an_empty_line_in_a_list_of_classes_counts(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "one.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "one.txt").write_text("2 0.5 0.5 1 1\n1 0.5 0.5 0.5 0.5\n")
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
