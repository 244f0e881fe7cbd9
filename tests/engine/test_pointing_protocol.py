"""Pointing at classes against plain loops written from the definition."""

from __future__ import annotations

import pytest
from detection_cases import BOX, CASES, CLASSES, FAR, Case, average, by_name, check_equal, detection_sample, random_case
from samples import Gold

from engine.metrics import ImageResult
from engine.metrics.pointing import pointing_at_classes
from schemas.records import BoxXYXY, Candidate

MARGIN = 15  # pixels, of Zhang et al.


def pointing_oracle(case: Case) -> dict[str, float | None]:
    """Each class by itself; twice the centre and twice the boxes keep the numbers whole."""
    shares: dict[str, float | None] = {}
    for name in CLASSES:
        hits = []
        for image, (boxes, hard) in enumerate(zip(case.gold(name), case.hard(), strict=True)):
            if all(place in hard for place, _ in boxes):
                continue
            mine = [box for _, at, box in case.found(name) if at == image]
            if mine:
                x, y = mine[0][0] + mine[0][2], mine[0][1] + mine[0][3]
                hits.append(any(distance_squared(x, y, box) <= (2 * MARGIN) ** 2 for _, box in boxes))
            else:
                hits.append(False)
        if hits:
            shares[f"pointing/{name}"] = sum(hits) / len(hits)
    return {"pointing": average([v for v in shares.values() if v is not None])} | shares


def distance_squared(x: float, y: float, box: BoxXYXY) -> float:
    x1, y1, x2, y2 = (2 * side for side in box)
    return max(x1 - x, 0, x - x2) ** 2 + max(y1 - y, 0, y - y2) ** 2


@pytest.mark.parametrize("difficult", [False, True])
def test_pointing_at_classes_equals_plain_loops(difficult: bool) -> None:
    for seed in range(CASES):
        case = random_case(seed, difficult=difficult)
        check_equal(by_name(pointing_at_classes(case.results, CLASSES)), pointing_oracle(case), seed)


def test_a_class_of_which_all_boxes_of_a_picture_are_difficult_is_not_asked_for() -> None:
    gold: Gold = [("dog", BOX), ("dog", FAR), ("kite", BOX)]
    at_far = (Candidate(CLASSES.index("dog"), FAR, 0.9),)
    hard = [ImageResult(detection_sample("a", gold, difficult={0, 1, 2}), at_far)]
    assert {one.name: (one.value, one.count) for one in pointing_at_classes(hard, CLASSES).values} == {
        "pointing": (None, 0)
    }
    half = [ImageResult(detection_sample("b", gold, difficult={1, 2}), at_far)]
    assert by_name(pointing_at_classes([*hard, *half], CLASSES)) == {"pointing": 1.0, "pointing/dog": 1.0}


def test_a_box_of_no_class_of_the_dataset_is_named() -> None:
    with pytest.raises(ValueError, match="not a class of its dataset"):
        pointing_at_classes([result for seed in range(CASES) for result in random_case(seed).results], [])
