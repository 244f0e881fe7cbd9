"""Pointing at classes against plain loops written from the definition."""

from __future__ import annotations

import pytest
from detection_cases import CASES, CLASSES, Case, average, by_name, check_equal, random_case

from engine.metrics.pointing import pointing_at_classes
from schemas.records import BoxXYXY

MARGIN = 15  # pixels, of Zhang et al.


def pointing_oracle(case: Case) -> dict[str, float | None]:
    """Each class by itself; twice the centre and twice the boxes keep the numbers whole."""
    shares: dict[str, float | None] = {}
    for name in CLASSES:
        hits = []
        for image, boxes in enumerate(case.gold(name)):
            mine = [box for _, at, box in case.found(name) if at == image]
            if boxes and mine:
                x, y = mine[0][0] + mine[0][2], mine[0][1] + mine[0][3]
                hits.append(any(distance_squared(x, y, box) <= (2 * MARGIN) ** 2 for _, box in boxes))
            elif boxes:
                hits.append(False)
        if hits:
            shares[f"pointing/{name}"] = sum(hits) / len(hits)
    return {"pointing": average([v for v in shares.values() if v is not None])} | shares


def distance_squared(x: float, y: float, box: BoxXYXY) -> float:
    x1, y1, x2, y2 = (2 * side for side in box)
    return max(x1 - x, 0, x - x2) ** 2 + max(y1 - y, 0, y - y2) ** 2


def test_pointing_at_classes_equals_plain_loops() -> None:
    for seed in range(CASES):
        case = random_case(seed)
        check_equal(by_name(pointing_at_classes(case.results, CLASSES)), pointing_oracle(case), seed)


def test_a_box_of_no_class_of_the_dataset_is_named() -> None:
    with pytest.raises(ValueError, match="not a class of its dataset"):
        pointing_at_classes([result for seed in range(CASES) for result in random_case(seed).results], [])
