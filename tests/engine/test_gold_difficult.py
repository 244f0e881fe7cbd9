"""Pascal VOC's difficult boxes: imported with their flag, learned from, and left out of average precision."""

from __future__ import annotations

from pathlib import Path

import pytest
from gold_files import import_all, import_voc, xml_object

from engine.artifacts import Store
from engine.exporters.voc import voc
from engine.metrics import Figures, ImageResult
from engine.metrics.protocols import ScoringContext, score_by
from engine.mix import NameRelations
from engine.shards import sample_json
from schemas.records import BoxXYXY, Candidate
from schemas.shards import SampleLabels
from student.prompts import absent_classes

PLAIN = xml_object("dog", 11, 11, 30, 30)
HARD = xml_object("dog", 41, 11, 60, 30, difficult=1)
CAT = xml_object("cat", 61, 41, 80, 60, difficult=1)


def flags(sample: SampleLabels) -> list[tuple[str, bool | None]]:
    return [(sample.phrases[box.phrase].text, box.difficult) for box in sample.boxes]


def test_difficult_boxes_arrive_with_their_flag_and_others_without_one(tmp_path: Path) -> None:
    card, (sample,) = import_voc(tmp_path, HARD + CAT + PLAIN)
    assert (card.boxes, card.stages[1].dropped) == (3, {})
    assert flags(sample) == [("cat", True), ("dog", True), ("dog", None)]
    assert sample_json(sample).count(b"difficult") == 2
    assert SampleLabels.model_validate_json(sample_json(sample)) == sample


def test_samples_from_before_the_flag_read_as_before(tmp_path: Path) -> None:
    _, (sample,) = import_voc(tmp_path, PLAIN)
    content = sample_json(sample)
    assert b"difficult" not in content, "what has no such box has the bytes that it always had"
    assert flags(SampleLabels.model_validate_json(content)) == [("dog", None)]


def figures_of(sample: SampleLabels, found: list[tuple[int, BoxXYXY]]) -> dict[str, float | None]:
    """By VOC's protocols and COCO's; classes are cat and dog, the first candidate is the surest."""
    answer = tuple(Candidate(number, box, 0.9 - place / 10) for place, (number, box) in enumerate(found))
    figures: Figures = score_by(
        ("voc07", "voc12", "coco"), "detection", [ImageResult(sample, answer)], ScoringContext(["cat", "dog"])
    )
    return {one.name: one.value for one in figures.values}


def test_average_precision_of_an_imported_dataset_leaves_them_out_as_the_development_kit_does(tmp_path: Path) -> None:
    """One dog counts. Two detections of the difficult dog come first and count neither way, one of nothing is wrong,
    the dog is found last: precision 1/2 at recall 1, so AP 1/2 by either rule. The cat, difficult, is not asked for."""
    _, (sample,) = import_voc(tmp_path, PLAIN + HARD + CAT)
    hard, plain, nothing = (40.0, 10.0, 60.0, 30.0), (10.0, 10.0, 30.0, 30.0), (0.0, 60.0, 9.0, 79.0)
    found = figures_of(sample, [(1, hard), (1, hard), (1, nothing), (1, plain), (0, nothing)])
    assert found["voc07_AP"] == found["voc12_AP"] == found["voc12_AP/dog"] == pytest.approx(1 / 2)
    assert "voc12_AP/cat" not in found
    assert found["AP50"] == pytest.approx(1 / 3), "pycocotools ignores one detection of an ignored box, not two"
    assert figures_of(sample, [(1, hard), (1, nothing), (1, plain)])["AP50"] == pytest.approx(1 / 2)


def test_a_class_with_difficult_boxes_alone_is_no_negative_of_the_picture(tmp_path: Path) -> None:
    _, (sample,) = import_voc(tmp_path, PLAIN + CAT)
    assert absent_classes(sample, ["cat", "dog", "bus"], NameRelations()) == ["bus"]


def test_an_export_keeps_the_flag(tmp_path: Path) -> None:
    card, (sample,) = import_voc(tmp_path / "there", PLAIN + HARD)
    with voc(Store(tmp_path / "back"), card) as add:
        add(sample, "one.jpg")
    (tmp_path / "there" / "JPEGImages").rename(tmp_path / "back" / "JPEGImages")
    _, (again,) = import_all("voc", tmp_path / "back")
    assert flags(again) == flags(sample) == [("dog", None), ("dog", True)]
