"""Exported boxes lie on what they are of, also for readers that turn photos by their EXIF orientation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from exported_datasets import rows_of
from turned_photos import seen, turned_yolo

from engine.gold import import_gold
from pipelines.export import export


@pytest.fixture(params=[1, 3, 6, 8])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    turned_yolo(tmp_path / "yolo", request.param)
    import_gold("yolo", tmp_path / "yolo", tmp_path / "dataset")
    return tmp_path / "dataset"


def test_coco_boxes_lie_on_the_exported_picture_as_a_viewer_sees_it(dataset: Path, tmp_path: Path) -> None:
    export(dataset, tmp_path / "coco", format="coco", images=True, progress=False)
    document = json.loads((tmp_path / "coco" / "instances.json").read_text())
    image, (x, y, width, height) = document["images"][0], document["annotations"][0]["bbox"]
    size, box = seen(tmp_path / "coco" / "images" / "one.png")
    assert ((image["width"], image["height"]), (x, y, x + width, y + height)) == (size, box)


def test_yolo_boxes_do_so_as_shares_and_come_back_as_they_were(dataset: Path, tmp_path: Path) -> None:
    export(dataset, tmp_path / "out", format="yolo", images=True, progress=False)
    x, y, w, h = map(float, (tmp_path / "out" / "labels" / "one.txt").read_text().split()[1:])
    (width, height), box = seen(tmp_path / "out" / "images" / "one.png")
    corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    assert corners == pytest.approx(box, abs=1e-6)
    import_gold("yolo", tmp_path / "out", tmp_path / "back")
    assert rows_of(tmp_path / "back") == rows_of(dataset)


def test_yolo_names_no_folder_since_readers_take_a_relative_one_for_one_where_they_are_called(
    dataset: Path, tmp_path: Path
) -> None:
    export(dataset, tmp_path / "out", format="yolo", images=True, progress=False)
    assert set(yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())) == {"train", "val", "names"}
