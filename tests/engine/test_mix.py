"""The mix: exact shares, every sample once a pass, a function of the position alone, selection on reading."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import saved
from PIL import Image
from sample_labels import labels_of, write_units

from engine.artifacts import Store
from engine.mix import Interleave, Mix, SampleRef
from engine.shards import LabelledImage, read_card, write_card
from schemas.recipes import MixEntry


def _sample(key: str, scores: list[float]) -> LabelledImage:
    image = saved(Image.new("RGB", (8, 6)))
    digest = hashlib.sha256(image).hexdigest()
    boxes = [(0, (1.0, 1.0, 4.0, 5.0), score) for score in scores]
    labels = labels_of("a dog", ["a dog"], boxes, key=key, size=(8, 6), image_sha256=digest)
    return LabelledImage(labels, image, "png")


def _dataset(folder: Path, units: list[list[list[float]]], origin: str = "human") -> str:
    """A dataset whose samples have boxes of the given scores: ``units[unit][row]`` is the list of scores."""
    samples = [[_sample(f"{n}-{row}", scores) for row, scores in enumerate(unit)] for n, unit in enumerate(units)]
    write_units(Store(folder), samples, origin=origin)
    return str(folder)


@pytest.fixture
def two_entries(tmp_path: Path) -> list[MixEntry]:
    """Seven human samples in two shards at weight 3, three pseudo ones at weight 1."""
    human = _dataset(tmp_path / "human", [[[1.0]] * 4, [[1.0]] * 3])
    pseudo = _dataset(tmp_path / "pseudo", [[[0.9, 0.2], [0.8], [0.7], [0.1]]], origin="pseudo")
    return [MixEntry(dataset=human, weight=3), MixEntry(dataset=pseudo, weight=1)]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_every_period_holds_each_dataset_exactly_as_often_as_its_weight_says(weights: list[int]) -> None:
    interleave = Interleave(weights)
    period = sum(interleave.turns)
    drawn = Counter(interleave.turn(position)[0] for position in range(period, 2 * period))
    assert [drawn[i] * sum(weights) for i in range(len(weights))] == [weight * period for weight in weights]


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=4))
def test_shares_of_any_weights_are_kept_closely_and_no_dataset_is_left_out(weights: list[float]) -> None:
    turns = Interleave(weights).turns
    assert min(turns) >= 1
    for weight, count in zip(weights, turns, strict=True):
        assert count / sum(turns) == pytest.approx(weight / sum(weights), abs=4e-4)


def test_turns_are_spread_evenly_so_that_no_stretch_is_without_the_rarer_dataset() -> None:
    interleave = Interleave([3, 1])
    drawn = [interleave.turn(position)[0] for position in range(40)]
    assert all(sum(drawn[start : start + 4]) == 1 for start in range(0, 40, 4))


def test_turns_of_a_dataset_are_counted_without_a_gap() -> None:
    interleave = Interleave([2, 5, 1])
    counts = [[turn for dataset, turn in map(interleave.turn, range(80)) if dataset == i] for i in range(3)]
    assert counts == [list(range(20)), list(range(50)), list(range(10))]


def test_a_weight_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Interleave([1.0, 0.0])


def test_every_sample_comes_once_a_pass_and_passes_differ_in_order(two_entries: list[MixEntry]) -> None:
    mix = Mix.open(two_entries, seed=5)
    human = [ref for ref in map(mix.sample_ref, range(200)) if ref.dataset == 0]
    passes = [human[start : start + 7] for start in range(0, 140, 7)]
    assert all(set(one) == set(mix.datasets[0].refs) for one in passes)
    assert len({tuple(one) for one in passes}) > 10


def test_the_sample_at_a_position_does_not_depend_on_what_was_asked_before(two_entries: list[MixEntry]) -> None:
    forwards = Mix.open(two_entries, seed=5)
    backwards = Mix.open(two_entries, seed=5)
    refs = [forwards.sample_ref(position) for position in range(60)]
    assert [backwards.sample_ref(position) for position in reversed(range(60))] == refs[::-1]
    assert [Mix.open(two_entries, seed=6).sample_ref(position) for position in range(60)] != refs


def test_workers_that_take_turns_see_together_what_one_worker_sees(two_entries: list[MixEntry]) -> None:
    alone = Mix.open(two_entries, seed=1)
    both = [Mix.open(two_entries, seed=1) for _ in range(2)]
    shared = {position: both[position % 2].sample_ref(position) for position in range(50)}
    assert [shared[position] for position in range(50)] == [alone.sample_ref(position) for position in range(50)]


def test_pseudo_samples_are_selected_and_those_without_boxes_are_skipped_and_counted(
    two_entries: list[MixEntry],
) -> None:
    mix = Mix.open(two_entries, seed=0)
    pseudo = mix.datasets[1]
    assert (len(pseudo.refs), pseudo.boxes, pseudo.phrases, pseudo.skipped) == (3, 3, 3, 1)
    scores = [[box.score for box in mix.load(ref).labels.boxes] for ref in pseudo.refs]
    assert scores == [[0.9], [0.8], [0.7]]  # the card's preset: above 0.5


def test_the_selection_of_an_entry_goes_before_that_of_the_card(two_entries: list[MixEntry]) -> None:
    mix = Mix.open([two_entries[1].model_copy(update={"selection": "owl-st"})], seed=0)
    assert [box.score for box in mix.load(mix.datasets[0].refs[0]).labels.boxes] == [0.9, 0.2]


def test_human_boxes_are_never_selected(two_entries: list[MixEntry]) -> None:
    entry = two_entries[0].model_copy(update={"selection": "grit"})
    assert Mix.open([entry], seed=0).datasets[0].boxes == 7


def test_a_selection_that_leaves_nothing_is_an_error_that_says_so(tmp_path: Path) -> None:
    folder = _dataset(tmp_path / "weak", [[[0.1]]], origin="pseudo")
    with pytest.raises(ValueError, match="no sample to learn from"):
        Mix.open([MixEntry(dataset=folder)], seed=0)


def test_a_folder_that_is_no_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no dataset\.json"):
        Mix.open([MixEntry(dataset=str(tmp_path))], seed=0)


def test_the_fingerprint_changes_with_data_weights_seed_and_selection_and_with_nothing_else(
    two_entries: list[MixEntry], tmp_path: Path
) -> None:
    base = Mix.open(two_entries, seed=0).fingerprint
    moved = tmp_path / "moved"
    Path(two_entries[0].dataset).rename(moved)
    human = two_entries[0].model_copy(update={"dataset": str(moved)})
    assert Mix.open([human, two_entries[1]], seed=0).fingerprint == base
    pseudo = two_entries[1]
    others = [
        Mix.open([human, pseudo], seed=1),
        Mix.open([human.model_copy(update={"weight": 2.0}), pseudo], seed=0),
        Mix.open([human, pseudo.model_copy(update={"selection": "owl-st"})], seed=0),
        Mix.open([human], seed=0),
    ]
    assert len({base, *(mix.fingerprint for mix in others)}) == 5


def test_the_table_shows_each_dataset_with_its_share(two_entries: list[MixEntry]) -> None:
    lines, names = Mix.open(two_entries, seed=0).table().splitlines(), ("human", "pseudo")
    assert lines[1].split() == ["human", "7", "7", "7", "0", "75.0%", "1.00"]
    assert lines[2].split() == ["pseudo", "3", "3", "3", "1", "25.0%", "1.00"]
    assert Mix.open(two_entries, seed=0).fingerprint[:16] in lines[3]
    assert lines[4:] == [f"{name} is not complete: only what is there so far is learned from" for name in names]
    store = Store(two_entries[0].dataset)
    write_card(store, read_card(store).model_copy(update={"complete": True}))
    assert Mix.open(two_entries, seed=0).table().splitlines()[4:] == [lines[5]]


def test_few_shards_stay_open_and_samples_are_still_read(
    two_entries: list[MixEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.mix.MAX_OPEN_SHARDS", 1)
    mix = Mix.open(two_entries, seed=0)
    keys = [mix.load(SampleRef(0, unit, 0)).labels.key for unit in (0, 1, 0, 1)]
    assert keys == ["0-0", "1-0", "0-0", "1-0"]
    mix.close()
