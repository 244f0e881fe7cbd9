"""How frequent heads and classes are is counted in what readers get: without duplicates, as reviewers left it."""

from __future__ import annotations

from pathlib import Path

from report_datasets import CARD, dog, leave_out, sample, write_dataset
from verdict_samples import said

from engine.artifacts import Store
from engine.review.verdicts import append_verdicts
from pipelines.evaluation.phrase_frequency import frequency_groups_of, head_frequencies

BOX = (10.0, 10.0, 60.0, 80.0)
CLASSES = CARD.model_copy(update={"origin": "human", "task": "detection", "classes": ["cat", "dog"]})


def test_a_picture_that_a_source_has_often_counts_once(tmp_path: Path) -> None:
    cat = [sample(f"{number:03d}", "a cat", [(0, 5)], [(0, BOX, 0.9)]) for number in range(9)]
    folder = write_dataset(tmp_path / "web", [*cat, dog(10), dog(11)])
    assert head_frequencies([str(folder)])["cat"] == "head"
    leave_out(folder, range(1, 9))
    assert head_frequencies([str(folder)])["cat"] == "mid"


def test_heads_are_counted_with_a_box_that_is_selected_or_without(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "web", [sample("000", "a dog", [(0, 5)], [(0, BOX, 0.1)])])
    assert head_frequencies([str(folder)]) == {"dog": "head"}


def test_classes_are_counted_as_the_reviewers_left_them(tmp_path: Path) -> None:
    cats = [sample(f"{number:03d}", "cat", [(0, 3)], [(0, BOX, 1.0)]) for number in range(9)]
    dogs = [sample(f"{number:03d}", "dog", [(0, 3)], [(0, BOX, 1.0)]) for number in range(9, 11)]
    folder = write_dataset(tmp_path / "human", [*cats, *dogs], CLASSES)
    assert frequency_groups_of([str(folder)]) == {"detection": {"cat": "head", "dog": "mid"}}
    append_verdicts(Store(folder), [said(one.labels, 0, "rejected", BOX) for one in cats])
    assert frequency_groups_of([str(folder)]) == {"detection": {"dog": "head"}}
