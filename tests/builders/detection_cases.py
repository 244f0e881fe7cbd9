"""Small detection datasets with answers, drawn by a seed, for metrics to be held against oracles. Boxes have whole
coordinates, so that both sides meet the same overlaps exactly."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import samples

from engine.metrics import Figures, ImageResult
from schemas.records import BoxXYXY, Candidate

CLASSES = ["person", "dog", "kite", "sea urchin"]
FREQUENCIES = {"person": "f", "dog": "c", "kite": "c", "sea urchin": "r"}
CASES = 200
detection_sample = functools.partial(samples.detection_sample, classes=CLASSES, side=400)


@dataclass
class Case:
    """A small dataset with answers."""

    results: list[ImageResult]

    def hard(self) -> list[set[int]]:
        """For each image, the positions of the boxes that are difficult."""
        return [{n for n, box in enumerate(result.gold.boxes) if box.difficult} for result in self.results]

    def gold(self, name: str) -> list[list[tuple[int, BoxXYXY]]]:
        """For each image, the boxes of a class with their positions."""
        return [
            [(n, box.box_xyxy) for n, box in enumerate(r.gold.boxes) if r.gold.phrases[box.phrase].text == name]
            for r in self.results
        ]

    def found(self, name: str) -> list[tuple[float, int, BoxXYXY]]:
        """Score, image and box of each detection of a class, best first; equal ones by image, then as given."""
        number = CLASSES.index(name)
        rows = [
            (c.score, i, c.box_xyxy) for i, r in enumerate(self.results) for c in r.candidates if c.phrase == number
        ]
        return sorted(rows, key=lambda row: -row[0])


@functools.cache
def random_case(seed: int, *, difficult: bool = False) -> Case:
    """Few images, boxes of all sizes, detections near, far, twice and missing, scores with ties; every third case has
    a class that is never there, some images have no box or no answer, some cases neither. A quarter of the boxes is
    difficult where that is wanted."""
    rng = np.random.default_rng(seed)
    there = CLASSES[: 3 if seed % 3 == 0 else 4]
    sizes = (1, 12, 32, 60, 96, 150)
    results = []
    for image in range(int(rng.integers(0 if seed % 20 == 0 else 1, 5))):
        key, gold, found = f"{seed}-{image}", [], []
        for _ in range(int(rng.integers(0, 6))):
            name = str(rng.choice(there))
            x, y, w, h = (int(v) for v in (*rng.integers(0, 200, 2), *rng.choice(sizes, 2)))
            gold.append((name, (x, y, x + w, y + h)))
            for _ in range(int(rng.integers(0, 3))):
                number = int(rng.integers(0, 4)) if rng.random() < 0.1 else CLASSES.index(name)
                found.append((number, near((x, y, x + w, y + h), rng)))
        found += [(int(rng.integers(0, 4)), (5, 5, 80, 90)) for _ in range(int(rng.integers(0, 3)))]
        scored = tuple(Candidate(number, box, int(rng.integers(1, 8)) / 8) for number, box in found)
        present = {name for name, _ in gold}
        absent = [name for name in CLASSES if name not in present and rng.random() < 0.5]
        incomplete = [name for name in CLASSES if rng.random() < 0.25]
        lists = (absent, incomplete) if rng.random() < 0.8 else (None, None)
        answer = () if rng.random() < 0.1 else scored
        hard = {place for place in range(len(gold)) if rng.random() < 0.25}
        sample = detection_sample(key, gold, *lists, difficult=hard if difficult else ())
        results.append(ImageResult(sample, answer))
    return Case(results)


def near(box: BoxXYXY, rng: np.random.Generator) -> BoxXYXY:
    """The box, each side moved a little; sometimes without area."""
    reach = int(max(1, (box[2] - box[0]) // 5))
    x1, y1, x2, y2 = (
        max(0, int(side + shift)) for side, shift in zip(box, rng.integers(-reach, reach + 1, 4), strict=True)
    )
    return (x1, y1, max(x1, x2), max(y1, y2))


@functools.cache
def overlap(a: BoxXYXY, b: BoxXYXY) -> Fraction:
    """Intersection over union, exact for whole coordinates."""
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = area(a) + area(b) - shared
    return Fraction(int(shared), int(union)) if union else Fraction(0)


def area(box: BoxXYXY) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def by_name(figures: Figures) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in figures.values}


def average(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def check_equal(found: dict[str, float | None], expected: dict[str, float | None], seed: int) -> None:
    assert found.keys() == expected.keys(), f"case {seed}"
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=1e-6)), f"case {seed}, {name}"


BOX: BoxXYXY = (10, 10, 110, 110)
FAR: BoxXYXY = (200, 200, 300, 300)
