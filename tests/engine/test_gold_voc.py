"""Pascal VOC arrives exact from its published layout; what is wrong is counted by reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from gold_files import HEIGHT, WIDTH, boxes_of, import_all, import_voc, picture, voc_files, xml_object

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
