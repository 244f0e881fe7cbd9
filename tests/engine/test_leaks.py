"""What a guard of evaluation sets is known by: the pictures and their names, never where the sets lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from report_datasets import CARD, dog, write_dataset

from engine.filtering.leaks import read_leak_guard

HUMAN = CARD.model_copy(update={"origin": "human", "samples": 1})


def guard_digest(*datasets: Path) -> str:
    guard = read_leak_guard([str(dataset) for dataset in datasets], 6)
    assert guard is not None
    return guard.digest()


def exam(folder: Path, number: int) -> Path:
    """A set of one picture, the same one in all sets; its sample is called by ``number``."""
    one = dog(number)
    labels = one.labels.model_copy(update={"image_sha256": "a" * 64})
    return write_dataset(folder, [replace(one, labels=labels)], HUMAN)


def test_two_sets_of_one_folder_name_are_told_apart_by_contents(tmp_path: Path) -> None:
    first, second = exam(tmp_path / "a" / "val", 1), exam(tmp_path / "b" / "val", 2)
    before = guard_digest(first, second)
    assert guard_digest(second, first) == before
    first.rename(tmp_path / "c")
    second.rename(tmp_path / "a" / "val")
    (tmp_path / "c").rename(tmp_path / "b" / "val")
    assert guard_digest(first, second) == before


def test_other_names_of_the_same_pictures_are_another_guard(tmp_path: Path) -> None:
    assert guard_digest(exam(tmp_path / "a" / "val", 1)) != guard_digest(exam(tmp_path / "a" / "test", 1))
