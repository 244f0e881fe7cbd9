"""Calibration: curves that never fall, bounds that hold, and what is fitted is found again on other pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_labels import labels_of

from engine.calibration import Evidence, fit_groups, frequency_groups, gather_evidence, isotonic, wilson_lower
from engine.metrics import ImageResult
from engine.selecting.calibrated_scores import box_size_of_share
from engine.selecting.calibration_check import check_on_held_out, check_target, predict, reliability
from schemas.calibration import BOX_SIZES, FREQUENCIES, ReliabilityBin
from schemas.records import Candidate

FIT = {"min_score": 0.05, "shrinkage": 20.0, "confidence": 0.9}


def evidence(count: int, *, power: float = 2.0, group: int = 0, seed: int = 0, boxes_a_picture: int = 2) -> Evidence:
    """Boxes that are right with the probability ``score ** power``: a teacher that is too sure of itself."""
    random = np.random.default_rng(seed)
    scores = random.uniform(0.05, 1, count).round(4)
    right = random.uniform(size=count) < scores**power
    return Evidence(scores, right, np.full(count, group), np.arange(count) // boxes_a_picture)


def together(*parts: Evidence) -> Evidence:
    columns = [np.concatenate([getattr(one, name) for one in parts]) for name in ("scores", "right", "groups")]
    ends = np.cumsum([0, *(one.pictures.max() + 1 for one in parts)])
    return Evidence(*columns, np.concatenate([one.pictures + end for one, end in zip(parts, ends, strict=False)]))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_isotonic_curve_never_falls_and_keeps_the_sum(pairs: list[tuple[float, bool]]) -> None:
    scores, right = np.array([score for score, _ in pairs]), np.array([hit for _, hit in pairs])
    curve = isotonic(scores, right)
    assert (np.diff(curve.precision) > 0).all()
    assert curve(scores).sum() == pytest.approx(right.sum())
    assert 0 <= curve.precision.min() <= curve.precision.max() <= 1


def test_the_isotonic_curve_is_the_nearest_of_all_that_never_fall() -> None:
    curve = isotonic(np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, True, False, True]))
    assert curve(np.array([0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 1.0])).tolist() == [0, 0, 0.5, 0.5, 0.5, 1, 1]


def test_wilsons_bound_is_that_of_the_textbook() -> None:
    assert wilson_lower(0.5, 100, 0.975) == pytest.approx(0.4038, abs=1e-4)
    assert wilson_lower(1.0, 10, 0.975) == pytest.approx(0.7225, abs=1e-4)
    assert wilson_lower(0.9, 0, 0.9) == 0


def test_wilsons_bound_is_met_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    found = random.binomial(80, 0.7, 4000) / 80
    assert np.mean([wilson_lower(share, 80, 0.9) <= 0.7 for share in found]) == pytest.approx(0.9, abs=0.03)


def test_half_of_all_phrases_is_the_head_and_the_last_tenth_the_tail() -> None:
    counts = {"man": 50, "dog": 20, "cat": 20, "kite": 6, "yak": 4}
    assert frequency_groups(counts) == {"man": "head", "dog": "mid", "cat": "mid", "kite": "tail", "yak": "tail"}
    assert frequency_groups({}) == {}
    told = frequency_groups(dict(sorted(counts.items())))
    assert list(told.items()) == list(frequency_groups(counts).items()), "in whatever order they were counted"


def test_a_lemma_that_crosses_a_share_is_of_the_more_frequent_group() -> None:
    counts = {"man": 4, "dog": 3, "cat": 2, "kite": 1}
    assert frequency_groups(counts) == {"man": "head", "dog": "head", "cat": "mid", "kite": "tail"}


def test_lemmas_that_occur_equally_often_are_of_one_group_however_they_are_spelt() -> None:
    counts = {"man": 40, "zebra": 20, "ant": 20} | {f"word {number}": 1 for number in range(20)}
    groups = frequency_groups(counts)
    assert [groups[name] for name in ("man", "ant", "zebra")] == ["head", "head", "head"]
    assert {groups[f"word {number}"] for number in range(20)} == {"tail"}, "what occurs once is rare"
    renamed = frequency_groups({name[::-1]: count for name, count in counts.items()})
    assert renamed == {name[::-1]: group for name, group in groups.items()}
    assert set(frequency_groups(dict.fromkeys("abcd", 7)).values()) == {"head"}


def answered(*candidates: Candidate, sha: str = "0" * 64) -> ImageResult:
    boxes = [(0, (0, 0, 200, 200), 1), (1, (300, 300, 320, 320), 1)]
    gold = labels_of("a dog and a ball", [(0, 5, "Dog"), "a ball"], boxes, size=(640, 480), image_sha256=sha)
    return ImageResult(gold, candidates)


def test_a_box_is_right_on_a_human_box_of_its_own_phrase_alone() -> None:
    result = answered(
        Candidate(0, (0, 0, 200, 190), 0.9),
        Candidate(1, (0, 0, 200, 190), 0.8),  # the dog's box is no ball
        Candidate(0, (0, 0, 200, 100), 0.75),
        Candidate(0, (0, 0, 200, 99), 0.7),  # IoU below a half
    )
    assert gather_evidence([result], {"dog": "head"}).right.tolist() == [True, True, False, False]


def test_groups_are_by_frequency_of_the_head_and_by_share_of_the_picture() -> None:
    result = answered(
        Candidate(0, (0, 0, 96, 96), 0.9),
        Candidate(0, (0, 0, 95, 96), 0.8),
        Candidate(1, (300, 300, 320, 320), 0.7),
    )
    found = gather_evidence([result, answered(Candidate(0, (0, 0, 9, 9), 0.5), sha="1" * 64)], {"dog": "mid"})
    names = [(FREQUENCIES[number // 3], BOX_SIZES[number % 3]) for number in found.groups]
    assert names == [("mid", "large"), ("mid", "medium"), ("unseen", "small"), ("mid", "small")]
    assert found.pictures.tolist() == [0, 0, 0, 1]


def test_bounds_of_size_are_cocos_in_a_picture_of_640_by_480() -> None:
    sizes = [box_size_of_share(side**2 / (640 * 480)) for side in (31.9, 32, 95.9, 96)]
    assert sizes == ["small", "medium", "medium", "large"]


def test_size_groups_do_not_depend_on_the_resolution_of_the_picture() -> None:
    small = answered().gold
    double = small.model_copy(update={"width": 1280, "height": 960})
    for side in (20, 31, 33, 95, 97, 400):
        one = ImageResult(small, (Candidate(0, (0, 0, side, side), 0.5),))
        other = ImageResult(double, (Candidate(0, (0, 0, 2 * side, 2 * side), 0.5),))
        assert gather_evidence([one], {}).groups == gather_evidence([other], {}).groups


def test_calibration_brings_the_error_down_on_pictures_that_were_not_fitted_on() -> None:
    check = check_on_held_out(evidence(6000), seed=1, target=0.7, **FIT)
    assert check.raw.error is not None
    assert check.calibrated.error is not None
    assert check.raw.error > 0.1
    assert check.calibrated.error < 0.05
    assert check.pictures_fitted + check.pictures_held_out == 3000


def test_no_picture_is_both_fitted_on_and_held_out() -> None:
    check = check_on_held_out(evidence(5, boxes_a_picture=1), seed=1, target=0.7, **FIT)
    assert (check.pictures_fitted, check.pictures_held_out, check.boxes_held_out) == (2, 3, 3)
    assert [one.target for one in check.targets] == [0.3, 0.5, 0.7, 0.9]
    two = check_on_held_out(evidence(2, boxes_a_picture=1), seed=1, target=0.6, **FIT)
    assert (two.pictures_fitted, two.pictures_held_out) == (1, 1)
    assert 0.6 in [one.target for one in two.targets]


def test_a_target_is_reached_on_other_pictures_in_nearly_every_group() -> None:
    parts = [evidence(3000, power=power, group=number, seed=number) for number, power in enumerate((1.0, 2.0, 4.0))]
    groups = fit_groups(together(*parts), **FIT)
    for number, power in enumerate((1.0, 2.0, 4.0)):
        fresh = evidence(20_000, power=power, group=number, seed=90 + number)
        found = check_target(groups, fresh, 0.7)
        assert found.precision is not None
        assert 0.68 < found.precision < 0.8
    bars = [groups[number].min_score(0.7) or 1 for number in range(3)]
    assert bars == sorted(bars)  # the surer of itself a teacher is without reason, the higher the bar
    assert bars[0] < bars[2]


def test_a_higher_target_asks_for_a_higher_score() -> None:
    group = fit_groups(evidence(4000), **FIT)[0]
    bars = [group.min_score(target) for target in (0.5, 0.6, 0.7, 0.8)]
    assert bars == sorted(bars, key=lambda bar: bar or 1)
    assert len(set(bars)) == 4


def test_a_group_that_cannot_reach_the_target_keeps_nothing_and_is_named() -> None:
    random = np.random.default_rng(0)
    hopeless = Evidence(
        random.uniform(0.05, 1, 2000).round(4), random.uniform(size=2000) < 0.2, np.full(2000, 3), np.arange(2000)
    )
    groups = fit_groups(together(evidence(3000), hopeless), **FIT)
    assert groups[3].min_score(0.7) is None
    found = check_target(groups, hopeless, 0.7)
    assert (found.kept, found.precision) == (0, None)
    assert "mid/small" in found.groups_out_of_reach
    assert "head/small" not in found.groups_out_of_reach


def test_a_group_of_few_pictures_leans_on_the_others_and_a_large_one_does_not() -> None:
    few = Evidence(np.array([0.2, 0.3]), np.array([True, True]), np.array([1, 1]), np.array([0, 1]))
    groups = fit_groups(together(evidence(4000), few), **FIT)
    everything = groups[2]  # of no evidence: the curve of all
    at = together(few, few)
    distance = np.abs(predict(groups, at) - predict([everything] * 12, at))
    assert (distance < 0.2).all()  # its own two boxes are all right: on its own it would say 1
    assert groups[1].pictures == 2
    assert everything.points[0].boxes == 0


def test_what_was_never_judged_reaches_no_target() -> None:
    groups = fit_groups(evidence(4000), **FIT)
    assert groups[0].min_score(0.3) is not None
    assert [group.min_score(0.01) for group in groups[1:3]] == [None, None]


def test_bounds_count_pictures_so_that_twenty_boxes_of_one_picture_prove_little() -> None:
    spread = fit_groups(evidence(400, power=0.1, boxes_a_picture=1), **FIT)[0]
    heaped = fit_groups(evidence(400, power=0.1, boxes_a_picture=20), **FIT)[0]
    assert spread.points[0].precision == pytest.approx(heaped.points[0].precision)
    assert heaped.points[0].lower_bound < spread.points[0].lower_bound


def test_a_box_that_scores_exactly_the_lowest_score_is_among_the_kept_ones() -> None:
    """As the selection keeps it, whose scores have as many decimals as the points."""
    few = Evidence(np.array([0.05, 0.3, 0.3]), np.array([False, True, True]), np.zeros(3, int), np.array([0, 1, 2]))
    boxes = {point.min_score: point.boxes for point in fit_groups(few, **FIT)[0].points}
    assert (boxes[0.05], boxes[0.3]) == (3, 2)
    assert max(boxes) == 0.3


def test_phrases_that_nobody_has_counted_have_the_evidence_of_the_rarest_ones() -> None:
    groups = {group.name: group for group in fit_groups(evidence(500, group=FREQUENCIES.index("tail") * 3), **FIT)}
    assert groups["unseen/small"].borrowed_from == "tail/small"
    assert groups["unseen/small"].points == groups["tail/small"].points
    seen = fit_groups(together(evidence(500), evidence(50, group=9)), **FIT)
    assert [group.borrowed_from for group in seen[9:]] == [None] * 3


def test_reliability_of_a_perfect_forecast_is_without_error_and_of_none_is_none() -> None:
    right = np.array([True, False, True, False])
    perfect = reliability(np.array([1.0, 0.0, 1.0, 0.0]), right)
    assert perfect.error == 0
    assert [one.boxes for one in perfect.bins] == [2, *[0] * 8, 2]  # a prediction of 1 has no bin of its own
    assert reliability(np.full(4, 0.95), right).error == pytest.approx(0.45)
    assert reliability(np.array([]), np.array([], dtype=bool)).error is None


def test_a_bin_holds_what_was_predicted_and_what_came_and_large_bins_weigh_more() -> None:
    found = reliability(np.array([0.12, 0.14, 0.95]), np.array([True, False, True]))
    assert found.bins[1] == ReliabilityBin(low=0.1, high=0.2, boxes=2, predicted=0.13, precision=0.5)
    assert found.bins[0] == ReliabilityBin(low=0.0, high=0.1, boxes=0, predicted=None, precision=None)
    assert found.error == pytest.approx((2 * 0.37 + 0.05) / 3, abs=1e-6)


def test_equal_evidence_gives_equal_documents_and_none_is_refused() -> None:
    check: dict[str, Any] = {"target": 0.7, **FIT}
    assert check_on_held_out(evidence(300), seed=3, **check) == check_on_held_out(evidence(300), seed=3, **check)
    nothing = evidence(2).take(np.array([False, False]))
    with pytest.raises(ValueError, match="nothing to calibrate"):
        fit_groups(nothing, **FIT)
    with pytest.raises(ValueError, match="cannot be halved"):
        check_on_held_out(evidence(1), seed=0, **check)
