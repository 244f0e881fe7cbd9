"""The official figures of an evaluation: crowds are ignored, and things have the size of their masks."""

from __future__ import annotations

from pathlib import Path

import pytest
from official_coco import official_figures, other_sizes
from pycocotools.coco import COCO
from samples import detection_sample

from engine.artifacts import Store
from engine.metrics import ImageResult
from engine.metrics.detection import average_precision
from engine.metrics.judged import judge_boxes
from pipelines.evaluation.answer_table import answers_name, write_answers
from schemas.records import Candidate

CLASSES = ["cup", "hot dog"]
IN_CROWD, ON_DOG = Candidate(1, (110, 110, 130.3, 130), 0.9003), Candidate(1, (20, 20, 60, 60), 0.8)


def annotation(number: int, box_xywh: list[float], area: float, iscrowd: int = 0) -> dict[str, object]:
    return {"id": number, "image_id": 7, "category_id": 9, "bbox": box_xywh, "area": area, "iscrowd": iscrowd}


@pytest.fixture
def truth() -> COCO:
    """A dog of 40 x 40 pixels whose mask is small, and a crowd of dogs, as in COCO's file."""
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": 7, "file_name": "val2017/a.b.jpg", "width": 200, "height": 200}],
        "categories": [{"id": 3, "name": "cup"}, {"id": 9, "name": "hot_dog"}],
        "annotations": [annotation(1, [20, 20, 40, 40], 900), annotation(2, [100, 100, 90, 90], 8100, iscrowd=1)],
    }
    coco.createIndex()
    return coco


def test_a_detection_in_a_crowd_is_ignored_and_sizes_are_those_of_masks(tmp_path: Path, truth: COCO) -> None:
    results = [ImageResult(detection_sample("a_b", [("hot dog", (20, 20, 60, 60))]), (IN_CROWD, ON_DOG))]
    own = {metric.name: metric.value for metric in average_precision(results, CLASSES).values}
    assert (own["AP"], own["APs"], own["APm"]) == (pytest.approx(0.5), None, pytest.approx(1.0))
    write_answers(Store(tmp_path), "val", judge_boxes(results, CLASSES, 100))
    official = official_figures(truth, tmp_path / answers_name("val"))
    assert (official["AP"], official["APs"], official["APm"]) == (pytest.approx(1.0), pytest.approx(1.0), None)
    assert other_sizes(truth) == (1, 1)
