"""A dataset read from Python: the samples with their pictures, as every other reader sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_datasets import CARD, dog, leave_out, write_dataset
from verdict_samples import said

from engine.artifacts import Store
from engine.review.verdicts import append_verdicts
from engine.shards import read_labels
from engine.view import read_dataset
from schemas.recipes import SelectionChoice

DOG, TREE = (10.0, 10.0, 60.0, 80.0), (80.0, 5.0, 150.0, 110.0)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "web", [dog(number) for number in range(4)], units=2)


def boxes(dataset: Path, selection: SelectionChoice | None = None) -> list[tuple[str, list[object]]]:
    return [(one.labels.key, [box.box_xyxy for box in one.labels.boxes]) for one in read_dataset(dataset, selection)]


def test_samples_come_in_order_with_the_source_s_bytes_and_the_card_s_selection(dataset: Path) -> None:
    assert [one.image for one in read_dataset(dataset)] == [dog(number).image for number in range(4)]
    assert boxes(dataset) == [(f"{number:03d}", [DOG, TREE]) for number in range(4)]
    assert boxes(dataset, {"min_score": 0.8}) == [(f"{number:03d}", [DOG]) for number in range(4)]


def test_a_sample_without_a_box_that_is_selected_keeps_its_phrases(dataset: Path) -> None:
    found = next(read_dataset(dataset, {"min_score": 0.95})).labels
    assert (found.boxes, [phrase.text for phrase in found.phrases]) == ([], ["a dog", "a tree"])


def test_duplicates_are_left_out_and_verdicts_apply(dataset: Path) -> None:
    leave_out(dataset, [0])
    append_verdicts(Store(dataset), [said(dog(3).labels, 0, "rejected", DOG)])
    assert boxes(dataset) == [("001", [DOG, TREE]), ("002", [DOG, TREE]), ("003", [TREE])]


def test_human_boxes_are_never_selected(tmp_path: Path) -> None:
    human = write_dataset(tmp_path / "human", [dog(0)], CARD.model_copy(update={"origin": "human"}))
    assert [one.labels for one in read_dataset(human, "grit")] == list(read_labels(Store(human)))


@pytest.mark.parametrize(
    ("folder", "selection", "told"), [("none", None, "no dataset.json"), ("web", "best", "'best'")]
)
def test_a_mistake_is_told_at_the_call(dataset: Path, folder: str, selection: str | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_dataset(dataset.parent / folder, selection)
