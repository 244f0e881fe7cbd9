"""Batches: the same for any number of threads and workers, and labelled as the shards say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine.mix import Mix
from glip.checkpoint import LoadedModel, load_model
from schemas.recipes import TrainRecipe
from student.data import Batch, TrainingData


@pytest.fixture
def loaded(small_model: Path) -> LoadedModel:
    return load_model(small_model)


@pytest.fixture
def mix(small_recipe: TrainRecipe) -> Iterator[Mix]:
    mix = Mix.open(small_recipe.mix, small_recipe.seed)
    yield mix
    mix.close()


def _data(mix: Mix, recipe: TrainRecipe, loaded: LoadedModel, rank: int = 0, size: int = 1) -> TrainingData:
    return TrainingData(mix, recipe, loaded.config, loaded.tokenizer, rank=rank, size=size)


def _same(one: Batch, other: Batch) -> bool:
    pairs = [*zip(one.images, other.images, strict=True), (one.token_ids_bt, other.token_ids_bt)]
    for mine, yours in zip(one.targets, other.targets, strict=True):
        pairs += [(mine.boxes_xyxy_N4, yours.boxes_xyxy_N4), (mine.token_map_NT, yours.token_map_NT)]
    return all(torch.equal(left, right) for left, right in pairs)


def test_threads_change_nothing_but_the_time(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    alone = list(_data(mix, small_recipe, loaded).batches(0))
    threaded = list(_data(mix, small_recipe.model_copy(update={"loader_threads": 3}), loaded).batches(0))
    assert len(alone) == small_recipe.steps
    assert all(_same(one, other) for one, other in zip(alone, threaded, strict=True))


def test_batches_from_a_later_step_are_those_of_the_whole_run(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    data = _data(mix, small_recipe, loaded)
    assert all(_same(one, other) for one, other in zip(list(data.batches(0))[4:], data.batches(4), strict=True))


def test_workers_share_a_batch_without_gap_or_overlap(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    recipe = small_recipe.model_copy(update={"scale_jitter": (0.7, 1.5)})
    whole = _data(mix, recipe, loaded).batch(1)
    parts = [_data(mix, recipe, loaded, rank, 2).batch(1) for rank in range(2)]
    for rank, part in enumerate(parts):
        assert part.shape_hw == whole.shape_hw
        assert all(torch.equal(a, b) for a, b in zip(part.images, whole.images[rank::2], strict=True))


def test_a_batch_that_workers_cannot_share_is_refused(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="cannot be shared by 3 workers"):
        _data(mix, small_recipe, loaded, 0, 3)


def test_a_damaged_picture_is_named_with_what_to_do(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mix.load(mix.sample_ref(0))
    data = _data(mix, small_recipe, loaded)
    for image in (sample.image[: len(sample.image) // 2], b"no picture", b""):
        monkeypatch.setattr(mix, "load", lambda ref, image=image: dataclasses.replace(sample, image=image))
        with pytest.raises(ValueError, match=f"sample '{sample.labels.key}': its picture cannot be read .*`verify`"):
            data.batch(0)


def test_words_are_masked_the_same_whatever_their_neighbours_are(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    """The longest prompt of a batch decides how far all are padded."""
    recipe = small_recipe.model_copy(update={"masked_language": 1.0, "masked_share": 0.5, "caption_negatives": 2})
    whole = _data(mix, recipe, loaded).batch(0)
    lengths = set()
    for rank in range(4):
        part = _data(mix, recipe, loaded, rank, 4).batch(0)
        length = part.token_ids_bt.shape[1]
        lengths.add(length)
        assert torch.equal(part.token_ids_bt[0], whole.token_ids_bt[rank][:length])
        assert torch.equal((part.words or [])[0].told_T, (whole.words or [])[rank].told_T[:length])
    assert len(lengths) > 1


def test_tokens_of_a_box_are_the_tokens_of_its_phrase(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    data = _data(mix, small_recipe, loaded)
    batch = data.batch(0)
    for number, target in enumerate(batch.targets):
        labels = mix.load(mix.sample_ref(number)).labels
        prompts = loaded.tokenizer.encode([labels.caption], loaded.config.max_tokens)
        named = {tuple(prompts.token_positions(0, p.start, p.end)) for p in labels.phrases}
        rows = {tuple(row.nonzero().flatten().tolist()) for row in target.token_map_NT}
        assert rows
        assert rows <= named
        height, width = batch.images[number].shape[-2:]
        assert bool((target.boxes_xyxy_N4 >= 0).all())
        assert bool((target.boxes_xyxy_N4 <= torch.tensor([width, height, width, height])).all())


def test_a_box_that_two_phrases_name_is_one_box_with_the_tokens_of_both(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = next(
        sample for sample in map(mix.load, mix.datasets[0].refs) if len({b.phrase for b in sample.labels.boxes}) > 1
    )
    first = sample.labels.boxes[0]
    second = next(box for box in sample.labels.boxes if box.phrase != first.phrase)
    boxes = [first, second.model_copy(update={"box_xyxy": first.box_xyxy})]
    labels = sample.labels.model_copy(update={"boxes": boxes})
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(labels, sample.image, sample.card))
    batch = _data(mix, small_recipe, loaded).batch(0)
    prompts = loaded.tokenizer.encode([labels.caption], loaded.config.max_tokens)
    both = {
        position
        for phrase in (labels.phrases[first.phrase], labels.phrases[second.phrase])
        for position in prompts.token_positions(0, phrase.start, phrase.end)
    }
    for target in batch.targets:
        assert len(target.boxes_xyxy_N4) == 1
        assert set(target.token_map_NT[0].nonzero().flatten().tolist()) == both


def test_pseudo_boxes_can_be_kept_out_of_the_box_loss_and_weighed_by_their_score(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mix.load(mix.datasets[0].refs[0])
    boxes = [box.model_copy(update={"score": 0.7}) for box in sample.labels.boxes]
    labels = sample.labels.model_copy(update={"boxes": boxes})
    card = sample.card.model_copy(update={"origin": "pseudo"})
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(labels, sample.image, card))
    recipe = small_recipe.model_copy(update={"pseudo_regression": False, "score_weighted": True})
    target = _data(mix, recipe, loaded).batch(0).targets[0]
    assert target.regress_N is not None
    assert target.score_weight_N is not None
    assert not target.regress_N.any()
    assert target.score_weight_N.tolist() == pytest.approx([0.7] * len(target.score_weight_N))
    plain = _data(mix, small_recipe, loaded).batch(0).targets[0]
    assert plain.regress_N is plain.score_weight_N is None


def test_a_picture_of_another_size_than_its_labels_say_is_named(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mix.load(mix.datasets[0].refs[0])
    labels = sample.labels.model_copy(update={"width": sample.labels.width + 1})
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(labels, sample.image, sample.card))
    with pytest.raises(ValueError, match=f"{labels.key}.*pixels"):
        _data(mix, small_recipe, loaded).batch(0)


def _changed(mix: Mix, monkeypatch: pytest.MonkeyPatch, labels: dict[str, object], card: dict[str, object]) -> None:
    """A mix that gives one sample over and over, with some fields changed."""
    sample = mix.load(mix.datasets[0].refs[0])
    changed = sample.labels.model_copy(update=labels)
    cards = sample.card.model_copy(update=card)
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(changed, sample.image, cards))


def test_words_of_a_class_annotated_in_part_are_uncertain(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mix.load(mix.datasets[0].refs[0]).labels.phrases[0]
    _changed(mix, monkeypatch, {"incomplete_classes": [first.text]}, {"task": "detection", "classes": [first.text]})
    batch = _data(mix, small_recipe, loaded).batch(0)
    for number, target in enumerate(batch.targets):
        assert target.uncertain_T is not None
        said = loaded.tokenizer.encode([first.text], 20).ids_BT[0, 1:-1].tolist()
        assert batch.token_ids_bt[number][target.uncertain_T].tolist() == said


def test_phrases_that_a_selection_left_no_box_are_uncertain_only_where_the_recipe_says_so(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mix.load(mix.datasets[0].refs[0]).labels
    kept = [box for box in sample.boxes if box.phrase == sample.boxes[0].phrase]
    _changed(mix, monkeypatch, {"boxes": kept}, {"origin": "pseudo"})
    recipe = small_recipe.model_copy(update={"ignore_ungrounded": True})
    plain, forgiving = (_data(mix, r, loaded).batch(0).targets[0] for r in (small_recipe, recipe))
    assert plain.uncertain_T is None
    prompts = loaded.tokenizer.encode([sample.caption], loaded.config.max_tokens)
    boxless = [p for number, p in enumerate(sample.phrases) if number != kept[0].phrase]
    assert boxless
    assert forgiving.uncertain_T is not None
    expected = {at for p in boxless for at in prompts.token_positions(0, p.start, p.end)}
    assert set(forgiving.uncertain_T.nonzero().flatten().tolist()) == expected


def test_what_another_dataset_knows_of_a_picture_keeps_its_classes_from_the_negatives(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    _changed(mix, monkeypatch, {}, {"task": "detection", "classes": ["zebra", "kettle"]})
    plain = _data(mix, small_recipe, loaded).batch(0)
    monkeypatch.setattr(mix, "known_names", lambda labels: frozenset({"a zebra"}))
    knowing = _data(mix, small_recipe, loaded).batch(0)
    assert (plain.token_ids_bt != 0).sum() > (knowing.token_ids_bt != 0).sum()
