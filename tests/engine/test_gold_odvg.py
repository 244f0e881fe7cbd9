"""ODVG lines arrive exact from their published layout; what is wrong is counted by reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gold_files import boxes_of, import_odvg, odvg_detection, odvg_grounding, picture

from engine.gold.json_lines import JsonLines


def test_odvg_grounding_keeps_captions_spans_and_boxes(tmp_path: Path) -> None:
    caption = "Two dogs near a hat"
    regions = [
        {"bbox": [[1, 2, 30, 40], [50, 50, 60, 60]], "phrase": "two dogs", "tokens_positive": [[0, 3], [4, 8]]},
        {"bbox": [5, 5, 9, 9], "phrase": "a hat", "tokens_positive": [[14, 19]]},
    ]
    card, (first, second) = import_odvg(
        tmp_path, [odvg_grounding(caption, regions), odvg_grounding(caption, regions[1:])]
    )
    assert boxes_of(first) == [("Two dogs", (1, 2, 30, 40)), ("Two dogs", (50, 50, 60, 60)), ("a hat", (5, 5, 9, 9))]
    assert (first.caption, first.key, second.key) == (caption, "one", "one-1")
    assert (card.task, card.stages[1].came_in, card.boxes) == ("grounding", 4, 4)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ({"bbox": [1, 2, 3, 4], "phrase": "x", "tokens_positive": [[0, 99]]}, "span_mismatch"),
        ({"bbox": [1, 2, 3, 4], "phrase": "x", "tokens_positive": [[-2, 3]]}, "span_mismatch"),
        ({"bbox": [1, 2, 3, 4], "phrase": "x", "tokens_positive": [[3, 3]]}, "span_mismatch"),
        ({"bbox": [1, 2, 3, 4], "phrase": "x", "tokens_positive": []}, "span_mismatch"),
        ({"bbox": [], "phrase": "x", "tokens_positive": [[0, 5]]}, "phrase_without_box"),
        ({"bbox": [1, 2, 3], "phrase": "x", "tokens_positive": [[0, 5]]}, "annotation_malformed"),
        ({"bbox": [1, 2, 3, float("nan")], "phrase": "x", "tokens_positive": [[0, 5]]}, "box_not_finite"),
        ({"bbox": [3, 2, 3, 4], "phrase": "x", "tokens_positive": [[0, 5]]}, "box_without_area"),
        ({"bbox": [-9, 2, -3, 4], "phrase": "x", "tokens_positive": [[0, 5]]}, "box_outside_image"),
        ("a cat", "annotation_malformed"),
    ],
)
def test_a_bad_odvg_region_is_a_counted_reject(tmp_path: Path, region: Any, reason: str) -> None:
    good = {"bbox": [5, 5, 9, 9], "phrase": "a dog", "tokens_positive": [[10, 15]]}
    card, (sample,) = import_odvg(tmp_path, [odvg_grounding("a cat and a dog", [region, good])])
    assert card.stages[1].dropped == {reason: 1}
    assert boxes_of(sample) == [("a dog", (5, 5, 9, 9))]


def test_each_box_of_a_region_that_names_nothing_is_counted(tmp_path: Path) -> None:
    bad = {"bbox": [[1, 2, 3, 4], [5, 6, 7, 8]], "phrase": "x", "tokens_positive": [[0, 99]]}
    good = {"bbox": [5, 5, 9, 9], "phrase": "a dog", "tokens_positive": [[10, 15]]}
    card, _ = import_odvg(tmp_path, [odvg_grounding("a cat and a dog", [bad, good])])
    assert (card.stages[1].came_in, card.stages[1].dropped) == (3, {"span_mismatch": 2})


def test_odvg_detection_takes_classes_from_the_label_map_or_the_lines(tmp_path: Path) -> None:
    instances = [
        {"bbox": [1, 2, 3, 4], "label": 10, "category": "traffic_light"},
        {"bbox": [5, 5, 9, 9], "label": 2, "category": "dog"},
    ]
    card, (sample,) = import_odvg(tmp_path / "lines", [odvg_detection(instances)])
    assert (card.task, card.classes, sample.caption) == ("detection", ["dog", "traffic light"], "dog. traffic light")
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "label_map.json").write_text(json.dumps({"2": "dog", "3": "cat"}))
    card, (sample,) = import_odvg(tmp_path / "map", [odvg_detection(instances)])
    assert (card.classes, boxes_of(sample)) == (["dog", "cat"], [("dog", (5, 5, 9, 9))])
    assert card.stages[1].dropped == {"category_undeclared": 1}


def test_odvg_pictures_of_one_name_in_several_folders_are_all_imported(tmp_path: Path) -> None:
    lines = []
    for film in ("a", "b"):
        picture(tmp_path / "images" / film / "one.jpg")
        lines.append(odvg_detection([{"bbox": [1, 1, 5, 5], "label": 0, "category": "cat"}]))
        lines[-1]["filename"] = f"{film}/one.jpg"
    card, samples = import_odvg(tmp_path, lines)
    assert ([one.key for one in samples], card.rejects) == (["a_one", "b_one"], 0)


def test_bad_odvg_lines_are_counted(tmp_path: Path) -> None:
    good = odvg_detection([{"bbox": [1, 2, 3, 4], "label": 0, "category": "dog"}])
    wrong_size = {**odvg_detection([]), "filename": "two.jpg", "width": 7}
    lines = [good, {**odvg_detection([]), "filename": "gone.jpg"}, good, odvg_grounding("a dog", []), wrong_size, 7]
    card, samples = import_odvg(tmp_path, lines, end="\n\n{cut")
    assert len(samples) == 1
    assert card.stages[0].dropped == {
        "duplicate_key": 1,
        "image_missing": 1,
        "image_size_mismatch": 1,
        "line_malformed": 3,
    }


def test_json_lines_are_read_by_number_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'\n{"a": 1}\n  \n{"a": 2}\nnone\n{"a": 3}')
    lines = JsonLines(tmp_path / "x")
    assert list(lines) == [{"a": 1}, {"a": 2}, None, {"a": 3}]
    assert [lines[3], lines[0], lines[2]] == [{"a": 3}, {"a": 1}, None]


def test_a_region_without_tokens_is_where_its_phrase_stands(tmp_path: Path) -> None:
    """Open-GroundingDino documents regions with a phrase alone; its tools clean and lower phrases."""
    regions = [
        {"bbox": [1, 2, 30, 40], "phrase": "a man"},
        {"bbox": [50, 50, 60, 60], "phrase": "A Man"},
        {"bbox": [5, 5, 9, 9], "phrase": "c++ (hat)", "tokens_positive": None},
        {"bbox": [5, 5, 9, 9], "phrase": "a cat"},
        {"bbox": [5, 5, 9, 9], "phrase": ""},
        {"bbox": [5, 5, 9, 9]},
    ]
    card, (sample,) = import_odvg(tmp_path, [odvg_grounding("a mane, A man, a man and a c++ (hat)", regions)])
    assert boxes_of(sample) == [
        ("A man", (1, 2, 30, 40)),
        ("A man", (50, 50, 60, 60)),
        ("c++ (hat)", (5, 5, 9, 9)),
    ]
    assert card.stages[1].dropped == {"span_mismatch": 3}
