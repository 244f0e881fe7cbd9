"""COCO AP, LVIS fixed AP, Pascal VOC AP and pointing at classes against oracles of other making: pycocotools by its own
way in, and plain loops written from the definitions. Boxes have whole coordinates, so that both sides meet the same
overlaps exactly."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import samples
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.metrics import Figures, ImageResult
from engine.metrics.detection import average_precision
from engine.metrics.federated import fixed_average_precision, read_frequencies
from engine.metrics.pointing import pointing_at_classes
from engine.metrics.voc import eleven_point_area, interpolated_area, voc_average_precision
from schemas.records import BoxXYXY, Candidate
from schemas.shards import SamplePhrase

CLASSES = ["person", "dog", "kite", "sea urchin"]
FREQUENCIES = {"person": "f", "dog": "c", "kite": "c", "sea urchin": "r"}
CASES = 200
detection_sample = functools.partial(samples.detection_sample, classes=CLASSES, side=400)


@dataclass
class Case:
    """A small dataset with answers, and which of its boxes are difficult."""

    results: list[ImageResult]
    difficult: dict[str, set[int]]

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
def random_case(seed: int) -> Case:
    """Few images, boxes of all sizes, detections near, far, twice and missing, scores with ties; every third case has
    a class that is never there, some images have no box or no answer, some cases neither."""
    rng = np.random.default_rng(seed)
    there = CLASSES[: 3 if seed % 3 == 0 else 4]
    sizes = (1, 12, 32, 60, 96, 150)
    results, difficult = [], {}
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
        results.append(ImageResult(detection_sample(key, gold, *lists), () if rng.random() < 0.1 else scored))
        difficult[key] = {place for place in range(len(gold)) if rng.random() < 0.25}
    return Case(results, difficult)


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


# ------------------------------------------------------------------------------------------------------------- COCO


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


# ------------------------------------------------------------------------------------------------------------- LVIS

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
    return figures | {f"lvis_AP/{name}": average(defined[name, ""]) for name in CLASSES if any(case.gold(name))}


def one_lvis_ap(case: Case, name: str, cap: int, threshold: Fraction, size: str) -> float | None:
    low, high = AREAS[size]
    gold = [[(box, not low <= area(box) <= high) for _, box in boxes] for boxes in case.gold(name)]
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


@pytest.mark.parametrize("cap", [10_000, 3])
def test_lvis_fixed_ap_equals_plain_loops(cap: int) -> None:
    for seed in range(CASES if cap > 3 else 40):
        case = random_case(seed)
        figures = fixed_average_precision(case.results, CLASSES, frequencies=FREQUENCIES, max_boxes_per_class=cap)
        check_equal(by_name(figures), lvis_oracle(case, cap), seed)


BOX: BoxXYXY = (10, 10, 110, 110)
FAR: BoxXYXY = (200, 200, 300, 300)


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
    with pytest.raises(ValueError, match="no LVIS annotation file: a category has frequency None"):
        read_frequencies(file)


@pytest.mark.data
def test_the_real_frequencies_of_lvis_are_read() -> None:
    file = Path(os.environ.get("GLIP_ENGINE_DATA", "../shared/data")) / "lvis/lvis_v0.5_val_open.json"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    found = read_frequencies(file)
    assert len(found) > 1200
    assert set(found.values()) == {"r", "c", "f"}


# -------------------------------------------------------------------------------------------------------------- VOC


def voc_curve(case: Case, name: str) -> tuple[list[tuple[Fraction, Fraction]], int]:
    """Recall and precision after each detection that counts, as VOCevaldet.m goes through them."""
    gold, taken = case.gold(name), set()
    hard = [
        {n for n, _ in boxes if n in case.difficult[r.gold.key]} for r, boxes in zip(case.results, gold, strict=True)
    ]
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
        case = random_case(seed)
        found = by_name(voc_average_precision(case.results, CLASSES, year=year, difficult=case.difficult))
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
    gold = detection_sample("a", [("dog", BOX), ("dog", FAR)])
    found = (Candidate(1, FAR, 0.9), Candidate(1, FAR, 0.8), Candidate(1, BOX, 0.7))
    for year in (2007, 2012):
        figures = voc_average_precision([ImageResult(gold, found)], CLASSES, year=year, difficult={"a": {1}})
        assert figures.values[0].value == pytest.approx(1.0)
        assert figures.values[0].count == 1
    only_difficult = voc_average_precision([ImageResult(gold, found)], CLASSES, year=2012, difficult={"a": {0, 1}})
    assert [metric.value for metric in only_difficult.values] == [None]


# ---------------------------------------------------------------------------------------------------- pointing game


def pointing_oracle(case: Case, margin: float) -> dict[str, float | None]:
    """Each class by itself; twice the centre and twice the boxes keep the numbers whole."""
    shares: dict[str, float | None] = {}
    for name in CLASSES:
        hits = []
        for image, boxes in enumerate(case.gold(name)):
            mine = [box for _, at, box in case.found(name) if at == image]
            if boxes and mine:
                x, y = mine[0][0] + mine[0][2], mine[0][1] + mine[0][3]
                hits.append(any(distance_squared(x, y, box) <= (2 * margin) ** 2 for _, box in boxes))
            elif boxes:
                hits.append(False)
        if hits:
            shares[f"pointing/{name}"] = sum(hits) / len(hits)
    return {"pointing": average([v for v in shares.values() if v is not None])} | shares


def distance_squared(x: float, y: float, box: BoxXYXY) -> float:
    x1, y1, x2, y2 = (2 * side for side in box)
    return max(x1 - x, 0, x - x2) ** 2 + max(y1 - y, 0, y - y2) ** 2


@pytest.mark.parametrize("margin", [0.0, 15.0])
def test_pointing_at_classes_equals_plain_loops(margin: float) -> None:
    for seed in range(CASES):
        case = random_case(seed)
        check_equal(
            by_name(pointing_at_classes(case.results, CLASSES, margin_px=margin)), pointing_oracle(case, margin), seed
        )


# -------------------------------------------------------------------------------------------------------- all alike


METRICS: list[Callable[[list[ImageResult]], Figures]] = [
    lambda results: average_precision(results, CLASSES),
    lambda results: fixed_average_precision(results, CLASSES),
    lambda results: voc_average_precision(results, CLASSES, year=2007),
    lambda results: voc_average_precision(results, CLASSES, year=2012),
    lambda results: pointing_at_classes(results, CLASSES),
]


@pytest.mark.parametrize("metric", METRICS)
def test_without_a_human_box_there_is_no_figure(metric: Callable[[list[ImageResult]], Figures]) -> None:
    found_something = ImageResult(detection_sample("a", []), (Candidate(1, BOX, 0.5),))
    for results in ([], [found_something]):
        assert {one.value for one in metric(results).values} == {None}


@pytest.mark.parametrize("metric", METRICS)
def test_without_a_detection_every_figure_is_zero_and_a_class_without_boxes_has_none(
    metric: Callable[[list[ImageResult]], Figures],
) -> None:
    figures = metric([ImageResult(detection_sample("a", [("dog", BOX)]), ())])
    assert figures.values[0].value == 0.0
    values = by_name(figures)
    assert set(values.values()) <= {0.0, None}
    assert {name.partition("/")[2] for name in values} == {"", "dog"}


@pytest.mark.parametrize("metric", METRICS)
def test_a_box_of_no_class_is_named(metric: Callable[[list[ImageResult]], Figures]) -> None:
    eel = SamplePhrase(text="eel", start=0, end=3, head_lemma="eel")
    stranger = detection_sample("a", [("dog", BOX)]).model_copy(update={"caption": "eel", "phrases": [eel]})
    with pytest.raises(ValueError, match="'a' has boxes of 'eel'"):
        metric([ImageResult(stranger, ())])
