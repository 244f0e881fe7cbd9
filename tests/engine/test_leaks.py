"""What a guard of evaluation sets is known by: the pictures and their names, never where the sets lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from report_datasets import CARD, dog, write_dataset

from engine.filtering.image_hash import words_of
from engine.filtering.leaks import LEAK_NEAR, LeakGuard, read_leak_guard
from schemas.records import CaptionedImage

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


def test_a_picture_of_two_sets_is_named_by_the_first(tmp_path: Path) -> None:
    guard = read_leak_guard([str(exam(tmp_path / name, 1)) for name in ("val", "test")], 6)
    assert guard is not None
    [where] = guard.by_sha256.values()
    assert where.startswith("test/")


def test_the_nearest_picture_is_named_and_one_without_a_hash_is_near_none() -> None:
    full = (1 << 128) - 1
    guard = LeakGuard({}, words_of([full ^ 0b11 << 64, full ^ 1 << 64]), ("val/far", "val/near"), 6)

    def found(phash: str | None) -> tuple[str, str] | None:
        return guard.find(CaptionedImage("k", b"", "jpg", "a dog", "here", sha256="0" * 64, phash=phash))

    reason, message = found(f"{full:032x}") or ("", "")
    assert reason == LEAK_NEAR
    assert "is 1 bits from that of val/near" in message
    assert found(None) is None
