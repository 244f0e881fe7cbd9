"""Pseudo-labels are judged as a reader of the dataset gets them, by truth as its reviewers left it."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_datasets import CARD, dog, leave_out, write_dataset
from verdict_samples import said

from engine.artifacts import Store
from engine.review.verdicts import append_verdicts
from pipelines.evaluation.pseudo_quality import pseudo_quality
from schemas.reports import PseudoLabelFigures

HUMAN = CARD.model_copy(update={"origin": "human"})
DOG, TREE = (10.0, 10.0, 60.0, 80.0), (80.0, 5.0, 150.0, 110.0)
FAR = (0.0, 100.0, 20.0, 119.0)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "labels", [dog(number) for number in range(3)])


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "truth", [dog(number) for number in range(3)], HUMAN)


def figures(labels: Path, truth: Path) -> dict[str, PseudoLabelFigures]:
    found = pseudo_quality(labels, truth)
    return {one.selection: one for one in (*found.presets, *found.curve)}


@pytest.mark.parametrize(("selection", "boxes"), [("glip", 6), ("grit", 4), ("0.50", 6), ("0.80", 4), ("0.95", 2)])
def test_pseudo_labels_are_judged_as_the_reviewers_left_them(
    labels: Path, truth: Path, selection: str, boxes: int
) -> None:
    one = dog(1).labels
    append_verdicts(
        Store(labels),
        [said(one, 0, "rejected", DOG), said(one, 1, "accepted", TREE), said(one, 1, "added", FAR, FAR)],
    )
    found = figures(labels, truth)[selection]
    assert (found.right, found.wrong) == (boxes - 1, 1), "the box that somebody drew elsewhere is in every selection"


def test_what_people_rejected_of_the_truth_judges_nothing(labels: Path, truth: Path) -> None:
    append_verdicts(Store(truth), [said(dog(1).labels, 0, "rejected", DOG)])
    found = figures(labels, truth)["glip"]
    assert (found.right, found.wrong, found.not_judged) == (5, 0, {"no_human_box_of_the_class": 1})


def test_duplicates_are_not_judged(labels: Path, truth: Path) -> None:
    leave_out(labels, [2])
    report = pseudo_quality(labels, truth)
    assert (report.images, report.images_not_labelled) == (2, 1)
    assert {one.selection: one.phrases for one in report.presets}["glip"] == 4
