"""Precision and recall of pseudo-labels: what is right, wrong, and what nobody can judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sample_labels import labels_of

from engine.metrics.pseudo_labels import above_score, judge_pseudo_box, pseudo_label_figures
from engine.metrics.truth import ABSENT_CLASS, IN_CROWD, UNKNOWN_PHRASE, CocoTruth, GoldTruth, read_coco_truth
from schemas.records import BoxXYXY
from schemas.shards import SampleLabels, SamplePhrase

DOG: BoxXYXY = (0, 0, 40, 40)
MAN: BoxXYXY = (60, 60, 100, 100)
NOWHERE: BoxXYXY = (0, 60, 20, 80)


def labels(
    key: str, caption: str, boxes: dict[str, list[tuple[BoxXYXY, float]]], heads: tuple[str, ...] = ()
) -> SampleLabels:
    """A labelled sample; phrases are found in the caption, heads are their last word where not given."""
    spans = [(at := caption.index(text), at + len(text), *heads[n : n + 1]) for n, text in enumerate(boxes)]
    rows = [(n, box, score) for n, of_phrase in enumerate(boxes.values()) for box, score in of_phrase]
    return labels_of(caption, spans, rows, key=key)


def coco_document(annotations: list[tuple[int, str, BoxXYXY, int]]) -> dict[str, Any]:
    """Truth of two photos ``k1`` and ``k2`` (images 1 and 2): (image, class, box, crowd)."""
    names = ["person", "dog", "hot dog", "traffic light"]
    rows = [
        {
            "id": 100 + number,
            "image_id": image,
            "category_id": names.index(name),
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "iscrowd": crowd,
        }
        for number, (image, name, box, crowd) in enumerate(annotations)
    ]
    phrases = [
        ("A man and a dog.", [("A man", "person"), ("a dog", "dog")]),
        ("A tall man", [("A tall man", "person")]),
        ("some dogs", [("some dogs", "dog")]),
        ("his puppy", [("his puppy", "dog")]),
    ]
    return {
        "instances": {
            "keys": {"k1": 1, "k2": 2},
            "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
            "annotations": rows,
        },
        "phrases": [
            {
                "image_id": 1 if number == 0 else 9,
                "caption": caption,
                "phrases": [
                    {
                        "phrase": text,
                        "start": caption.index(text),
                        "end": caption.index(text) + len(text),
                        "category": name,
                    }
                    for text, name in found
                ],
            }
            for number, (caption, found) in enumerate(phrases)
        ],
    }


@pytest.fixture
def coco() -> CocoTruth:
    return CocoTruth(
        "truth", coco_document([(1, "person", MAN, 0), (1, "dog", DOG, 0), (2, "dog", DOG, 0), (2, "dog", MAN, 0)])
    )


def test_a_box_is_right_on_a_human_box_of_its_phrase_and_wrong_on_that_of_another(coco: CocoTruth) -> None:
    sample = labels("k1", "A man and a dog.", {"A man": [(MAN, 0.9), (DOG, 0.8)], "a dog": [(DOG, 0.7)]})
    assert [bool(judge_pseudo_box(sample, box, coco)) for box in sample.boxes] == [True, False, True]


def test_a_phrase_of_no_known_class_is_not_judged_and_never_wrong(coco: CocoTruth) -> None:
    sample = labels("k1", "A man and a dog in the grass", {"the grass": [(NOWHERE, 0.9)]})
    [figures] = pseudo_label_figures([sample], coco, {"all": lambda same: same})
    assert figures.not_judged == {UNKNOWN_PHRASE: 1}
    assert (figures.right, figures.wrong, figures.precision) == (0, 0, None)


def test_a_class_that_the_image_lacks_is_not_judged(coco: CocoTruth) -> None:
    sample = labels("k2", "a light and a man", {"a man": [(MAN, 0.9)]})
    assert judge_pseudo_box(sample, sample.boxes[0], coco) == ABSENT_CLASS


def test_words_learnt_from_annotated_phrases_name_the_class_in_other_captions(coco: CocoTruth) -> None:
    def class_of(text: str, head: str) -> str | None:
        return coco.class_of(2, "another caption", SamplePhrase(text=text, start=0, end=len(text), head_lemma=head))

    assert class_of("the big puppy", "puppy") == "dog"
    assert class_of("three dogs", "dog") == "dog"
    assert class_of("a hot dog", "dog") == "hot dog", "the longest ending decides"
    assert class_of("a man in a field of dogs", "man") == "person", "words after the head do not name the thing"
    assert class_of("a field of dogs", "field") is None


def test_a_box_inside_a_crowd_is_not_judged_but_one_on_a_single_box_is_right() -> None:
    truth = CocoTruth("truth", coco_document([(1, "person", MAN, 0), (1, "person", (0, 0, 50, 50), 1)]))
    sample = labels("k1", "A man and a dog.", {"A man": [(MAN, 0.9), ((5, 5, 30, 30), 0.8), (NOWHERE, 0.8)]})
    assert [judge_pseudo_box(sample, box, truth) for box in sample.boxes] == [{100}, IN_CROWD, set()]


def test_figures_by_hand_at_two_selections(coco: CocoTruth) -> None:
    samples = [
        labels("k1", "A man and a dog.", {"A man": [(MAN, 0.9), (NOWHERE, 0.3)], "a dog": [(DOG, 0.4)]}),
        labels("k2", "two dogs in the grass", {"two dogs": [(DOG, 0.8)], "the grass": [(NOWHERE, 0.9)]}),
        labels("unknown", "a dog", {"a dog": [(DOG, 0.8)]}),
    ]
    everything, confident = pseudo_label_figures(samples, coco, {"all": lambda same: same, "high": above_score(0.5)})
    assert (everything.boxes, everything.right, everything.wrong) == (5, 3, 1)
    assert everything.precision == 0.75
    assert (everything.phrases, everything.phrases_found, everything.phrase_recall) == (3, 3, 1.0)
    assert (everything.human_boxes, everything.human_boxes_found) == (4, 3)
    assert (confident.right, confident.wrong, confident.precision) == (2, 0, 1.0)
    assert confident.phrase_recall == pytest.approx(2 / 3)
    assert confident.box_recall == 0.5


def test_a_sample_of_which_nothing_is_selected_still_counts_as_missed(coco: CocoTruth) -> None:
    sample = labels("k1", "A man and a dog.", {"A man": [(MAN, 0.2)], "a dog": []})
    [figures] = pseudo_label_figures([sample], coco, {"none": above_score(0.5)})
    assert (figures.boxes, figures.phrases, figures.phrase_recall) == (0, 2, 0.0)


def test_exact_truth_goes_by_overlapping_spans_of_the_same_caption() -> None:
    caption = "a red dog beside a man on a hill"
    gold = labels("s", caption, {"a red dog": [(DOG, 1.0)], "a man": [(MAN, 1.0)]})
    truth = GoldTruth("scenes", [gold])
    sample = labels("s", caption, {"red dog": [(DOG, 0.9), (MAN, 0.8)], "a hill": [(NOWHERE, 0.7)]})
    assert [judge_pseudo_box(sample, box, truth) for box in sample.boxes] == [{0}, set(), UNKNOWN_PHRASE]
    assert truth.keys() == {"s"}


def test_two_phrases_for_one_thing_count_its_human_box_once() -> None:
    caption = "a dog. the dog sleeps"
    gold = labels("s", caption, {"a dog": [(DOG, 1.0)], "the dog": [(DOG, 1.0)]})
    [figures] = pseudo_label_figures([gold], GoldTruth("scenes", [gold]), {"all": lambda same: same})
    assert (figures.human_boxes, figures.human_boxes_found, figures.phrases) == (1, 1, 2)


@pytest.mark.parametrize("content", ["[]", "{", '{"instances": {}}', "null", "[" * 100_000])
def test_a_truth_file_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="truth"):
        read_coco_truth(str(path))
    with pytest.raises(ValueError, match="does not exist"):
        read_coco_truth(str(tmp_path / "none.json"))


@pytest.mark.data
def test_real_annotated_phrases_judge_their_own_boxes_right(data_folder: Path) -> None:
    document = json.loads((data_folder / "photos" / "web_truth.json").read_text())
    truth = read_coco_truth(str(data_folder / "photos" / "web_truth.json"))
    key_of = {image: key for key, image in document["instances"]["keys"].items()}
    sizes = {image["id"]: (image["width"], image["height"]) for image in document["instances"]["images"]}
    checked = 0
    for one in document["phrases"]:
        if one["image_id"] not in key_of:
            continue
        width, height = sizes[one["image_id"]]
        for phrase in one["phrases"]:
            corners = [(x, y, min(x + w, width), min(y + h, height)) for x, y, w, h in phrase["boxes_xywh"]]
            sample = labels_of(
                one["caption"],
                [(phrase["start"], phrase["end"], "?")],
                [(0, box, 1.0) for box in corners],
                key=key_of[one["image_id"]],
                size=(width, height),
            )
            verdicts = [judge_pseudo_box(sample, box, truth) for box in sample.boxes]
            assert all(isinstance(verdict, set) and verdict for verdict in verdicts), (one, verdicts)
            checked += 1
    assert checked > 1000
