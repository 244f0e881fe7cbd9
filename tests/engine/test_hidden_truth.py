"""Hidden human boxes: each sample is judged by its own, a phrase by what people called so; no crowd is to be found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sample_labels import Box, Span, labels_of

from engine.metrics.pseudo_labels import askable_phrases, judge_pseudo_box
from engine.metrics.truth import (
    ABSENT_CLASS,
    IN_CROWD,
    NO_TRUTH_FOR_IMAGE,
    CocoTruth,
    GoldTruth,
    HumanBoxes,
    best_overlap,
)
from schemas.records import BoxXYXY
from schemas.shards import SampleLabels, SamplePhrase

LEFT: BoxXYXY = (0, 0, 40, 40)
RIGHT: BoxXYXY = (60, 60, 100, 100)


def sample(key: str, caption: str, phrases: Sequence[Span], boxes: Sequence[Box] = ()) -> SampleLabels:
    return labels_of(caption, phrases, boxes, key=key)


def photos(annotated: Sequence[tuple[str, str]], *boxes: tuple[str, BoxXYXY, int]) -> CocoTruth:
    """Truth of the photo ``k``, image 1: (class, box, crowd); phrases that people ``annotated`` in captions of others,
    each with its class."""
    names = sorted({name for _, name in annotated} | {name for name, _, _ in boxes})
    rows = [
        {
            "id": number,
            "image_id": 1,
            "category_id": names.index(name),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "iscrowd": crowd,
        }
        for number, (name, (x1, y1, x2, y2), crowd) in enumerate(boxes)
    ]
    phrases: list[dict[str, Any]] = [
        {
            "image_id": 9,
            "caption": text,
            "phrases": [{"phrase": text, "start": 0, "end": len(text), "category": name}],
        }
        for text, name in annotated
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    return CocoTruth(
        "photos", {"instances": {"keys": {"k": 1}, "categories": categories, "annotations": rows}, "phrases": phrases}
    )


def class_of(truth: CocoTruth, text: str, head: str) -> str | None:
    return truth.class_of(1, "a caption", SamplePhrase(text=text, start=0, end=len(text), head_lemma=head))


def test_each_sample_is_judged_by_its_own_exact_boxes_in_whatever_order_they_come() -> None:
    gold = [sample(key, "a dog", ["a dog"], [(0, box, 1.0)]) for key, box in (("one", LEFT), ("other", RIGHT))]
    truth = GoldTruth("scenes", gold)
    for asked in (gold[0], gold[1], gold[1], gold[0]):
        found = truth.referents(asked, 0)
        assert isinstance(found, HumanBoxes)
        assert found.boxes_xyxy.tolist() == [list(asked.boxes[0].box_xyxy)]


@pytest.mark.parametrize(("key", "caption"), [("s", "a dog or a man"), ("another", "a dog and a man")])
def test_exact_boxes_say_nothing_of_another_caption_nor_of_another_picture(key: str, caption: str) -> None:
    truth = GoldTruth("scenes", [sample("s", "a dog and a man", ["a dog"], [(0, LEFT, 1.0)])])
    assert truth.referents(sample(key, caption, ["a dog"]), 0) == NO_TRUTH_FOR_IMAGE


def test_class_boxes_say_nothing_of_another_picture() -> None:
    truth = photos([("a dog", "dog")], ("dog", LEFT, 0))
    assert isinstance(truth.referents(sample("k", "a dog", ["a dog"]), 0), HumanBoxes)
    assert truth.referents(sample("another", "a dog", ["a dog"]), 0) == NO_TRUTH_FOR_IMAGE


def test_a_phrase_goes_with_the_span_it_shares_most_of_were_it_one_character() -> None:
    phrase = SamplePhrase(text="a dog", start=10, end=15, head_lemma="dog")
    assert best_overlap(phrase, [(0, 11), (14, 30)]) == 0, "of equal ones the first"
    assert best_overlap(phrase, [(0, 11), (13, 30)]) == 1
    assert best_overlap(phrase, [(0, 10), (15, 30)]) is None, "spans that only touch share nothing"
    assert best_overlap(phrase, []) is None


def test_a_crowd_is_no_human_box_to_be_found() -> None:
    crowd_alone = photos([("a man", "person")], ("person", LEFT, 1))
    man = sample("k", "a man", ["a man"], [(0, LEFT, 0.9)])
    assert judge_pseudo_box(man, man.boxes[0], crowd_alone) == ABSENT_CLASS
    assert askable_phrases(man, crowd_alone) == {}
    beside_one = photos([("a man", "person")], ("person", LEFT, 1), ("person", RIGHT, 0))
    assert judge_pseudo_box(man, man.boxes[0], beside_one) == IN_CROWD, "it lies on the crowd alone"
    assert askable_phrases(man, beside_one)[0].ids == (1,)


def test_a_box_of_which_no_more_than_half_lies_in_a_crowd_is_wrong() -> None:
    truth = photos([("a man", "person")], ("person", (0, 0, 50, 50), 1), ("person", RIGHT, 0))
    half, more = (40.0, 0.0, 60.0, 10.0), (39.0, 0.0, 59.0, 10.0)
    man = sample("k", "a man", ["a man"], [(0, half, 0.9), (0, more, 0.9)])
    assert [judge_pseudo_box(man, box, truth) for box in man.boxes] == [set(), IN_CROWD]


def test_words_are_learnt_however_they_are_written() -> None:
    assert class_of(photos([("The Old Tram", "train")]), "an old tram", "tram") == "train"


def test_an_ending_names_a_class_where_four_in_five_who_use_it_do_however_long_their_phrases_are() -> None:
    of_animals = [("bat", "animal")] * 3
    assert class_of(photos([*of_animals, ("the red bat", "club")]), "a bat", "bat") is None
    assert class_of(photos([*of_animals, ("bat", "animal"), ("the red bat", "club")]), "a bat", "bat") == "animal"


def test_endings_have_up_to_three_words() -> None:
    truth = photos([("a red hot dog", "food"), ("a tired hot dog", "animal")])
    assert [class_of(truth, text, "dog") for text in ("the red hot dog", "the hot dog")] == ["food", None]


def test_the_head_of_a_phrase_is_found_in_its_plural_and_not_in_a_longer_word() -> None:
    truth = photos([("the boxes", "box"), ("a table", "table"), ("a carpet", "rug"), ("a car", "car")])
    assert class_of(truth, "Two Boxes on a table", "box") == "box"
    assert class_of(truth, "a carpet like a car", "car") == "car"
