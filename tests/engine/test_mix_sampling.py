"""Copies, temperature and repeat factors of a mix that stands on disk, and what its datasets know of a picture."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import saved
from PIL import Image
from sample_labels import labels_of, write_units

from engine.artifacts import Store
from engine.mix import Mix
from engine.mix.labels import names_by_picture, shared_pictures
from engine.mix.repeats import PhraseLog, repeat_quarters
from engine.shards import LabelledImage, annotations_name
from schemas.recipes import MixEntry, MixSampling


def _sample(key: str, phrases: list[str], picture: int, boxed: bool = True) -> LabelledImage:
    image = saved(Image.new("RGB", (8, 6), (picture, 0, 0)))
    caption = " and ".join(phrases)
    boxes = [(number, (1.0, 1.0, 4.0, 5.0), 1.0) for number in range(len(phrases)) if boxed]
    digest = hashlib.sha256(image).hexdigest()
    labels = labels_of(caption, phrases, boxes, key=key, size=(8, 6), image_sha256=digest)
    return LabelledImage(labels, image, "png")


def _dataset(folder: Path, samples: list[LabelledImage]) -> str:
    write_units(Store(folder), [samples[first : first + 4] for first in range(0, len(samples), 4)], origin="human")
    return str(folder)


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Sixteen pictures of dogs of which one has an axolotl beside; and four others."""
    dogs = [_sample(f"d{n}", ["a dog", "an axolotl"] if n == 5 else ["a dog"], n) for n in range(16)]
    others = [_sample(f"o{n}", ["a black cat"], 100 + n) for n in range(4)]
    return [_dataset(tmp_path / "dogs", dogs), _dataset(tmp_path / "others", others)]


def _seen(mix: Mix, positions: int) -> Counter[str]:
    return Counter(mix.load(mix.sample_ref(position)).labels.key for position in range(positions))


@pytest.mark.parametrize(("copies", "epochs"), [((1, 1), 1), ((2, 3), 1), ((1, 0.5), 2), ((1.25, 2), 4)])
def test_an_epoch_sees_every_sample_as_many_times_as_it_has_copies(
    folders: list[str], copies: tuple[float, float], epochs: int
) -> None:
    mix = Mix.open([MixEntry(dataset=f, copies=c) for f, c in zip(folders, copies, strict=True)], seed=2)
    assert mix.epoch == copies[0] * 16 + copies[1] * 4
    seen = _seen(mix, epochs * mix.epoch)
    assert {seen[f"o{n}"] for n in range(4)} == {copies[1] * epochs}
    wanted = copies[0] * epochs
    assert all(abs(seen[f"d{n}"] - wanted) < 1 for n in range(16))
    assert sum(seen[f"d{n}"] for n in range(16)) == 16 * wanted


def test_copies_and_weights_cannot_be_mixed(folders: list[str]) -> None:
    entries = [MixEntry(dataset=folders[0], copies=2), MixEntry(dataset=folders[1])]
    with pytest.raises(ValueError, match="every entry has `copies`"):
        Mix.open(entries, seed=0)
    with pytest.raises(ValueError, match="no temperature"):
        Mix.open([entries[0]], seed=0, sampling=MixSampling(temperature=2))


@pytest.mark.parametrize(("temperature", "share"), [(1, 16 / 20), (2, 4 / 6), (1e6, 0.5)])
def test_a_temperature_takes_shares_from_sizes_to_weights(folders: list[str], temperature: float, share: float) -> None:
    mix = Mix.open([MixEntry(dataset=f) for f in folders], 0, MixSampling(temperature=temperature))
    assert mix.share(0) == pytest.approx(share, abs=1e-4)


def test_a_sample_with_a_rare_phrase_comes_as_often_as_its_repeat_factor_says(folders: list[str]) -> None:
    """Of 20 pictures one has an axolotl: sqrt(0.8 / 0.05) = 4; four have a cat: 2; dogs are in four fifths: 1."""
    mix = Mix.open([MixEntry(dataset=f, copies=1) for f in folders], 0, MixSampling(repeat_threshold=0.8))
    assert mix.epoch == 15 + 4 + 4 * 2
    seen = _seen(mix, 2 * mix.epoch)
    assert seen["d5"] == 2 * 4
    assert {seen[f"o{n}"] for n in range(4)} == {2 * 2}
    assert {seen[f"d{n}"] for n in range(16) if n != 5} == {2}
    assert "2.00" in mix.table().splitlines()[2]


def test_repeats_may_go_by_the_whole_phrase(tmp_path: Path) -> None:
    samples = [_sample(f"k{n}", ["a red dog" if n == 0 else "a dog"], n) for n in range(16)]
    entry = MixEntry(dataset=_dataset(tmp_path / "d", samples), copies=1)
    by_head = Mix.open([entry], 0, MixSampling(repeat_threshold=1.0))
    by_phrase = Mix.open([entry], 0, MixSampling(repeat_threshold=1.0, repeat_by="phrase"))
    assert (by_head.epoch, by_phrase.epoch) == (16, 15 + 4)
    assert _seen(by_phrase, 19)["k0"] == 4


def test_a_rare_phrase_without_a_box_is_no_reason_to_see_a_picture_more_often(tmp_path: Path) -> None:
    samples = [_sample(f"k{n}", ["axolotl" if n == 0 else "dog"], n, boxed=n != 0) for n in range(8)]
    entry = MixEntry(dataset=_dataset(tmp_path / "d", samples), copies=1)
    assert Mix.open([entry], 0, MixSampling(repeat_threshold=1.0)).epoch == 8


@pytest.mark.parametrize("repeat_by", ["head", "phrase"])
def test_human_samples_repeat_alike_whether_their_phrases_are_read_in_tables_or_in_shards(
    folders: list[str], repeat_by: Literal["head", "phrase"]
) -> None:
    entries = [MixEntry(dataset=folder, copies=1) for folder in folders]
    sampling = MixSampling(repeat_threshold=0.8, repeat_by=repeat_by)
    by_tables = Mix.open(entries, 7, sampling).table()
    for folder in folders:
        for path in Path(folder, "annotations").iterdir():
            path.unlink()
    assert Mix.open(entries, 7, sampling).table() == by_tables


def test_a_phrase_counts_once_a_picture_however_often_it_is_said() -> None:
    """In one of four pictures: sqrt(1 / 0.25) times; in three of four: sqrt(1 / 0.75) times, to the nearest quarter."""
    for said in (["dog"], ["dog", "dog"]):
        log = PhraseLog({})
        for phrases in (said, ["cat"], ["cat"], ["cat"]):
            log.add(phrases)
        [quarters] = repeat_quarters([log], threshold=1.0)
        assert quarters.tolist() == [8, 5, 5, 5]


def test_the_fingerprint_tells_repeats_and_copies(folders: list[str]) -> None:
    entries = [MixEntry(dataset=folder) for folder in folders]
    copied = [entry.model_copy(update={"copies": 1.0}) for entry in entries]
    openings = [
        Mix.open(entries, 0),
        Mix.open(entries, 0, MixSampling(repeat_threshold=0.8)),
        Mix.open(entries, 0, MixSampling(repeat_threshold=0.4)),
        Mix.open(copied, 0),
    ]
    assert len({mix.fingerprint for mix in openings}) == 4


def test_workers_of_any_number_share_a_mix_with_copies_and_repeats(folders: list[str]) -> None:
    entries = [MixEntry(dataset=folder, copies=1) for folder in folders]
    sampling = MixSampling(repeat_threshold=0.8)
    alone = [Mix.open(entries, 7, sampling).sample_ref(position) for position in range(60)]
    for workers in (2, 3):
        mixes = [Mix.open(entries, 7, sampling) for _ in range(workers)]
        assert [mixes[position % workers].sample_ref(position) for position in range(60)] == alone


def test_a_picture_in_two_datasets_is_known_by_the_names_of_both(tmp_path: Path) -> None:
    first = _dataset(tmp_path / "one", [_sample("a", ["a dog"], 1), _sample("b", ["a cat"], 2)])
    second = _dataset(tmp_path / "two", [_sample("c", ["a kitten", "a ball"], 1), _sample("d", ["a car"], 3)])
    mix = Mix.open([MixEntry(dataset=first), MixEntry(dataset=second)], 0)
    of = {sample.labels.key: mix.known_names(sample.labels) for sample in map(mix.load, mix.datasets[0].refs)}
    assert of["a"] == {"a dog", "dog", "a kitten", "kitten", "a ball", "ball"}
    assert of["b"] == frozenset()


def test_the_captions_of_a_picture_in_one_dataset_know_the_names_of_each_other(tmp_path: Path) -> None:
    captions = [_sample("a", ["a dog"], 1), _sample("b", ["a boy", "a ball"], 1), _sample("c", ["a car"], 2)]
    entry = MixEntry(dataset=_dataset(tmp_path / "one", captions))
    for entries in ([entry], [entry, entry]):  # the same dataset twice has no picture twice
        mix = Mix.open(entries, 0)
        of = {sample.labels.key: mix.known_names(sample.labels) for sample in map(mix.load, mix.datasets[0].refs)}
        assert of["a"] == of["b"] == {"a dog", "dog", "a boy", "boy", "a ball", "ball"}
        assert of["c"] == frozenset()


@pytest.mark.parametrize("other", [None, "", "no digest"])
def test_a_table_whose_pictures_are_not_all_told_says_what_it_can(tmp_path: Path, other: str | None) -> None:
    """As another writer may leave it: of what is no digest only equal texts are one picture."""
    samples = [_sample("a", ["a dog"], 1), _sample("b", ["a cat"], 1), _sample("c", ["a car"], 2)]
    store = Store(_dataset(tmp_path / "one", samples))
    table = pq.read_table(store.path(annotations_name(0)))
    digests = [*table["image_sha256"].to_pylist()[:2], other]
    place = table.column_names.index("image_sha256")
    pq.write_table(table.set_column(place, "image_sha256", pa.array(digests)), store.path(annotations_name(0)))
    assert names_by_picture([store]) == {samples[0].labels.image_sha256: {"a dog", "dog", "a cat", "cat"}}
    assert shared_pictures(store, [store]) == ((1, 1) if other is None else (2, 2))


def test_labels_are_drawn_from_one_shard_and_over_time_from_all(folders: list[str]) -> None:
    mix = Mix.open([MixEntry(dataset=folder) for folder in folders], 0)
    drawn = [mix.draw_labels(0, 6, np.random.default_rng(seed)) for seed in range(60)]
    assert all(len(some) == 6 for some in drawn)
    assert {len({int(one.key[1:]) // 4 for one in some}) for some in drawn} == {1}, "shards have four samples each"
    assert {one.key for some in drawn for one in some} == {f"d{n}" for n in range(16)}
    assert all(one.key.startswith("o") for one in mix.draw_labels(1, 3, np.random.default_rng(5)))


def test_pictures_of_one_dataset_are_found_in_others(tmp_path: Path) -> None:
    exam = Store(_dataset(tmp_path / "exam", [_sample("a", ["a dog"], 1), _sample("b", ["a cat"], 1)]))
    other = Store(_dataset(tmp_path / "other", [_sample(f"c{n}", ["a dog"], n) for n in (2, 3)]))
    same = Store(_dataset(tmp_path / "same", [_sample(f"d{n}", ["a tree"], n) for n in (1, 3)]))
    assert shared_pictures(exam, [other]) == (1, 0)
    assert shared_pictures(exam, [other, same]) == (1, 1)
    assert shared_pictures(same, [other]) == (2, 1)
    assert shared_pictures(exam, []) == (1, 0)
    blank = Store(_dataset(tmp_path / "blank", [_sample("e", ["a dog"], 1, boxed=False)]))
    assert shared_pictures(blank, [exam]) == (0, 0)
