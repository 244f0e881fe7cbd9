"""Nothing stands twice: boxes of several prompts, and of two teachers."""

from __future__ import annotations

import random

import pytest

from schemas.records import BoxXYXY, Candidate
from teacher.merging import combine_teachers, merge_prompts, pairwise_iou

BOX: BoxXYXY = (0.0, 0.0, 10.0, 10.0)
NEAR: BoxXYXY = (0.0, 0.0, 10.0, 9.0)  # IoU 0.9 with BOX
HALF: BoxXYXY = (0.0, 0.0, 10.0, 5.0)  # IoU 0.5 with BOX
FAR: BoxXYXY = (20.0, 20.0, 30.0, 30.0)


def test_overlaps_are_those_of_the_areas() -> None:
    boxes = [Candidate(0, box, 0.5) for box in (BOX, NEAR, HALF, FAR)]
    assert pairwise_iou(boxes[:1], boxes)[0] == pytest.approx([1.0, 0.9, 0.5, 0.0])
    empty = Candidate(0, (5.0, 5.0, 5.0, 5.0), 0.5)
    assert pairwise_iou([empty], [empty]) == [[0.0]]


def test_a_phrase_that_stood_in_two_prompts_is_not_counted_twice() -> None:
    first, second = [Candidate(0, BOX, 0.8), Candidate(1, FAR, 0.4)], [Candidate(0, NEAR, 0.9), Candidate(0, FAR, 0.3)]
    assert sorted(merge_prompts([first, second]), key=lambda one: (one.phrase, -one.score)) == [
        Candidate(0, NEAR, 0.9),
        Candidate(0, FAR, 0.3),
        Candidate(1, FAR, 0.4),
    ]


def test_boxes_of_two_prompts_are_one_thing_only_above_an_iou_of_six_tenths() -> None:
    at_the_limit, above_it = (Candidate(0, (0.0, 0.0, 10.0, height), 0.4) for height in (6.0, 6.1))
    best = Candidate(0, BOX, 0.8)
    assert merge_prompts([[best], [at_the_limit]]) == [best, at_the_limit]
    assert merge_prompts([[best], [above_it]]) == [best]


def test_of_two_prompts_boxes_with_equal_scores_the_earlier_prompts_stays() -> None:
    one, other = Candidate(0, BOX, 0.8), Candidate(0, NEAR, 0.8)
    assert merge_prompts([[one], [other]]) == [one]
    assert merge_prompts([[other], [one]]) == [other]


def test_boxes_of_one_prompt_are_left_as_they_are() -> None:
    answer = [Candidate(0, BOX, 0.8), Candidate(0, BOX, 0.7), Candidate(1, BOX, 0.6)]
    assert merge_prompts([answer]) == answer
    assert merge_prompts([answer, [Candidate(2, BOX, 0.9)]]) == [*answer, Candidate(2, BOX, 0.9)]
    both = merge_prompts([answer, [Candidate(0, FAR, 0.9)]])
    assert sorted(one.score for one in both if one.phrase == 0) == [0.7, 0.8, 0.9]


def test_no_answer_gives_nothing() -> None:
    assert merge_prompts([]) == []
    assert merge_prompts([[], []]) == []
    assert combine_teachers([], []) == []


def test_two_teachers_that_agree_give_one_box_weighted_by_score() -> None:
    (found,) = combine_teachers([Candidate(3, BOX, 0.6)], [Candidate(3, HALF, 0.2)])
    assert found.phrase == 3
    assert found.agreement == pytest.approx(0.5), "an IoU of 0.5 is a match"
    assert found.score == pytest.approx(0.4)
    assert found.box_xyxy == pytest.approx((0.0, 0.0, 10.0, 8.75))


def test_a_box_that_both_teachers_believe_nothing_of_is_still_a_box() -> None:
    (found,) = combine_teachers([Candidate(0, BOX, 0.0)], [Candidate(0, HALF, 0.0)])
    assert (found.score, found.agreement) == (0.0, pytest.approx(0.5))


def test_of_overlaps_as_large_the_better_scores_are_matched() -> None:
    found = combine_teachers([Candidate(0, BOX, 0.6)], [Candidate(0, BOX, 0.2), Candidate(0, BOX, 0.8)])
    assert sorted(one.score for one in found) == pytest.approx([0.1, 0.7])


def test_a_box_of_one_teacher_alone_keeps_its_place_and_half_its_score() -> None:
    found = combine_teachers([Candidate(0, BOX, 0.6)], [Candidate(0, FAR, 0.4), Candidate(1, BOX, 0.8)])
    assert sorted(found, key=lambda one: (one.phrase, -one.score)) == [
        Candidate(0, BOX, 0.3, 0.0),
        Candidate(0, FAR, 0.2, 0.0),
        Candidate(1, BOX, 0.4, 0.0),
    ]


def test_a_box_is_matched_once_with_the_one_it_overlaps_most() -> None:
    found = combine_teachers([Candidate(0, BOX, 0.6)], [Candidate(0, HALF, 0.9), Candidate(0, NEAR, 0.4)])
    assert sorted(one.agreement or 0.0 for one in found) == pytest.approx([0.0, 0.9])
    assert len(found) == 2


def test_the_order_of_the_teachers_does_not_matter_and_each_box_is_used_once() -> None:
    chance = random.Random(5)

    def some() -> list[Candidate]:
        corners = [(chance.randint(0, 8), chance.randint(0, 8)) for _ in range(12)]
        return [
            Candidate(n % 2, (x, y, x + 6, y + 5), round(chance.uniform(0.1, 1), 3)) for n, (x, y) in enumerate(corners)
        ]

    ours, theirs = some(), some()
    one, other = combine_teachers(ours, theirs), combine_teachers(theirs, ours)
    assert {(c.phrase, round(c.score, 6), round(c.agreement or 0, 6)) for c in one} == {
        (c.phrase, round(c.score, 6), round(c.agreement or 0, 6)) for c in other
    }
    matched = sum(bool(c.agreement) for c in one)
    assert matched > 0
    assert len(one) + matched == len(ours) + len(theirs)
    assert sum(c.score for c in one) == pytest.approx(sum(c.score for c in (*ours, *theirs)) / 2)
