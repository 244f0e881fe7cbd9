"""Phrase recall, and the constant-box baseline beside it."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_labels import labels_of

from engine.metrics import ImageResult, baselines, image_key
from engine.metrics.baselines import fit_class_boxes, fit_phrase_boxes
from engine.metrics.grounding import first_hits, phrase_recall, phrase_recall_by_group
from engine.metrics.overlap import as_boxes, intersections, iou
from schemas.records import BoxXYXY, Candidate
from schemas.shards import SampleLabels


def sample(key: str, phrases: dict[str, list[BoxXYXY]], size: tuple[int, int] = (100, 100)) -> SampleLabels:
    """A sample whose caption is its phrases; the head of a phrase is its last word."""
    boxes = [(number, box, 1.0) for number, of_phrase in enumerate(phrases.values()) for box in of_phrase]
    return labels_of(
        " and ".join(phrases), phrases, boxes, key=key, size=size, image_sha256=hashlib.sha256(key.encode()).hexdigest()
    )


LEFT: BoxXYXY = (0, 0, 40, 40)
RIGHT: BoxXYXY = (60, 60, 100, 100)


def test_any_one_of_several_human_boxes_is_a_hit() -> None:
    result = ImageResult(sample("a", {"two dogs": [LEFT, RIGHT]}), (Candidate(0, RIGHT, 0.5),))
    assert first_hits(result) == [1.0]


def test_rank_follows_the_score_and_not_the_order_given() -> None:
    candidates = (Candidate(0, RIGHT, 0.2), Candidate(0, LEFT, 0.9))
    assert first_hits(ImageResult(sample("a", {"a dog": [RIGHT]}), candidates)) == [2.0]


def test_a_box_of_another_phrase_is_no_hit() -> None:
    result = ImageResult(sample("a", {"a dog": [LEFT], "a cat": [RIGHT]}), (Candidate(1, LEFT, 0.9),))
    assert first_hits(result) == [float("inf"), float("inf")]


def test_recall_is_over_phrases_and_phrases_without_box_are_not_asked() -> None:
    results = [
        ImageResult(sample("a", {"a dog": [LEFT], "a cat": [RIGHT], "a walk": []}), (Candidate(0, LEFT, 0.9),)),
        ImageResult(sample("b", {"a bird": [LEFT]}), (Candidate(0, RIGHT, 0.9), Candidate(0, LEFT, 0.3))),
        ImageResult(sample("c", {"a walk": []}), ()),
    ]
    figures = phrase_recall(results)
    values = {metric.name: (metric.value, metric.count) for metric in figures.values}
    assert values == {
        "phrase_recall@1": (pytest.approx(1 / 3), 3),
        "phrase_recall@5": (pytest.approx(2 / 3), 3),
        "phrase_recall@10": (pytest.approx(2 / 3), 3),
    }
    first, second = (image_key(result.gold) for result in results[:2])
    assert figures.per_image["phrase_recall@1"] == {first: 0.5, second: 0.0}
    assert figures.per_image_count["phrase_recall@1"] == {first: 2, second: 1}


def test_captions_of_one_picture_are_one_image_to_the_bootstrap() -> None:
    one = sample("a", {"a dog": [LEFT]})
    other = sample("b", {"a cat": [RIGHT]}).model_copy(update={"image_sha256": one.image_sha256})
    figures = phrase_recall([ImageResult(one, (Candidate(0, LEFT, 0.9),)), ImageResult(other, ())])
    assert figures.per_image["phrase_recall@1"] == {image_key(one): 0.5}


def test_groups_of_phrases_are_counted_apart_and_add_up() -> None:
    results = [
        ImageResult(sample("a", {"a dog": [LEFT], "a dax": [RIGHT]}), (Candidate(0, LEFT, 0.9),)),
        ImageResult(sample("b", {"the dax": [LEFT], "a walk": []}), (Candidate(0, LEFT, 0.8),)),
    ]
    figures = phrase_recall_by_group(results, lambda phrase: "new" if phrase.head_lemma == "dax" else "old")
    assert {one.name: (one.value, one.count) for one in figures.values} == {
        "phrase_recall@1:new": (0.5, 2),
        "phrase_recall@1:old": (1.0, 1),
    }
    assert sum(one.count for one in figures.values) == phrase_recall(results).values[0].count
    assert set(figures.per_image["phrase_recall@1:old"]) == {image_key(results[0].gold)}


def test_nothing_to_find_gives_no_value() -> None:
    assert [metric.value for metric in phrase_recall([]).values] == [None, None, None]


def test_iou_exactly_at_the_threshold_counts() -> None:
    half: BoxXYXY = (0, 0, 40, 20)
    assert first_hits(ImageResult(sample("a", {"a dog": [LEFT]}), (Candidate(0, half, 0.9),))) == [1.0]


boxes = st.lists(st.tuples(*[st.floats(0, 50)] * 4).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])), max_size=5)


@given(boxes, boxes)
def test_iou_is_symmetric_bounded_and_one_with_itself(left: list[BoxXYXY], right: list[BoxXYXY]) -> None:
    overlap = iou(as_boxes(left), as_boxes(right))
    assert overlap.shape == (len(left), len(right))
    assert ((overlap >= 0) & (overlap <= 1 + 1e-9)).all()
    assert (overlap == iou(as_boxes(right), as_boxes(left)).T).all()
    has_area = intersections(as_boxes(left), as_boxes(left)).diagonal() > 1e-6
    assert np.allclose(iou(as_boxes(left), as_boxes(left)).diagonal()[has_area], 1.0)


def test_the_baseline_learns_where_each_head_stands_whatever_the_size_of_the_image() -> None:
    train = [
        sample(str(number), {"a dog": [(0, 0, 40 * scale, 40 * scale)], "a cat": [(60 * scale, 0, 100 * scale, 50)]},
               (100 * scale, 100 * scale))
        for number, scale in enumerate((1, 2, 3))
    ]  # fmt: skip
    fitted = fit_phrase_boxes(train)
    unseen = sample("new", {"the dog": [(0, 0, 20, 80)], "a bird": [(10, 0, 40, 90)]}, (50, 200))
    answer = fitted.ground(unseen)
    assert first_hits(answer)[0] == 1.0
    assert {candidate.phrase for candidate in answer.candidates} == {0, 1}, "an unknown head gets the common boxes"
    best = [max(scores) for _, scores in fitted.by_name.values()]
    assert all(0 < score <= 1 for score in best)


def test_greedy_boxes_cover_different_phrases_before_the_same_again() -> None:
    train = [sample(str(n), {"a dog": [LEFT if n % 2 else RIGHT]}) for n in range(4)]
    answer = fit_phrase_boxes(train).ground(sample("new", {"a dog": [LEFT]}))
    first_two = sorted(candidate.box_xyxy for candidate in answer.candidates[:2])
    assert first_two == [LEFT, RIGHT]


def test_class_boxes_are_scored_by_how_often_they_are_right() -> None:
    train = [sample(str(n), {"dog": [LEFT]} | ({"cat": [RIGHT]} if n == 0 else {})) for n in range(4)]
    answer = fit_class_boxes(train).detect(train[1], ["cat", "dog", "kite"])
    best = {c.phrase: c for c in sorted(answer.candidates, key=lambda c: c.score)}
    assert best[1].box_xyxy == LEFT
    assert best[0].score < best[1].score
    assert 2 not in best, "a class that was never seen has no constant box"


def test_a_baseline_without_boxes_says_so() -> None:
    with pytest.raises(ValueError, match="nothing to learn from"):
        fit_phrase_boxes([sample("a", {"a dog": []})])


def test_a_baseline_of_many_boxes_takes_the_memory_of_those_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of all boxes against all proposals would take 30 MB for these."""
    monkeypatch.setattr(baselines, "MAX_ITEMS", 500, raising=False)
    train = [sample(str(n), {"dog": [LEFT] * 100} if n % 4 else {"cat": [RIGHT] * 100}) for n in range(200)]
    tracemalloc.start()
    fitted = fit_class_boxes(train)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25_000_000
    assert fitted.detect(train[0], ["dog", "cat"]).candidates[0].box_xyxy == LEFT


def test_boxes_that_were_left_out_evenly_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    train = [sample(str(n), {"dog": [LEFT]} if n % 4 else {"cat": [RIGHT]}) for n in range(80)]
    whole = fit_class_boxes(train)
    monkeypatch.setattr(baselines, "MAX_ITEMS", 10)
    some = fit_class_boxes(train)
    assert some.by_name["dog"][1] == pytest.approx(whole.by_name["dog"][1])
    assert some.by_name["cat"][1] == pytest.approx(whole.by_name["cat"][1])
