"""Pascal VOC AP, 2007 and 2012, against the development kit in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from detection_cases import (
    BOX,
    CASES,
    CLASSES,
    FAR,
    Case,
    average,
    by_name,
    check_equal,
    detection_sample,
    overlap,
    random_case,
)
from samples import Gold

from engine.metrics import ImageResult
from engine.metrics.detection import average_precision
from engine.metrics.voc import eleven_point_area, interpolated_area, voc_average_precision
from schemas.records import Candidate


def voc_curve(case: Case, name: str) -> tuple[list[tuple[Fraction, Fraction]], int]:
    """Recall and precision after each detection that counts, as VOCevaldet.m goes through them."""
    gold, taken = case.gold(name), set()
    hard = [{n for n, _ in boxes} & places for boxes, places in zip(gold, case.hard(), strict=True)]
    wanted = sum(map(len, gold)) - sum(map(len, hard))
    right = wrong = 0
    points = []
    for _, image, box in case.found(name):
        most, at = Fraction(-1), -1
        for place, human in gold[image]:
            if overlap(box, human) > most:
                most, at = overlap(box, human), place
        if most >= Fraction(1, 2) and at in hard[image]:
            continue
        if most >= Fraction(1, 2) and (image, at) not in taken:
            right += 1
            taken.add((image, at))
        else:
            wrong += 1
        if wanted:
            points.append((Fraction(right, wanted), Fraction(right, right + wrong)))
    return points, wanted


def voc_oracle(case: Case, year: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name in CLASSES:
        points, wanted = voc_curve(case, name)
        if not wanted:
            continue
        if year == 2007:
            levels = [Fraction(n, 10) for n in range(11)]
            steps = [Fraction(1, 11)] * 11
        else:
            levels = sorted({recall for recall, _ in points})
            steps = [level - before for before, level in zip([Fraction(0), *levels], levels, strict=False)]
        best = [max((p for recall, p in points if recall >= level), default=Fraction(0)) for level in levels]
        found[f"voc{year % 100:02}_AP/{name}"] = float(sum(s * b for s, b in zip(steps, best, strict=True)))
    return {f"voc{year % 100:02}_AP": average([v for v in found.values() if v is not None])} | found


@pytest.mark.parametrize("year", [2007, 2012])
def test_voc_ap_equals_the_development_kit_in_exact_fractions(year: int) -> None:
    for seed in range(CASES):
        case = random_case(seed, difficult=True)
        found = by_name(voc_average_precision(case.results, CLASSES, year=year))
        check_equal(found, voc_oracle(case, year), seed)


def test_voc_areas_by_hand() -> None:
    right = np.array([True, False, True, False])  # recall .5 .5 1 1, precision 1 1/2 2/3 1/2, of 2 boxes
    assert interpolated_area(right, 2) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert eleven_point_area(right, 2) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11), "0 to 0.5, and 0.6 to 1"
    assert eleven_point_area(right, 4) == pytest.approx((3 * 1 + 3 * 2 / 3) / 11), "0 to 0.2, and 0.3 to 0.5"
    assert eleven_point_area(np.array([True] * 3), 10) == pytest.approx(4 / 11), "3 of 10 is a recall of 0.3"
    nothing = np.array([], dtype=np.bool_)
    assert (interpolated_area(nothing, 2), eleven_point_area(nothing, 2)) == (0.0, 0.0)


def test_a_second_box_on_a_human_box_is_wrong_though_it_overlaps_another() -> None:
    first, second = (0, 0, 100, 100), (30, 0, 130, 100)
    gold = detection_sample("a", [("dog", first), ("dog", second)])
    both = (Candidate(1, first, 0.9), Candidate(1, (10, 0, 110, 100), 0.8), Candidate(1, second, 0.7))
    figures = by_name(voc_average_precision([ImageResult(gold, both)], CLASSES, year=2012))
    assert figures["voc12_AP"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    coco = by_name(average_precision([ImageResult(gold, both)], CLASSES))
    assert coco["AP50"] == pytest.approx(1.0), "COCO lets it have the other one"


def test_a_difficult_box_is_neither_asked_for_nor_held_against_anyone() -> None:
    gold: Gold = [("dog", BOX), ("dog", FAR)]
    found = (Candidate(1, FAR, 0.9), Candidate(1, FAR, 0.8), Candidate(1, BOX, 0.7))
    one_hard = ImageResult(detection_sample("a", gold, difficult={1}), found)
    for year in (2007, 2012):
        figures = voc_average_precision([one_hard], CLASSES, year=year)
        assert figures.values[0].value == pytest.approx(1.0)
        assert figures.values[0].count == 1
    all_hard = ImageResult(detection_sample("a", gold, difficult={0, 1}), found)
    assert [metric.value for metric in voc_average_precision([all_hard], CLASSES, year=2012).values] == [None]
