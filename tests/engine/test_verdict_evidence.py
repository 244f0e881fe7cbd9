"""Verdicts as truth of scores: each judged box counts once, as it is stored now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_datasets import CARD, dog, sample, write_dataset
from verdict_samples import held, said

from engine.artifacts import Store
from engine.calibration import group_number
from engine.review.evidence import together, verdict_evidence
from engine.review.verdicts import Verdicts, append_verdicts, read_verdicts
from engine.shards import LabelledImage, committed_units
from pipelines.calibrate import calibrate
from pipelines.cli import main
from schemas.recipes import CalibrateRecipe
from schemas.verdicts import Verdict

DOG, TREE = (10.0, 10.0, 60.0, 80.0), (80.0, 5.0, 150.0, 110.0)
LABELS = dog(1).labels
FREQUENCIES: dict[str, Any] = {"dog": "head"}


def judged(folder: Path, samples: list[LabelledImage], verdicts: list[Verdict]) -> list[tuple[float, bool, int, int]]:
    store = Store(write_dataset(folder, samples, units=2))
    found = verdict_evidence(store, committed_units(store), held(verdicts), FREQUENCIES)
    columns = (found.scores, found.right, found.groups, found.pictures)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_accepted_is_right_and_rejected_is_wrong(tmp_path: Path) -> None:
    rows = judged(
        tmp_path / "d",
        [dog(1), dog(2), dog(3)],
        [said(LABELS, 0, "accepted", DOG), said(LABELS, 1, "rejected", TREE), said(dog(3).labels, 0, "accepted", DOG)],
    )
    large_dog, large_tree = group_number("head", "large"), group_number("unseen", "large")
    assert rows == [(0.9, True, large_dog, 0), (0.6, False, large_tree, 0), (0.9, True, large_dog, 1)]


def test_a_corrected_box_is_right_where_it_was_nearly_right(tmp_path: Path) -> None:
    near, far = (12.0, 12.0, 60.0, 80.0), (100.0, 60.0, 160.0, 120.0)
    rows = judged(
        tmp_path / "d", [dog(1), dog(2)],
        [said(LABELS, 0, "corrected", DOG, near), said(dog(2).labels, 0, "corrected", DOG, far),
         said(LABELS, 0, "added", far, far)],
    )  # fmt: skip
    assert [(score, right) for score, right, _, _ in rows] == [(0.9, True), (0.9, False)]


def test_new_labels_are_judged_by_what_was_said_of_the_old_ones(tmp_path: Path) -> None:
    moved = sample("001", "a dog by a tree", [(0, 5), (9, 15)], [(0, (12, 10, 62, 80), 0.4), (1, (0, 0, 9, 9), 0.3)])
    rows = judged(
        tmp_path / "d", [moved, dog(2)], [said(LABELS, 0, "rejected", DOG), said(LABELS, 1, "accepted", TREE)]
    )
    assert [(score, right) for score, right, _, _ in rows] == [(0.4, False)], "of the tree the new teacher said nothing"


def test_a_caption_that_is_stored_twice_counts_once(tmp_path: Path) -> None:
    twin = dog(1)
    twin = LabelledImage(twin.labels.model_copy(update={"key": "twin"}), twin.image, twin.extension)
    assert len(judged(tmp_path / "d", [dog(1), twin], [said(LABELS, 0, "accepted", DOG)])) == 1


def test_evidence_of_several_sources_keeps_their_pictures_apart(tmp_path: Path) -> None:
    store = Store(write_dataset(tmp_path / "d", [dog(1), dog(2)]))
    verdicts = held([said(dog(n).labels, 0, "accepted", DOG) for n in (1, 2)])
    one = verdict_evidence(store, committed_units(store), verdicts, {})
    nothing = verdict_evidence(store, committed_units(store), Verdicts(), {})
    assert len(nothing) == 0
    both = together([one, nothing, one])
    assert both.pictures.tolist() == [0, 1, 2, 3]
    assert np.array_equal(both.scores, [*one.scores, *one.scores])


def reviewed(folder: Path, count: int = 40) -> Path:
    """Dogs that are right and trees that are not, as a reviewer says; of teacher 1. A dog that nobody reviewed makes
    dogs more frequent than trees."""
    samples = [dog(number) for number in range(count)]
    lone = sample("lone", "a dog", [(0, 5)], [(0, (10, 10, 60, 80), 0.9)])
    for one in (*samples, lone):
        one.labels.__dict__["teacher_digest"] = "1" * 64
    write_dataset(folder, [*samples, lone], CARD.model_copy(update={"teacher_digest": "1" * 64}))
    rows = [said(one.labels, 0, "accepted", DOG) for one in samples]
    append_verdicts(Store(folder), rows + [said(one.labels, 1, "rejected", TREE) for one in samples])
    return folder


def test_calibrate_learns_from_verdicts_without_asking_the_teacher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = reviewed(tmp_path / "dogs"), tmp_path / "calibration.json"
    document = calibrate(CalibrateRecipe(verdicts=(str(folder),)), out, progress=False)
    assert document.teacher_digest == "1" * 64
    seen = [group for group in document.groups if group.boxes and not group.borrowed_from]
    assert sum(group.boxes for group in seen) == 80
    assert sum(group.right for group in seen) == 40
    least = {group.name: group.min_score(0.7) for group in seen}
    assert least == {"head/large": 0.05, "mid/large": None}, "every dog is right, no tree is"
    before = out.read_bytes()
    assert main(["calibrate", "--verdicts", str(folder), "--out", str(out)]) == 0
    assert out.read_bytes() == before, "the same work is not done again"
    append_verdicts(Store(folder), [said(dog(0).labels, 1, "accepted", TREE)])
    assert main(["calibrate", "--verdicts", str(folder), "--out", str(out)]) == 0
    assert out.read_bytes() != before
    assert len(read_verdicts(Store(folder))) == 80
    capsys.readouterr()


def test_what_cannot_be_calibrated_on_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "calibration.json")
    write_dataset(tmp_path / "nobody", [dog(1)])
    other = reviewed(tmp_path / "other", 4)
    card = (other / "dataset.json").read_text().replace("1" * 64, "2" * 64)
    folder = reviewed(tmp_path / "dogs", 4)
    (other / "dataset.json").write_text(card)
    for arguments, message in (
        ([], "give `datasets`"),
        (["--verdicts", str(tmp_path / "nobody")], "not labelled by a teacher"),
        (["--verdicts", str(folder), "--verdicts", str(other)], "say nothing about another's"),
    ):
        assert main(["calibrate", *arguments, "--out", out]) == 2
        assert message in capsys.readouterr().err
