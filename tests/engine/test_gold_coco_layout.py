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
    with pytest.raises(ValueError, match=r"image_missing \(1\); give the folder of the pictures with --images"):
        import_gold("coco", file, tmp_path / "out", images=tmp_path / "elsewhere")
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert import_gold("coco", file, tmp_path / "out", images=tmp_path / "coco" / "val2017").samples == 1
