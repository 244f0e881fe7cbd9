"""Rules about the shape and the number of boxes: each drops what its name says, and nothing is lost in counting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_labels import labels_of

from engine.selection import resolve_selection, select_with_reasons
from schemas.shards import SampleLabels

WIDTH, HEIGHT = 200, 100


def labels(*boxes: tuple[int, tuple[float, float, float, float], float]) -> SampleLabels:
    return labels_of("dog cat", ["dog", "cat"], boxes, size=(WIDTH, HEIGHT))


WHOLE, ALMOST = (0.0, 0.0, 200.0, 100.0), (2.0, 1.0, 199.0, 99.5)
STRIP, HALF, TINY = (0.0, 0.0, 200.0, 90.0), (0.0, 0.0, 100.0, 100.0), (10.0, 10.0, 20.0, 20.0)


@pytest.mark.parametrize(
    ("rules", "kept", "reason"),
    [
        ({"min_box_share": 0.005}, [WHOLE, ALMOST, STRIP, HALF, TINY], None),
        ({"min_box_share": 0.006}, [WHOLE, ALMOST, STRIP, HALF], "box_share_below_min"),
        ({"max_box_share": 0.5}, [HALF, TINY], "box_share_above_max"),
        ({"drop_whole_image": True}, [STRIP, HALF, TINY], "box_whole_image"),
    ],
)
def test_a_rule_on_area_keeps_what_is_at_its_limit(rules: dict[str, Any], kept: list[Any], reason: str | None) -> None:
    sample = labels(*((0, box, 0.5) for box in (WHOLE, ALMOST, STRIP, HALF, TINY)))
    selected, dropped = select_with_reasons(sample, rules)
    assert [box.box_xyxy for box in selected.boxes] == kept
    assert dropped == ({reason: 5 - len(kept)} if reason else {})


def test_two_boxes_that_overlap_just_as_much_as_they_may_both_stay() -> None:
    upper = (0.0, 0.0, 100.0, 50.0)  # IoU 0.5 with HALF
    sample = labels((0, HALF, 0.9), (1, upper, 0.8))
    assert select_with_reasons(sample, {"max_overlap": 0.5})[1] == {}
    assert select_with_reasons(sample, {"max_overlap": 0.49})[1] == {"box_overlaps_better": 1}


def test_a_box_that_is_dropped_drops_no_other() -> None:
    first, second, third = ((left, 0.0, left + 100.0, 50.0) for left in (0.0, 30.0, 60.0))
    sample = labels((0, first, 0.9), (1, second, 0.8), (0, third, 0.7))  # only neighbours overlap by a half
    selected, dropped = select_with_reasons(sample, {"max_overlap": 0.5})
    assert [box.box_xyxy for box in selected.boxes] == [first, third]
    assert dropped == {"box_overlaps_better": 1}


def test_the_best_boxes_of_each_phrase_stay_in_their_order() -> None:
    sample = labels(*((phrase, HALF, score) for phrase, score in [(0, 0.3), (0, 0.9), (1, 0.1), (0, 0.5), (1, 0.2)]))
    selected, dropped = select_with_reasons(sample, {"max_boxes_per_phrase": 2})
    assert [(box.phrase, box.score) for box in selected.boxes] == [(0, 0.9), (1, 0.1), (0, 0.5), (1, 0.2)]
    assert dropped == {"box_beyond_max_of_phrase": 1}


def test_boxes_are_numbered_after_the_rules_before_have_dropped_some() -> None:
    sample = labels((0, WHOLE, 0.9), (0, HALF, 0.5), (0, TINY, 0.4))
    selected, dropped = select_with_reasons(sample, {"drop_whole_image": True, "max_boxes_per_phrase": 1})
    assert [box.box_xyxy for box in selected.boxes] == [HALF]
    assert dropped == {"box_whole_image": 1, "box_beyond_max_of_phrase": 1}


def test_a_preset_takes_rules_on_boxes_beside_its_own() -> None:
    chosen = resolve_selection({"preset": "glip", "max_box_share": 0.95})
    assert (chosen.min_score, chosen.max_box_share) == (0.5, 0.95)
    assert resolve_selection("glip").identity() == {"min_score": 0.5}, "rules that are off are in no digest"


@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from([WHOLE, ALMOST, HALF, TINY]), st.floats(0, 1)), max_size=12)
)
def test_kept_and_dropped_add_up(boxes: list[Any]) -> None:
    rules = {"min_box_share": 0.01, "max_box_share": 0.97, "drop_whole_image": True, "max_boxes_per_phrase": 2}
    selected, dropped = select_with_reasons(labels(*boxes), rules)
    assert len(selected.boxes) + sum(dropped.values()) == len(boxes)
