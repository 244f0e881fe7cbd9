"""COCO as it is downloaded is imported as it lies, and an import that found no picture leaves its folder free."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from engine.gold import import_gold


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


def test_an_import_without_a_picture_says_how_to_name_them_and_leaves_the_folder_free(tmp_path: Path) -> None:
    file = _coco(tmp_path / "coco")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ValueError, match=r"image_missing \(1\); give the folder of the pictures with --images"):
        import_gold("coco", file, tmp_path / "out", images=tmp_path / "elsewhere")
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert import_gold("coco", file, tmp_path / "out", images=tmp_path / "coco" / "val2017").samples == 1
