"""LVIS fixed AP against plain loops written from the definition, and what a federated annotation leaves open."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from detection_cases import (
    BOX,
    CASES,
    CLASSES,
    FAR,
    FREQUENCIES,
    Case,
    area,
    average,
    by_name,
    check_equal,
    detection_sample,
    overlap,
    random_case,
)

from engine.metrics import ImageResult
from engine.metrics.federated import fixed_average_precision, read_frequencies
from schemas.records import BoxXYXY, Candidate

RECALL_LEVELS = np.linspace(0, 1, 101).tolist()
AREAS = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}


def lvis_oracle(case: Case, cap: int) -> dict[str, float | None]:
    """LVIS fixed AP by plain loops: 10 thresholds, 4 ranges of area, each class by itself."""
    thresholds = [Fraction(50 + 5 * step, 100) for step in range(10)]
    ap = {
        (name, size): [one_lvis_ap(case, name, cap, threshold, size) for threshold in thresholds]
        for name in CLASSES
        for size in AREAS
    }
    defined = {of: [v for v in values if v is not None] for of, values in ap.items()}
    figures = {f"lvis_AP{size}": average([v for n in CLASSES for v in defined[n, size]]) for size in AREAS}
    for label, step in (("50", 0), ("75", 5)):
        figures[f"lvis_AP{label}"] = average([defined[n, ""][step] for n in CLASSES if defined[n, ""]])
    for group in "rcf":
        figures[f"lvis_AP{group}"] = average([v for n in CLASSES if FREQUENCIES[n] == group for v in defined[n, ""]])
    asked = [
        n
        for n in CLASSES
        if any(p not in hard for ps, hard in zip(case.gold(n), case.hard(), strict=True) for p, _ in ps)
    ]
    return figures | {f"lvis_AP/{name}": average(defined[name, ""]) for name in asked}


def one_lvis_ap(case: Case, name: str, cap: int, threshold: Fraction, size: str) -> float | None:
    low, high = AREAS[size]
    gold = [
        [(box, place in hard or not low <= area(box) <= high) for place, box in boxes]
        for boxes, hard in zip(case.gold(name), case.hard(), strict=True)
    ]
    wanted = sum(not outside for boxes in gold for _, outside in boxes)
    if not wanted:
        return None
    taken: set[tuple[int, int]] = set()
    right = []
    for _, image, box in case.found(name)[:cap]:
        sample = case.results[image].gold
        looked_for = sample.absent_classes is None or name in sample.absent_classes or gold[image]
        if not looked_for or not area(box):
            continue
        match = best_free(box, image, gold[image], taken, threshold)
        if match is not None:
            taken.add((image, match))
            if not gold[image][match][1]:
                right.append(True)
        elif low <= area(box) <= high and name not in (sample.incomplete_classes or ()):
            right.append(False)
    return interpolated_at_101_points(right, wanted)


def best_free(
    box: BoxXYXY, image: int, gold: list[tuple[BoxXYXY, bool]], taken: set[tuple[int, int]], threshold: Fraction
) -> int | None:
    """The free box of the largest overlap, the last of equal ones; one outside the range of areas only where no other
    one overlaps enough."""
    free = [
        (not outside, overlap(box, human), n)
        for n, (human, outside) in enumerate(gold)
        if (image, n) not in taken and overlap(box, human) >= threshold
    ]
    return max(free)[2] if free else None


def interpolated_at_101_points(right: list[bool], wanted: int) -> float:
    points, found = [], 0
    for number, one in enumerate(right, start=1):
        found += one
        points.append((found / wanted, found / number))
    best = [max((p for recall, p in points if recall >= level), default=0.0) for level in RECALL_LEVELS]
    return sum(best) / 101


@pytest.mark.parametrize(("cap", "difficult"), [(10_000, False), (3, False), (10_000, True)])
def test_lvis_fixed_ap_equals_plain_loops(cap: int, difficult: bool) -> None:
    for seed in range(CASES if cap > 3 and not difficult else 40):
        case = random_case(seed, difficult=difficult)
        figures = fixed_average_precision(case.results, CLASSES, frequencies=FREQUENCIES, max_boxes_per_class=cap)
        check_equal(by_name(figures), lvis_oracle(case, cap), seed)


@pytest.mark.parametrize(
    ("absent", "incomplete", "expected"),
    [([], [], 1.0), (["dog"], [], 0.5), (["dog"], ["dog"], 1.0), (["kite"], [], 1.0), (None, None, 0.5)],
)
def test_a_false_box_counts_only_where_its_class_was_looked_for(
    absent: list[str] | None, incomplete: list[str] | None, expected: float
) -> None:
    results = [
        ImageResult(detection_sample("a", [("dog", BOX)], []), (Candidate(1, BOX, 0.5),)),
        ImageResult(detection_sample("b", [], absent, incomplete), (Candidate(1, FAR, 0.9),)),
    ]
    figures = by_name(fixed_average_precision(results, CLASSES, frequencies=FREQUENCIES))
    assert figures["lvis_AP/dog"] == pytest.approx(expected)
    assert (figures["lvis_APc"], figures["lvis_APr"]) == (pytest.approx(expected), None)


def test_the_best_boxes_of_a_class_are_taken_over_the_dataset_not_over_an_image() -> None:
    two = (Candidate(1, BOX, 0.9), Candidate(1, FAR, 0.8))
    results = [
        ImageResult(detection_sample("a", [("dog", BOX)]), (Candidate(1, BOX, 0.5),)),
        ImageResult(detection_sample("b", [("dog", BOX), ("dog", FAR)]), two),
    ]
    capped = by_name(fixed_average_precision(results, CLASSES, max_boxes_per_class=2))
    assert capped["lvis_AP"] == pytest.approx(67 / 101), "2 of 3 boxes: the recall points 0, 0.01, ..., 0.66"
    assert by_name(fixed_average_precision(results, CLASSES))["lvis_AP"] == pytest.approx(1.0)
    assert "lvis_APr" not in capped, "without the frequencies there are no groups"


def test_a_class_without_frequency_is_refused() -> None:
    result = ImageResult(detection_sample("a", [("dog", BOX)]), ())
    with pytest.raises(ValueError, match="1 of 5 classes, the first 'walrus', have no frequency"):
        fixed_average_precision([result], [*CLASSES, "walrus"], frequencies=FREQUENCIES)


def test_frequencies_are_read_by_the_names_of_the_import(tmp_path: Path) -> None:
    file = tmp_path / "lvis.json"
    file.write_text('{"categories": [{"name": "sea_urchin", "frequency": "r"}, {"name": "dog", "frequency": "c"}]}')
    assert read_frequencies(file) == {"sea urchin": "r", "dog": "c"}
    file.write_text('{"categories": [{"name": "dog"}]}')
    with pytest.raises(ValueError, match="not an LVIS annotation file: a category has frequency None"):
        read_frequencies(file)


@pytest.mark.data
def test_the_real_frequencies_of_lvis_are_read(data_folder: Path) -> None:
    file = data_folder / "lvis/lvis_v0.5_val_open.json"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    found = read_frequencies(file)
    assert len(found) > 1200
    assert set(found.values()) == {"r", "c", "f"}
