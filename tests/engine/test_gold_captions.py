"""Phrases of COCO captions arrive with exact spans, and what is wrong with a phrase is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from coco_sources import captions_source, phrase_entry
from stored_samples import samples_in

from engine.gold import import_gold


def test_captions_become_samples_with_exact_spans(tmp_path: Path) -> None:
    caption = "Two dogs near a woman's hat – a hat."
    phrases = [
        phrase_entry(caption, "a hat", [[1, 2, 3, 4]]),
        phrase_entry(caption, "Two dogs", [[10, 10, 20, 20], [40, 40, 10, 10]]),
    ]
    source = captions_source(tmp_path, [caption, "Nothing to see."], {0: phrases})
    card = import_gold("coco-phrases", source, tmp_path / "out")
    (sample,) = samples_in(tmp_path / "out")
    assert sample.labels.key == "one-100"
    assert [(p.text, p.head_lemma) for p in sample.labels.phrases] == [("Two dogs", "dog"), ("a hat", "hat")]
    assert [caption[p.start : p.end] for p in sample.labels.phrases] == ["Two dogs", "a hat"]
    assert [(box.phrase, box.box_xyxy) for box in sample.labels.boxes] == [
        (0, (10, 10, 30, 30)),
        (0, (40, 40, 50, 50)),
        (1, (1, 2, 4, 6)),
    ]
    assert card.task == "grounding"
    assert card.stages[0].dropped == {"no_phrase": 1}


@pytest.mark.parametrize(
    ("phrase", "reason"),
    [
        ({"phrase": "a cat", "start": 1, "end": 6, "boxes_xywh": [[1, 2, 3, 4]]}, "span_mismatch"),
        ({"phrase": "", "start": 2, "end": 2, "boxes_xywh": [[1, 2, 3, 4]]}, "span_mismatch"),
        ({"phrase": ".", "start": -1, "end": 99, "boxes_xywh": [[1, 2, 3, 4]]}, "span_mismatch"),
        ({"phrase": "a cat", "start": 0, "end": 5, "boxes_xywh": []}, "phrase_without_box"),
        ({"phrase": "a cat", "start": 0, "end": 5, "boxes_xywh": [[1, 2, 0, 4]]}, "box_without_area"),
        ({"phrase": "a cat", "start": 0}, "annotation_malformed"),
        (17, "annotation_malformed"),
    ],
)
def test_a_bad_phrase_is_a_counted_reject_and_the_rest_is_imported(tmp_path: Path, phrase: Any, reason: str) -> None:
    caption = "a cat and a dog"
    source = captions_source(tmp_path, [caption], {0: [phrase, phrase_entry(caption, "a dog", [[5, 5, 9, 9]])]})
    card = import_gold("coco-phrases", source, tmp_path / "out")
    assert card.stages[1].dropped == {reason: 1}
    assert (card.samples, card.phrases, card.boxes) == (1, 1, 1)


def test_phrases_of_no_caption_are_counted(tmp_path: Path) -> None:
    caption = "a dog"
    source = captions_source(tmp_path, [caption], {0: [phrase_entry(caption, "a dog", [[5, 5, 9, 9]])]})
    entries = json.loads((source / "phrases.json").read_text())
    (source / "phrases.json").write_text(json.dumps([*entries, {"caption_id": 999, "phrases": []}, "x"]))
    card = import_gold("coco-phrases", source, tmp_path / "out")
    assert card.stages[1].dropped == {"annotation_malformed": 1, "caption_undeclared": 1}
