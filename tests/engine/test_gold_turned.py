"""Boxes that were drawn on photos as viewers turn them arrive in pixels of the stored photo."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from gold_files import boxes_of, import_all
from turned_photos import HEIGHT, STORED_BOX, WIDTH, turned_photo, turned_yolo


@pytest.mark.parametrize("orientation", range(1, 9))
def test_yolo_boxes_are_of_the_photo_as_its_readers_turn_it(tmp_path: Path, orientation: int) -> None:
    turned_yolo(tmp_path, orientation)
    _, (sample,) = import_all("yolo", tmp_path)
    assert (sample.width, sample.height, boxes_of(sample)) == (WIDTH, HEIGHT, [("dog", STORED_BOX)])


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("turned", [True, False])
def test_the_stated_size_tells_whether_coco_boxes_were_drawn_on_the_turned_photo(
    tmp_path: Path, orientation: int, turned: bool
) -> None:
    size, box = turned_photo(tmp_path / "one.png", orientation)
    (width, height), (x1, y1, x2, y2) = (size, box) if turned else ((WIDTH, HEIGHT), STORED_BOX)
    document = {
        "images": [{"id": 1, "file_name": "one.png", "width": width, "height": height}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}],
        "categories": [{"id": 1, "name": "dog"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    card, samples = import_all("coco", tmp_path)
    assert card.stages[0].dropped == {}
    (sample,) = samples
    assert (sample.width, sample.height, boxes_of(sample)) == (WIDTH, HEIGHT, [("dog", STORED_BOX)])


@pytest.mark.parametrize("packed", [True, False])
def test_a_photo_in_an_img_tsv_is_turned_as_the_same_photo_in_a_file_is(tmp_path: Path, packed: bool) -> None:
    (width, height), box = turned_photo(tmp_path / "k.png", 6)
    label = {"img_w": width, "img_h": height, "caption": "a dog", "bboxes": [box], "scores": [0.75]}
    (tmp_path / "label.tsv").write_text(f"k\t{json.dumps(label | {'tokens_positive': [[[0, 5]]]})}\n")
    if packed:
        (tmp_path / "img.tsv").write_text(f"k\t{base64.b64encode((tmp_path / 'k.png').read_bytes()).decode()}\n")
    card, samples = import_all("glip-tsv", tmp_path)
    assert card.stages[0].dropped == {}
    assert [(one.width, one.height, boxes_of(one)) for one in samples] == [(WIDTH, HEIGHT, [("a dog", STORED_BOX)])]
