"""COCO AP against pycocotools by its own way in."""

from __future__ import annotations

import contextlib
import io

from detection_cases import CASES, CLASSES, Case, area, by_name, check_equal, random_case
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.metrics.detection import average_precision
from schemas.records import BoxXYXY


def coco_oracle(case: Case) -> dict[str, float | None]:
    """COCO's twelve figures, made the way its own demo makes them: a results list, ``loadRes``, ``summarize``."""
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i + 7} for i in range(len(case.results))],
        "categories": [{"id": n + 3, "name": name} for n, name in enumerate(CLASSES)],
        "annotations": [
            {"image_id": i + 7, "category_id": n + 3, "bbox": xywh(box), "area": area(box), "iscrowd": 0}
            for n, name in enumerate(CLASSES)
            for i, boxes in enumerate(case.gold(name))
            for _, box in boxes
        ],
    }
    for number, annotation in enumerate(truth.dataset["annotations"]):
        annotation["id"] = number + 1
    truth.createIndex()
    answers = [
        {"image_id": i + 7, "category_id": c.phrase + 3, "bbox": xywh(c.box_xyxy), "score": c.score}
        for i, result in enumerate(case.results)
        for c in result.candidates
    ]
    evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    return {n: None if v == -1 else float(v) for n, v in zip(names, evaluation.stats, strict=False)}


def xywh(box: BoxXYXY) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def test_coco_ap_equals_pycocotools_by_its_own_way_in() -> None:
    compared = 0
    for seed in range(CASES + 15):
        case = random_case(seed)
        if not any(result.candidates for result in case.results):
            continue  # loadRes takes no empty list
        with contextlib.redirect_stdout(io.StringIO()):
            expected = coco_oracle(case)
        found = by_name(average_precision(case.results, CLASSES))
        check_equal({name: found[name] for name in expected}, expected, seed)
        compared += 1
    assert compared >= CASES
