"""COCO as it is downloaded is imported as it lies, and an import that found no picture leaves its folder free."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from engine.artifacts import Store
from engine.gold import import_gold
from engine.shards import read_labels


def _coco(root: Path, *, split: str = "val2017") -> Path:
    """COCO's own layout: ``annotations/instances_X.json`` beside ``X/``, of one picture with a box."""
    for folder in ("annotations", split):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(root / split / "one.jpg")
    document = {
        "images": [{"id": 1, "file_name": "one.jpg", "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 10]}],
    }
    file = root / "annotations" / f"instances_{split}.json"
    file.write_text(json.dumps(document))
    return file


def test_pictures_are_found_beside_the_folder_of_annotations(tmp_path: Path) -> None:
    assert import_gold("coco", _coco(tmp_path / "coco"), tmp_path / "out").samples == 1


def test_the_folder_that_holds_annotations_is_enough(tmp_path: Path) -> None:
    _coco(tmp_path / "coco")
    assert import_gold("coco", tmp_path / "coco", tmp_path / "out").samples == 1


def test_of_two_splits_the_file_has_to_be_named(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        _coco(tmp_path / "coco", split=split)
    with pytest.raises(ValueError, match=r"holds 2 files .* give the path of the file itself"):
        import_gold("coco", tmp_path / "coco", tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "picture", "stated"),
    [
        ("annotations/instances_default.json", "images/default/one.jpg", "one.jpg"),
        ("annotations/instances_default.json", "images/one.jpg", "one.jpg"),
        ("instances_384.json", "images_384/one.jpg", "one.jpg"),
        ("result.json", "images/one.jpg", "images/one.jpg"),
        ("result.json", "images/one.jpg", "images\\one.jpg"),
        ("labels.json", "data/one.jpg", "one.jpg"),
        ("annotations/instances_val.json", "images/val/one.jpg", "images/val/one.jpg"),
        ("annotations/instances_val.json", "annotations/one.jpg", "one.jpg"),
    ],
    ids=["cvat", "cvat flat", "by size", "label studio", "label studio on windows", "fiftyone", "from the root", "in"],
)
def test_pictures_are_found_as_other_tools_lay_them(tmp_path: Path, file: str, picture: str, stated: str) -> None:
    root = tmp_path / "coco"
    made = _coco(root)
    (root / picture).parent.mkdir(parents=True, exist_ok=True)
    (root / "val2017" / "one.jpg").rename(root / picture)
    (root / "val2017").rmdir()
    for empty in ("images", "data"):
        (root / empty).mkdir(exist_ok=True)  # the folder that has them is taken, not the first that is there
    document = json.loads(made.read_text())
    document["images"][0]["file_name"] = stated
    made.unlink()
    (root / file).write_text(json.dumps(document))
    card = import_gold("coco", root / file, tmp_path / "out")
    assert (card.samples, card.boxes, card.rejects) == (1, 1, 0)


@pytest.mark.parametrize("images", ["", "val2017"])
@pytest.mark.parametrize("given", ["", "annotations/lvis_v1_val.json"])
def test_lvis_is_found_beside_cocos_folders_by_its_folder_and_by_its_file(
    tmp_path: Path, given: str, images: str
) -> None:
    root = tmp_path / "coco"
    made = _coco(root)
    document = json.loads(made.read_text())
    document["images"] = [{"id": 1, "coco_url": "http://x.org/val2017/one.jpg", "width": 40, "height": 30}]
    made.unlink()
    (root / "annotations" / "lvis_v1_val.json").write_text(json.dumps(document))
    card = import_gold("lvis", root / given, tmp_path / "out", images=root / images if images else None)
    assert (card.samples, card.boxes) == (1, 1)


def test_pictures_of_one_name_in_several_folders_are_all_imported(tmp_path: Path) -> None:
    """As the frames of films are; a picture that is declared twice stays one sample and a reject."""
    file = _coco(tmp_path / "coco")
    document = json.loads(file.read_text())
    names = ["a/0001.jpg", "b/0001.jpg", "a/0002.jpg", "0001.jpg", "b/0001.jpg"]
    document["images"] = [{"id": n, "file_name": name, "width": 40, "height": 30} for n, name in enumerate(names)]
    document["annotations"] = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [n, 2, 10, 10]} for n in range(len(names))
    ]
    file.write_text(json.dumps(document))
    for name in names:
        picture = tmp_path / "coco" / "val2017" / name
        picture.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30)).save(picture)
    card = import_gold("coco", file, tmp_path / "out")
    found = {one.key: one.boxes[0].box_xyxy[0] for one in read_labels(Store(tmp_path / "out"))}
    assert found == {"a_0001": 0, "b_0001": 1, "0002": 2, "0001": 3}
    assert card.stages[0].dropped == {"duplicate_key": 1}


def test_an_import_of_nothing_says_what_was_wrong_with_the_first(tmp_path: Path) -> None:
    file = _coco(tmp_path / "coco")
    document = json.loads(file.read_text())
    del document["images"][0]["width"]
    file.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"image_malformed \(1\), the first: width: Field required"):
        import_gold("coco", file, tmp_path / "out")


def _odinw(part: Path) -> Path:
    """A part of an ODinW dataset as it is published: Roboflow's names with dots, pictures and two JSONs in one folder,
    one of which has a class that stands for all and has no box."""
    part.mkdir(parents=True)
    names = ["a_jpg.rf.1c9d.jpg", "b_jpg.rf.77aa.jpg"]
    for name in names:
        Image.new("RGB", (40, 30), (0, 0, len(name))).save(part / name)
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 10, 10 + n]} for n in range(2)]
    document = {
        "images": [{"id": n, "file_name": name, "width": 40, "height": 30} for n, name in enumerate(names)],
        "categories": [{"id": 1, "name": "crab", "supercategory": "creatures"}],
        "annotations": boxes,
    }
    (part / "annotations_without_background.json").write_text(json.dumps(document))
    background = {"id": 0, "name": "creatures", "supercategory": "none"}
    document["categories"] = [background, *document["categories"]]
    (part / "_annotations.coco.json").write_text(json.dumps(document))
    return part


def test_a_part_of_odinw_is_imported_as_it_is_published(tmp_path: Path) -> None:
    card = import_gold("coco", _odinw(tmp_path / "aquarium" / "test"), tmp_path / "out")
    assert (card.samples, card.boxes, card.classes) == (2, 2, ["crab"])
    labels = list(read_labels(Store(tmp_path / "out")))
    assert [one.key for one in labels] == ["a_jpg_rf_1c9d", "b_jpg_rf_77aa"]
    assert labels[1].locator.endswith("#1")


def test_names_that_become_one_key_are_one_sample_and_a_counted_reject(tmp_path: Path) -> None:
    part = _odinw(tmp_path / "test")
    (part / "a_jpg.rf.1c9d.jpg").rename(part / "b_jpg.rf_77aa.jpg")
    file = part / "annotations_without_background.json"
    file.write_text(file.read_text().replace("a_jpg.rf.1c9d.jpg", "b_jpg.rf_77aa.jpg"))
    card = import_gold("coco", part, tmp_path / "out")
    assert (card.samples, card.stages[0].dropped) == (1, {"duplicate_key": 1})


def test_an_import_without_a_picture_says_how_to_name_them_and_leaves_the_folder_free(tmp_path: Path) -> None:
    file = _coco(tmp_path / "coco")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ValueError, match=r"image_missing \(1\), the first: image 'one.jpg'; give .* with --images"):
        import_gold("coco", file, tmp_path / "out", images=tmp_path / "elsewhere")
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert import_gold("coco", file, tmp_path / "out", images=tmp_path / "coco" / "val2017").samples == 1
