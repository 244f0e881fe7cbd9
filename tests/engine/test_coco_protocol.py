"""COCO AP against pycocotools by its own way in."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from detection_cases import BOX, CASES, CLASSES, FAR, Case, area, by_name, check_equal, detection_sample, random_case
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.metrics import ImageResult
from engine.metrics.detection import average_precision
from schemas.records import BoxXYXY, Candidate
from schemas.shards import SampleCrowd


class WithIgnored(COCOeval):
    """pycocotools, with the ``ignore`` of human boxes that it writes over before it reads it."""

    def _prepare(self) -> None:
        wanted = {one["id"]: one["ignore"] for one in self.cocoGt.dataset["annotations"]}
        super()._prepare()
        for rows in self._gts.values():
            for row in rows:
                row["ignore"] = wanted[row["id"]]


def coco_oracle(case: Case) -> dict[str, float | None]:
    """COCO's twelve figures, made the way its own demo makes them: a results list, ``loadRes``, ``summarize``."""
    truth = COCO()
    sizes = [
        [area(one.box_xyxy) if one.area is None else one.area for one in result.gold.boxes] for result in case.results
    ]
    truth.dataset = {
        "info": {},
        "images": [{"id": i + 7} for i in range(len(case.results))],
        "categories": [{"id": n + 3, "name": name} for n, name in enumerate(CLASSES)],
        "annotations": [
            {"image_id": i + 7, "category_id": n + 3, "bbox": xywh(box), "area": sizes[i][place], "iscrowd": 0}
            | {"ignore": int(place in case.hard()[i])}
            for n, name in enumerate(CLASSES)
            for i, boxes in enumerate(case.gold(name))
            for place, box in boxes
        ]
        + [
            {"image_id": i + 7, "category_id": CLASSES.index(one.name) + 3, "bbox": xywh(one.box_xyxy)}
            | {"area": area(one.box_xyxy), "iscrowd": 1, "ignore": 1}
            for i, result in enumerate(case.results)
            for one in result.gold.crowds or ()
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
    evaluation = WithIgnored(truth, truth.loadRes(answers), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    return {n: None if v == -1 else float(v) for n, v in zip(names, evaluation.stats, strict=False)}


def xywh(box: BoxXYXY) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


@pytest.mark.parametrize("difficult", [False, True])
def test_coco_ap_equals_pycocotools_by_its_own_way_in(difficult: bool) -> None:
    compared = 0
    for seed in range(CASES + 15):
        case = random_case(seed, difficult=difficult)
        if not any(result.candidates for result in case.results):
            continue  # loadRes takes no empty list
        with contextlib.redirect_stdout(io.StringIO()):
            expected = coco_oracle(case)
        found = by_name(average_precision(case.results, CLASSES))
        check_equal({name: found[name] for name in expected}, expected, seed)
        compared += 1
    assert compared >= CASES


def crowded_case(seed: int) -> Case:
    """Rows of boxes on a coarse grid, each overlapping many of its class, with equal overlaps and equal scores."""
    rng = np.random.default_rng(seed)
    results = []
    for image in range(3):
        gold = [(CLASSES[int(rng.integers(0, 2))], crowded_box(rng)) for _ in range(20)]
        found = [Candidate(int(rng.integers(0, 2)), crowded_box(rng), int(rng.integers(1, 20)) / 20) for _ in range(60)]
        hard = set(np.flatnonzero(rng.random(len(gold)) < 0.1).tolist())
        results.append(ImageResult(detection_sample(f"{seed}-{image}", gold, difficult=hard), tuple(found)))
    return Case(results)


def crowded_box(rng: np.random.Generator) -> BoxXYXY:
    x, y = (int(place) for place in 10 * rng.integers(0, 4, 2))
    width, height = (int(side) for side in 10 * rng.integers(2, 14, 2))
    return (x, y, x + width, y + height)


def masked_case(seed: int) -> Case:
    """A crowded case whose annotations state the areas of masks, and have regions that are crowds."""
    rng = np.random.default_rng(seed)
    results = []
    for result in crowded_case(seed).results:
        shares = [int(eighths) / 8 for eighths in rng.integers(0, 9, len(result.gold.boxes))]
        boxes = [
            box.model_copy(update={"area": area(box.box_xyxy) * share or None})
            for box, share in zip(result.gold.boxes, shares, strict=True)
        ]
        names = [CLASSES[int(number)] for number in rng.integers(0, 3, seed % 4)]
        crowds = [SampleCrowd(name=name, box_xyxy=crowded_box(rng)) for name in names]
        gold = result.gold.model_copy(update={"boxes": boxes, "crowds": crowds or None})
        results.append(ImageResult(gold, tuple(result.candidates)))
    return Case(results)


@pytest.mark.parametrize(("made", "cases"), [(crowded_case, 20), (masked_case, CASES)], ids=["boxes", "crowds"])
def test_coco_ap_equals_pycocotools_where_boxes_lie_on_each_other(made: Callable[[int], Case], cases: int) -> None:
    for seed in range(cases):
        case = made(seed)
        with contextlib.redirect_stdout(io.StringIO()):
            expected = coco_oracle(case)
        found = by_name(average_precision(case.results, CLASSES))
        assert 0 < (found["AP"] or 0) < 1
        check_equal({name: found[name] for name in expected}, expected, seed)


def test_any_number_of_detections_in_a_crowd_counts_neither_way_and_a_class_of_crowds_alone_is_not_asked_for() -> None:
    crowds = [SampleCrowd(name=name, box_xyxy=FAR) for name in ("dog", "kite")]
    sample = detection_sample("a", [("dog", BOX)]).model_copy(update={"crowds": crowds})
    inside = [Candidate(1, (x, x, 300, 300), 0.9) for x in (200, 210, 280)]
    answer = (*inside, Candidate(1, BOX, 0.7), Candidate(2, FAR, 0.8))
    found = by_name(average_precision([ImageResult(sample, answer)], CLASSES))
    assert (found["AP"], found["AP/dog"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert "AP/kite" not in found
    by_half = Candidate(1, (180, 200, 220, 240), 0.8)
    found = by_name(average_precision([ImageResult(sample, (*answer, by_half))], CLASSES))
    assert (found["AP50"], found["AP75"]) == (pytest.approx(1.0), pytest.approx(0.5))


def test_a_difficult_box_is_not_asked_for_and_the_one_detection_of_it_counts_neither_way() -> None:
    """Of two detections of it the second is wrong: 1 right of 2 at full recall. The devkit would ignore both."""
    sample = detection_sample("a", [("dog", BOX), ("dog", FAR)], difficult={1})
    answer = (Candidate(1, FAR, 0.9), Candidate(1, BOX, 0.7))
    figures = average_precision([ImageResult(sample, answer)], CLASSES)
    assert by_name(figures)["AP"] == pytest.approx(1.0)
    assert [one.count for one in figures.values if one.name == "AP/dog"] == [1]
    twice = by_name(average_precision([ImageResult(sample, (*answer, Candidate(1, FAR, 0.8)))], CLASSES))
    assert twice["AP"] == pytest.approx(0.5)
    only_difficult = detection_sample("a", [("dog", FAR)], difficult={0})
    assert set(by_name(average_precision([ImageResult(only_difficult, answer)], CLASSES)).values()) == {None}
