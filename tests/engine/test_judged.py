"""What became of each box: hand-worked outcomes, and curves whose means are the figures of the metrics themselves."""

from __future__ import annotations

import numpy as np
import pytest
from judged_columns import judged_columns
from samples import Gold, detection_sample, grounding_sample

from engine.metrics import ImageResult
from engine.metrics.curves import class_curve, phrase_curve
from engine.metrics.detection import average_precision, gold_counts
from engine.metrics.grounding import phrase_recall
from engine.metrics.judged import judge_boxes
from engine.metrics.judged_boxes import JudgedBox, JudgedBoxes
from schemas.records import BoxXYXY, Candidate
from schemas.shards import SampleCrowd

CLASSES = ["cat", "dog"]
LEFT: BoxXYXY = (0, 0, 40, 40)
RIGHT: BoxXYXY = (100, 100, 140, 140)
NOWHERE: BoxXYXY = (150, 0, 199, 30)
SHIFTED: BoxXYXY = (20, 0, 60, 40)  # IoU 1/3 with LEFT


def outcomes(judged: JudgedBoxes) -> list[tuple[str, int, str]]:
    return [(one.name, one.rank, one.outcome) for one in judged]


def test_a_detection_is_right_once_and_each_mistake_has_its_kind() -> None:
    gold = detection_sample("a", [("dog", LEFT), ("dog", RIGHT), ("cat", (0, 100, 40, 140))], classes=CLASSES)
    boxes = (LEFT, LEFT, SHIFTED, (0, 100, 40, 140), NOWHERE)
    answer = tuple(Candidate(1, box, 0.9 - 0.1 * place) for place, box in enumerate(boxes))
    assert outcomes(judge_boxes([ImageResult(gold, answer)], CLASSES, 100)) == [
        ("cat", 0, "missed"),
        ("dog", 1, "right"),
        ("dog", 2, "duplicate"),
        ("dog", 3, "localisation"),
        ("dog", 4, "other_name"),
        ("dog", 5, "background"),
        ("dog", 0, "missed"),
    ]


@pytest.mark.parametrize(
    ("height", "outcome"),
    [(20.0, "right"), (19.9, "localisation"), (4.0, "localisation"), (3.9, "background")],
    ids=["IoU of a half", "less", "of a tenth", "less than that"],
)
def test_a_box_is_right_from_a_half_on_and_near_from_a_tenth_on(height: float, outcome: str) -> None:
    gold = detection_sample("a", [("dog", LEFT)], classes=CLASSES)
    answer = (Candidate(1, (0, 0, 40, height), 0.9),)
    assert judge_boxes([ImageResult(gold, answer)], CLASSES, 100)[0].outcome == outcome


def test_what_lies_in_a_crowd_of_its_class_is_not_judged_unless_it_is_right() -> None:
    crowds = [SampleCrowd(name="dog", box_xyxy=(100, 100, 200, 200)), SampleCrowd(name="bus", box_xyxy=LEFT)]
    gold = detection_sample("a", [("dog", RIGHT)], classes=CLASSES).model_copy(update={"crowds": crowds})
    answer = (Candidate(1, RIGHT, 0.9), Candidate(1, RIGHT, 0.8), Candidate(0, RIGHT, 0.8), Candidate(1, LEFT, 0.7))
    assert outcomes(judge_boxes([ImageResult(gold, answer)], CLASSES, 100)) == [
        ("cat", 1, "other_name"),
        ("dog", 1, "right"),
        ("dog", 3, "background"),
    ]


def test_a_missed_box_tells_how_near_the_answers_came() -> None:
    gold = detection_sample("a", [("dog", LEFT)], classes=CLASSES)
    *_, missed = judge_boxes([ImageResult(gold, (Candidate(1, SHIFTED, 0.5),))], CLASSES, 100)
    assert (missed.box_xyxy, missed.overlap) == (LEFT, pytest.approx(1 / 3, abs=1e-4))


def test_of_two_things_that_overlap_each_is_found_once() -> None:
    gold = detection_sample("a", [("dog", LEFT), ("dog", (0, 0, 40, 48))], classes=CLASSES)
    answer = tuple(Candidate(1, LEFT, score) for score in (0.9, 0.8, 0.7))  # the second takes the one that is left
    found = judge_boxes([ImageResult(gold, answer)], CLASSES, 100)
    assert [one.outcome for one in found] == ["right", "right", "duplicate"]


def test_a_phrase_is_found_on_any_of_its_boxes_and_missed_once() -> None:
    gold = grounding_sample("a", {"two dogs": [LEFT, RIGHT], "a cat": [NOWHERE], "a walk": []})
    answer = (Candidate(0, RIGHT, 0.4), Candidate(1, LEFT, 0.9), Candidate(2, LEFT, 0.9))
    assert outcomes(judge_boxes([ImageResult(gold, answer)], (), 100)) == [
        ("two dogs", 1, "right"),
        ("a cat", 1, "other_name"),
        ("a cat", 0, "missed"),
    ]


def test_what_takes_a_difficult_box_is_not_judged_and_such_a_box_is_never_missed() -> None:
    gold = detection_sample("a", [("dog", LEFT), ("dog", RIGHT)], classes=CLASSES, difficult={0})
    answer = (Candidate(1, LEFT, 0.9), Candidate(1, LEFT, 0.8), Candidate(1, SHIFTED, 0.7), Candidate(0, LEFT, 0.6))
    assert outcomes(judge_boxes([ImageResult(gold, answer)], CLASSES, 100)) == [
        ("cat", 1, "other_name"),
        ("dog", 2, "duplicate"),
        ("dog", 3, "localisation"),
        ("dog", 0, "missed"),
    ]
    assert judge_boxes([ImageResult(gold, ())], CLASSES, 100)[0].box_xyxy == RIGHT


def random_results(seed: int, *, detection: bool) -> list[ImageResult]:
    """Where boxes are of classes, every third one of every second seed is difficult."""
    rng = np.random.default_rng(seed)
    results = []
    for image in range(12):
        gold: Gold = [(CLASSES[rng.integers(2)], _box(rng)) for _ in range(rng.integers(0, 4))]
        near = [_nudged(rng, box) for _, box in gold]
        boxes = [*near, *(_box(rng) for _ in range(rng.integers(0, 4)))]
        answer = tuple(Candidate(int(rng.integers(2)), box, float(rng.integers(1, 30)) / 30) for box in boxes)
        if detection:
            hard = set(range(image % 3, len(gold), 3)) if seed % 2 else set()
            sample = detection_sample(str(image), gold, classes=CLASSES, difficult=hard)
            results.append(ImageResult(sample, answer))
        else:
            phrases = {name: [box for own, box in gold if own == name] for name in CLASSES}
            results.append(ImageResult(grounding_sample(str(image), phrases), answer))
    return results


def _box(rng: np.random.Generator) -> BoxXYXY:
    x, y, w, h = (int(value) for value in rng.integers((0, 0, 8, 8), (100, 100, 90, 90)))
    return (x, y, x + w, y + h)


def _nudged(rng: np.random.Generator, box: BoxXYXY) -> BoxXYXY:
    x1, y1, x2, y2 = (int(value + rng.integers(-3, 4)) for value in box)
    return (x1, y1, x2, y2)


@pytest.mark.parametrize("seed", range(40))
def test_the_mean_of_the_class_curve_is_ap50(seed: int) -> None:
    results = random_results(seed, detection=True)
    judged = judge_boxes(results, CLASSES, 100)
    curve = class_curve(judged, gold_counts(results, CLASSES))
    figures = {one.name: one.value for one in average_precision(results, CLASSES).values}
    assert curve is not None
    assert np.mean(curve.precision) == pytest.approx(figures["AP50"], abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_the_phrase_curve_ends_at_recall_at_one(seed: int) -> None:
    results = random_results(seed, detection=False)
    judged = judge_boxes(results, (), 100)
    figures = {one.name: one for one in phrase_recall(results).values}
    curve = phrase_curve(judged)
    assert curve is not None
    assert curve.recall[-1] == pytest.approx(figures["phrase_recall@1"].value)
    assert curve.recall == sorted(curve.recall)
    assert curve.score == sorted(curve.score, reverse=True)


@pytest.mark.parametrize("seed", range(10))
def test_every_candidate_of_what_is_asked_for_is_judged_and_missed_and_right_make_all_human_boxes(seed: int) -> None:
    results = random_results(seed, detection=True)
    judged = judge_boxes(results, CLASSES, 100)
    if not any(box.difficult for result in results for box in result.gold.boxes):
        assert sum(one.rank > 0 for one in judged) == sum(len(result.candidates) for result in results)
    human = sum(gold_counts(results, CLASSES).values())
    assert sum(one.outcome in ("right", "missed") for one in judged) == human


def test_answers_of_a_class_without_a_human_box_are_in_no_curve() -> None:
    names = ["bird", *CLASSES]
    gold = detection_sample("a", [("cat", LEFT), ("dog", RIGHT)], classes=names)
    answer = (Candidate(0, NOWHERE, 0.9), Candidate(1, LEFT, 0.5), Candidate(2, RIGHT, 0.5))
    curve = class_curve(judge_boxes([ImageResult(gold, answer)], names, 100), {"bird": 0, "cat": 1, "dog": 1})
    assert curve is not None
    assert curve.precision == [1.0] * 101


def test_where_nothing_is_asked_for_there_is_no_curve() -> None:
    assert phrase_curve(judged_columns([])) is None
    assert phrase_curve(judge_boxes([], (), 100)) is None
    assert class_curve(judged_columns([]), {"dog": 0}) is None
    assert not len(judge_boxes([ImageResult(grounding_sample("a", {"a walk": []}), ())], (), 100))
    assert not len(judge_boxes([ImageResult(detection_sample("a", [], classes=CLASSES), ())], CLASSES, 100))


def test_a_point_of_the_phrase_curve_is_all_that_scores_at_least_so_much() -> None:
    """Of four boxes at 0.5 two are right: no score keeps just these two."""
    scores = {"right": 0.9, "also right": 0.5, "right too": 0.5, "wrong": 0.5, "wrong too": 0.5}
    judged = [
        JudgedBox(key, 0, key, 1, score, LEFT, 0.0, "background" if "wrong" in key else "right")
        for key, score in scores.items()
    ]
    curve = phrase_curve(judged_columns(judged))
    assert curve is not None
    assert (curve.score, curve.recall, curve.precision) == ([0.9, 0.5], [0.2, 0.6], [1.0, 0.6])
