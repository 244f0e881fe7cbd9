"""Selection: each rule drops what its name says, nothing else, and kept + dropped is what came in."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from sample_labels import labels_of

from engine.review.selecting import iou
from engine.selection import PRESETS, keep_above_floor, resolve_selection, select, select_with_reasons
from schemas.records import Candidate, CaptionedImage, Grounding, Phrase, PseudoLabel, Reject
from schemas.shards import SampleLabels

CAPTION = "a dog in a field for a long time"
PHRASES = [(0, 5, "dog"), (0, 16, "dog"), (21, 32, "time")]  # the second holds the first; the third is abstract
LEFT, LEFT_TOO, RIGHT = (0.0, 0.0, 50.0, 90.0), (1.0, 0.0, 50.0, 90.0), (50.0, 0.0, 99.0, 90.0)


def labels(*boxes: tuple[int, tuple[float, float, float, float], float]) -> SampleLabels:
    return labels_of(CAPTION, PHRASES, boxes)


def kept(sample: SampleLabels, selection: Any) -> list[float]:
    return [box.score for box in select(sample, selection).boxes]


def test_glip_keeps_what_scores_more_than_a_half() -> None:
    assert kept(labels((0, LEFT, 0.5), (0, RIGHT, 0.51)), "glip") == [0.51]


def test_owl_st_keeps_low_boxes_only_beside_a_good_one() -> None:
    low, good = (0, LEFT, 0.11), (0, RIGHT, 0.31)
    assert kept(labels(low, good), "owl-st") == [0.11, 0.31]
    assert kept(labels(low, (0, RIGHT, 0.3)), "owl-st") == []
    assert kept(labels((0, LEFT, 0.1), good), "owl-st") == [0.31]


@pytest.mark.parametrize(
    ("boxes", "expected", "reasons"),
    [
        ([(1, LEFT, 0.65), (1, RIGHT, 0.66)], [0.66], {"score_not_above_min": 1}),
        ([(2, LEFT, 0.9), (1, RIGHT, 0.8)], [0.8], {"phrase_abstract": 1}),
        ([(0, LEFT, 0.9), (1, RIGHT, 0.8)], [0.8], {"phrase_contained": 1}),
        ([(0, LEFT, 0.9), (1, RIGHT, 0.5)], [0.9], {"score_not_above_min": 1}),
        ([(1, LEFT, 0.8), (1, LEFT_TOO, 0.9), (1, RIGHT, 0.7)], [0.9, 0.7], {"box_overlaps_better": 1}),
    ],
)
def test_grit_drops_by_each_of_its_rules(boxes: Any, expected: list[float], reasons: dict[str, int]) -> None:
    sample = labels(*boxes)
    assert kept(sample, "grit") == expected
    assert select_with_reasons(sample, "grit")[1] == reasons


@pytest.mark.parametrize("preset", PRESETS)
def test_kept_and_dropped_are_what_came_in_and_phrases_stay(preset: str) -> None:
    sample = labels(*((phrase, box, score / 20) for phrase in range(3) for box in (LEFT, RIGHT) for score in range(20)))
    chosen, dropped = select_with_reasons(sample, preset)
    assert len(chosen.boxes) + sum(dropped.values()) == len(sample.boxes)
    assert chosen.phrases == sample.phrases
    assert select(chosen, preset) == chosen
    assert select(labels(), preset).boxes == []


def test_numbers_select_as_a_preset_does() -> None:
    sample = labels((0, LEFT, 0.5), (0, RIGHT, 0.51))
    assert select(sample, {"min_score": 0.5}) == select(sample, "glip")


def test_what_is_not_asked_for_drops_nothing() -> None:
    """Not a whole image, nor a phrase inside another, nor an abstract one, nor a box twice, nor a score of 0."""
    whole = (0.0, 0.0, 100.0, 100.0)
    sample = labels((0, whole, 0.9), (1, whole, 0.9), (2, LEFT, 0.5), (2, LEFT, 0.0), (2, (5.0, 5.0, 5.0, 5.0), 0.1))
    assert select(sample, {}) == sample == select(sample, "all")


@pytest.mark.parametrize("wrong", ["calibrated", {"min_scor": 0.5}, {"min_score": 7}])
def test_an_unknown_selection_is_an_error_in_one_line(wrong: Any) -> None:
    with pytest.raises(ValueError, match="selection") as caught:
        resolve_selection(wrong)
    assert "\n" not in str(caught.value)


def test_a_field_of_a_selection_that_is_misspelt_is_told_with_the_one_that_is_meant() -> None:
    with pytest.raises(ValueError, match="did you mean 'min_score'"):
        resolve_selection({"min_scor": 0.5})


def grounding(*scores: float) -> Grounding:
    candidates = tuple(Candidate(number % 2, (0.0, 0.0, 5.0, 5.0), score) for number, score in enumerate(scores))
    image = CaptionedImage("k", b"", "jpg", "a b", "here")
    return Grounding(image, (Phrase("a", 0, 1, "a"), Phrase("b", 2, 3, "b")), 10, 10, candidates)


def test_the_floor_keeps_the_best_few_of_each_phrase() -> None:
    label = keep_above_floor(grounding(0.1, 0.2, 0.3, 0.05, 0.6, 0.04), min_score=0.05, max_boxes_per_phrase=2)
    assert isinstance(label, PseudoLabel)
    assert [(c.phrase, c.score) for c in label.candidates] == [(0, 0.6), (0, 0.3), (1, 0.2), (1, 0.05)]


def test_which_of_equal_scores_are_kept_does_not_depend_on_the_order_of_the_answer() -> None:
    answer = grounding()
    boxes = [Candidate(0, (float(left), 0.0, 9.0, 9.0), 0.5) for left in (3, 1, 2)]
    for order in permutations(boxes):
        label = keep_above_floor(replace(answer, candidates=order), min_score=0.05, max_boxes_per_phrase=2)
        assert isinstance(label, PseudoLabel)
        assert [one.box_xyxy[0] for one in label.candidates] == [1, 2]


def test_a_box_without_area_is_not_stored() -> None:
    flat = [Candidate(0, (5.0, 1.0, 5.0, 9.0), 0.9), Candidate(0, (1.0, 5.0, 9.0, 5.0), 0.8)]
    answer = replace(grounding(), candidates=(*flat, Candidate(0, (1.0, 1.0, 2.0, 2.0), 0.7)))
    label = keep_above_floor(answer, min_score=0.05, max_boxes_per_phrase=2)
    assert isinstance(label, PseudoLabel)
    assert [one.score for one in label.candidates] == [0.7]
    assert isinstance(
        keep_above_floor(replace(answer, candidates=tuple(flat)), min_score=0.05, max_boxes_per_phrase=2), Reject
    )


@pytest.mark.parametrize("scores", [(), (0.01, 0.02)])
def test_a_sample_without_a_box_above_the_floor_is_a_reject(scores: tuple[float, ...]) -> None:
    outcome = keep_above_floor(grounding(*scores), min_score=0.05, max_boxes_per_phrase=2)
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason) == ("select", "no_candidate")


def test_iou_is_one_for_the_same_box_half_for_half_and_zero_for_none() -> None:
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1.0
    assert iou((0, 0, 2, 2), (0, 0, 2, 1)) == 0.5
    assert iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0.0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0
