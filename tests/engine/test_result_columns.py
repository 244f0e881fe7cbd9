"""Results as columns: nothing is lost on the way into them, and no figure depends on how many pictures go at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from detection_cases import CLASSES, FREQUENCIES, random_case
from judged_columns import judged_columns
from samples import detection_sample, grounding_sample

from engine.metrics import Figures, ImageResult, class_boxes, judged
from engine.metrics.candidates import NO_CANDIDATES, Candidates
from engine.metrics.judged import judge_boxes
from engine.metrics.judged_boxes import JudgedBox
from engine.metrics.protocols import PROTOCOLS, ScoringContext, Task, score_by
from engine.metrics.results import Results
from schemas.records import BoxXYXY, Candidate

BOX: BoxXYXY = (10, 10, 60, 60)
CONTEXT = ScoringContext(CLASSES, 100, FREQUENCIES, {"dog": "tail", "person": "head"})


def as_results(results: Sequence[ImageResult], unit: int = 3) -> Results:
    """The same, as an evaluation holds them: unit by unit; a picture without candidates has no answer."""
    held = Results()
    for first in range(0, len(results), unit):
        some = results[first : first + unit]
        answers = {one.gold.key: Candidates.of(one.candidates) for one in some if one.candidates}
        held.add([one.gold for one in some], answers)
    return held


def everything(task: Task, results: Any) -> tuple[dict[str, Any], list[JudgedBox]]:
    """All figures of a task, and what became of every box."""
    names = [name for name in PROTOCOLS[task] if name != "referring"]
    figures = score_by(names, task, results, CONTEXT)
    return dataclasses.asdict(figures), list(judge_boxes(results, CLASSES if task == "detection" else (), 100))


def grounding_case(seed: int) -> list[ImageResult]:
    """Some phrases without a box, some without a candidate; two samples of a picture now and then; scores with ties."""
    rng = np.random.default_rng(seed)
    results = []
    for number in range(int(rng.integers(1, 7))):
        phrases = {name: [box_near(rng, BOX) for _ in range(rng.integers(0, 3))] for name in ("a dog", "a cat")}
        found = [
            Candidate(int(rng.integers(0, 2)), box_near(rng, BOX), int(rng.integers(1, 5)) / 5)
            for _ in range(rng.integers(0, 9))
        ]
        results.append(ImageResult(grounding_sample(f"{seed}-{number // 2}", phrases, number % 2), tuple(found)))
    return results


def box_near(rng: np.random.Generator, box: BoxXYXY) -> BoxXYXY:
    x1, y1, x2, y2 = (int(side + shift) for side, shift in zip(box, rng.integers(-10, 11, 4), strict=True))
    return (x1, y1, x2, y2)


def cases(task: Task) -> list[list[ImageResult]]:
    if task == "detection":
        return [random_case(seed, difficult=seed % 2 == 1).results for seed in range(30)]
    return [grounding_case(seed) for seed in range(30)]


def test_candidates_read_one_by_one_are_what_was_given() -> None:
    given = (Candidate(2, BOX, 0.25), Candidate(0, (1.5, 2, 3, 4), 0.75))
    columns = Candidates.of(given)
    assert tuple(columns) == given
    assert columns[1] == given[1]
    assert tuple(columns[1:]) == given[1:]
    assert Candidates.of(columns) is columns
    assert tuple(columns.best_first(1)) == given[1:]
    assert (len(NO_CANDIDATES), NO_CANDIDATES.boxes_xyxy.shape) == (0, (0, 4))


@pytest.mark.parametrize("task", PROTOCOLS)
def test_held_as_columns_results_give_the_same_figures(task: Task) -> None:
    for results in cases(task):
        held = as_results(results)
        assert len(held) == len(results)
        assert everything(task, held) == everything(task, results)


@pytest.mark.parametrize("task", PROTOCOLS)
def test_no_figure_depends_on_how_many_pictures_go_at_once(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [everything(task, results) for results in cases(task)]
    monkeypatch.setattr(class_boxes, "PICTURES_AT_ONCE", 1)
    monkeypatch.setattr(judged, "PICTURES_A_PART", 2)
    assert [everything(task, results) for results in cases(task)] == expected


def test_an_empty_unit_adds_nothing_and_a_picture_without_answer_is_missed() -> None:
    held = Results()
    held.add([], {})
    held.add([grounding_sample("a", {"a dog": [BOX]})], {})
    held.add([], {"of nobody": NO_CANDIDATES})
    (value, *_) = score_by(("any-box",), "grounding", held, ScoringContext()).values
    assert (len(held), value.value, value.count) == (1, 0.0, 1)
    assert [one.outcome for one in judge_boxes(held, (), 100)] == ["missed"]


def test_no_result_gives_no_figure_and_no_box() -> None:
    for task in PROTOCOLS:
        figures, boxes = everything(task, Results())
        assert {one.value for one in figures["values"]} <= {None}
        assert boxes == []


def test_candidates_of_what_is_not_there_are_wrong_in_detection_and_not_asked_about_in_grounding() -> None:
    answer = (Candidate(1, BOX, 0.9),)
    nothing_there = [ImageResult(detection_sample("a", [], classes=CLASSES), answer)]
    assert [one.outcome for one in judge_boxes(nothing_there, CLASSES, 100)] == ["background"]
    both = [*nothing_there, ImageResult(detection_sample("b", [("dog", BOX)], classes=CLASSES), answer)]
    figures: Figures = score_by(("coco",), "detection", both, CONTEXT)
    assert next(one.value for one in figures.values if one.name == "AP50/dog") == pytest.approx(0.5)
    no_box = [ImageResult(grounding_sample("a", {"a dog": [], "a cat": [BOX]}), (Candidate(0, BOX, 0.9),))]
    assert [(one.name, one.outcome) for one in judge_boxes(no_box, (), 100)] == [("a cat", "missed")]


def test_judged_boxes_are_read_one_by_one_as_they_were_made() -> None:
    results = [one for seed in range(4) for one in random_case(seed).results]
    boxes = list(judge_boxes(results, CLASSES, 100))
    again = judged_columns(boxes)
    assert list(again) == boxes
    assert [again[number] for number in (0, -1)] == [boxes[0], boxes[-1]]
    assert again[2:5] == boxes[2:5]
    assert np.array_equal([one.rank for one in boxes], np.concatenate([part.rank for part in again.parts]))
    counts = {outcome: sum(one.outcome == outcome for one in boxes) for outcome in again.outcomes()}
    assert again.outcomes() == counts
