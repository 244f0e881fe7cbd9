"""Few shots: enough of each class, no picture too many, the same for the same seed, and a dataset as any other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from coco_folders import coco_dataset
from hypothesis import given
from hypothesis import strategies as st
from verdict_samples import said

from engine.artifacts import Store
from engine.few_shot import draw_shots, write_shots
from engine.gold import import_gold
from engine.review.verdicts import append_verdicts
from engine.shards import read_labels, read_shard
from pipelines.verify import verify
from schemas.recipes import ScenesSource

PICTURES = [["cat"], ["dog"], ["cat", "dog"], ["bird"], [], ["cat"], ["cat"], ["dog"]]


@given(st.lists(st.sets(st.sampled_from("abc")), max_size=12), st.integers(1, 4), st.integers(0, 100))
def test_each_class_has_its_shots_or_all_there_are_and_no_picture_is_taken_for_nothing(
    pictures: list[set[str]], shots: int, seed: int
) -> None:
    taken = draw_shots(pictures, shots, seed)
    available = Counter(name for classes in pictures for name in classes)
    seen = Counter(name for number in taken for name in pictures[number])
    assert all(seen[name] >= min(shots, count) for name, count in available.items())
    assert len(taken) <= sum(min(shots, count) for count in available.values())
    assert taken == sorted(set(taken))
    assert taken == draw_shots(pictures, shots, seed)


def test_shots_are_a_dataset_like_any_other_and_another_seed_draws_others(tmp_path: Path) -> None:
    source = coco_dataset(tmp_path / "all", PICTURES)
    card = write_shots(source, 1, 0, tmp_path / "one")
    assert verify(tmp_path / "one", progress=False).problems == []
    assert (card.complete, card.classes) == (True, ["cat", "dog", "bird"])
    samples = list(read_shard(Store(tmp_path / "one"), 0))
    whole = {sample.labels.key: sample for sample in read_shard(Store(source), 0)}
    assert all(sample == whole[sample.labels.key] for sample in samples)
    assert write_shots(source, 1, 0, tmp_path / "one") == card
    drawn = set()
    for seed in range(6):
        write_shots(source, 1, seed, tmp_path / f"seed-{seed}")
        drawn.add(tuple(sample.labels.key for sample in read_shard(Store(tmp_path / f"seed-{seed}"), 0)))
    assert len(drawn) > 1


def test_more_shots_than_there_are_take_every_picture_with_a_box(tmp_path: Path) -> None:
    source = coco_dataset(tmp_path / "all", PICTURES)
    assert write_shots(source, 100, 0, tmp_path / "many").samples == 7


def test_shots_are_drawn_from_human_detection_data_alone_and_never_over_another_dataset(tmp_path: Path) -> None:
    import_gold("scenes", ScenesSource(count=2, seed=1), tmp_path / "scenes")
    with pytest.raises(ValueError, match="task grounding"):
        write_shots(tmp_path / "scenes", 1, 0, tmp_path / "out")
    source = coco_dataset(tmp_path / "all", PICTURES)
    with pytest.raises(ValueError, match="another dataset"):
        write_shots(source, 1, 0, tmp_path / "scenes")


def test_shots_are_of_what_the_reviewers_left(tmp_path: Path) -> None:
    """As training on all of the dataset is; drawn before the review, they are another dataset."""
    source = coco_dataset(tmp_path / "all", [["cat"], ["dog"]])
    write_shots(source, 1, 0, tmp_path / "before")
    cat = next(labels for labels in read_labels(Store(source)) if labels.phrases[labels.boxes[0].phrase].text == "cat")
    box = cat.boxes[0]
    append_verdicts(Store(source), [said(cat, box.phrase, "rejected", box.box_xyxy)])
    card = write_shots(source, 1, 0, tmp_path / "after")
    assert (card.samples, card.boxes) == (1, 1)
    with pytest.raises(ValueError, match="another dataset"):
        write_shots(source, 1, 0, tmp_path / "before")
