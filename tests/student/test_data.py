"""Batches: the same for any number of threads and workers, and labelled as the shards say."""

from __future__ import annotations

import dataclasses
import io
import shutil
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sample_labels import labels_of
from student_runs import training_data
from turned_photos import stored_as

from engine.mix import Mix
from glip.checkpoint import LoadedModel
from schemas.class_prompts import asked_classes
from schemas.orientation import box_as_stored, turned_size
from schemas.recipes import MixEntry, TrainRecipe
from student.augment import Augmentation, StepShape
from student.data import Batch, pictures_at_once


def _same(one: Batch, other: Batch) -> bool:
    pairs = [*zip(one.images, other.images, strict=True), (one.token_ids_bt, other.token_ids_bt)]
    for mine, yours in zip(one.targets, other.targets, strict=True):
        pairs += [(mine.boxes_xyxy_N4, yours.boxes_xyxy_N4), (mine.token_map_NT, yours.token_map_NT)]
    return all(torch.equal(left, right) for left, right in pairs)


def test_threads_change_nothing_but_the_time(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    alone = list(training_data(mix, small_recipe, loaded).batches(0))
    threaded = list(training_data(mix, small_recipe.model_copy(update={"loader_threads": 3}), loaded).batches(0))
    assert len(alone) == small_recipe.steps
    assert all(_same(one, other) for one, other in zip(alone, threaded, strict=True))


def test_as_many_batches_are_made_at_once_as_there_are_threads(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training_data(mix, small_recipe.model_copy(update={"loader_threads": 3}), loaded)
    together = threading.Barrier(3, timeout=60)
    monkeypatch.setattr(data, "batch", lambda step: (step, together.wait())[0])
    assert list(data.batches(0)) == list(range(small_recipe.steps))


def test_batches_from_a_later_step_are_those_of_the_whole_run(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    data = training_data(mix, small_recipe, loaded)
    assert all(_same(one, other) for one, other in zip(list(data.batches(0))[4:], data.batches(4), strict=True))


def test_each_step_draws_its_size_and_each_time_a_picture_is_seen_its_view(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    data = training_data(mix, small_recipe, loaded)
    assert {min(image.shape[1:]) for step in range(6) for image in data.batch(step).images} >= {64, 96}
    first = mix.sample_ref(0)
    again = next(position for position in range(1, 50) if mix.sample_ref(position) == first)
    views = [data.example(position, StepShape(64, None)).image for position in (0, 0, again)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_another_seed_sees_the_same_pictures_otherwise(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    masked = small_recipe.model_copy(update={"masked_language": 1.0, "masked_share": 0.5})
    one, other = (training_data(mix, masked.model_copy(update={"seed": seed}), loaded) for seed in (0, 1))
    first, second = (data.example(0, StepShape(64, None)) for data in (one, other))
    assert first.labels == second.labels
    assert not torch.equal(first.image, second.image)
    assert [one.batch(step).shape_hw for step in range(6)] != [other.batch(step).shape_hw for step in range(6)]
    assert not torch.equal(one.batch(0).token_ids_bt, other.batch(0).token_ids_bt), "other words are masked"


def test_pictures_are_varied_as_the_recipe_says(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    fields = {"min_sizes": (48,), "max_size": 90, "flip": False, "scale_jitter": (0.5, 1.0), "color_jitter": 0.1}
    assert training_data(mix, small_recipe.model_copy(update=fields), loaded).augmentation == Augmentation(**fields)
    plain = small_recipe.model_copy(update={"min_sizes": None, "max_size": None, "color_jitter": 0.0})
    own = Augmentation(loaded.config.train_min_sizes, loaded.config.train_max_size)
    assert training_data(mix, plain, loaded).augmentation == own
    colours = [small_recipe.model_copy(update={"color_jitter": strength}) for strength in (0.0, 0.5)]
    seen = [training_data(mix, recipe, loaded).example(0, StepShape(64, None)).image for recipe in colours]
    assert seen[0].shape == seen[1].shape
    assert not torch.equal(seen[0], seen[1])


def test_boxes_are_those_that_the_model_was_made_for(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    published = dataclasses.replace(loaded, config=dataclasses.replace(loaded.config, last_pixel_left_out=True))
    plain, shorter = (
        training_data(mix, small_recipe, one).example(0, StepShape(64, None)) for one in (loaded, published)
    )
    gone = plain.boxes_xyxy - shorter.boxes_xyxy
    height, width = plain.image.shape[1:]
    pixel = np.array([0, 0, width / plain.labels.width, height / plain.labels.height])
    assert len(gone) > 0
    assert gone == pytest.approx(np.broadcast_to(pixel, gone.shape), abs=1e-4)


def test_a_sample_is_packed_with_captions_of_its_own_dataset_and_asked_by_its_prompts(
    small_recipe: TrainRecipe, loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small_recipe.mix[0].dataset, tmp_path / "other")
    entries = (*small_recipe.mix, MixEntry(dataset=str(tmp_path / "other")))
    glove = labels_of("glove", ["glove"], [(0, (5, 5, 30, 40), 1)])
    said = {"caption": glove.caption, "phrases": glove.phrases, "boxes": glove.boxes}
    with closing(Mix.open(entries, small_recipe.seed)) as mix:
        drawn: list[int] = []
        monkeypatch.setattr(mix, "draw_labels", lambda dataset, count, random: drawn.append(dataset) or [])
        data = training_data(mix, small_recipe.model_copy(update={"caption_negatives": 2}), loaded)
        positions: dict[int, list[int]] = {0: [], 1: []}
        for position in range(40):
            data.example(position, StepShape(64, None))
            positions[mix.sample_ref(position).dataset].append(position)
            assert set(drawn) <= {mix.sample_ref(position).dataset}
            drawn.clear()
        sample = mix.load(mix.sample_ref(0))
        card = sample.card.model_copy(update={"task": "detection", "classes": ["glove"]})
        labels = sample.labels.model_copy(update=said)
        monkeypatch.setattr(mix, "load", lambda ref: type(sample)(labels, sample.image, card))
        asked = asked_classes({"glove": "a glove for the left hand"}, ["glove"])
        second = dataclasses.replace(mix.datasets[1], asked=asked)
        monkeypatch.setattr(mix, "datasets", (mix.datasets[0], second))
        data = training_data(mix, small_recipe, loaded)
        for dataset, (text, ways_to_see) in enumerate((("glove", 2), ("a glove for the left hand", 1))):
            seen = [data.example(position, StepShape(64, None)) for position in positions[dataset]]
            assert {example.prompt.text for example in seen} == {text}
            assert len({example.boxes_xyxy.tobytes() for example in seen}) == ways_to_see


def test_as_many_absent_classes_are_asked_for_as_the_recipe_says(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mix.load(mix.datasets[0].refs[0])
    card = sample.card.model_copy(update={"task": "detection", "classes": ["zebra", "kettle", "train"]})
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(sample.labels, sample.image, card))
    for most in (0, 2):
        data = training_data(mix, small_recipe.model_copy(update={"max_negatives": most}), loaded)
        assert len(data.example(0, StepShape(64, None)).prompt.others) == most


def test_pictures_on_a_canvas_are_padded_to_it_however_small_they_are(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    data = training_data(mix, small_recipe.model_copy(update={"scale_jitter": (0.2, 0.2)}), loaded)
    batch = data.batch(0)
    assert max(side for image in batch.images for side in image.shape[1:]) < 32
    assert max(batch.shape_hw) >= 96, "the long side of the smaller canvas"


def test_a_wide_and_a_tall_picture_fit_into_one_batch(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    data, shape = training_data(mix, small_recipe, loaded), StepShape(64, None)
    seen = [
        dataclasses.replace(data.example(position, shape), image=torch.zeros(3, *size, dtype=torch.uint8))
        for position, size in enumerate([(64, 120), (125, 64), (90, 90)])
    ]
    assert data.collate(seen, shape).shape_hw == (128, 128)


def test_as_many_captions_are_packed_as_the_recipe_says_or_fewer_each_as_often(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(mix, "draw_labels", lambda dataset, count, random: asked.append(count) or [])
    data = training_data(mix, small_recipe.model_copy(update={"caption_negatives": 2}), loaded)
    for position in range(30):
        data.example(position, StepShape(64, None))
    assert 5 < asked.count(1) < 15
    assert 5 < asked.count(2) < 15
    assert len(asked) == asked.count(1) + asked.count(2), "the rest are seen with their own caption alone"


def test_a_text_that_the_budget_holds_is_read_to_its_last_word(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    budget, text = training_data(mix, small_recipe, loaded).budget, "dog"
    while budget.holds(f"{text} dog"):
        text += " dog"
    prompts = loaded.tokenizer.encode([text, f"{text} dog"], loaded.config.max_tokens)
    assert prompts.token_positions(0, len(text) - len("dog"), len(text))
    assert not prompts.token_positions(1, len(text) + 1, len(text) + 4), "nothing longer would be"


def test_workers_share_a_batch_without_gap_or_overlap(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    recipe = small_recipe.model_copy(update={"scale_jitter": (0.7, 1.5)})
    whole = training_data(mix, recipe, loaded).batch(1)
    parts = [training_data(mix, recipe, loaded, rank, 2).batch(1) for rank in range(2)]
    for rank, part in enumerate(parts):
        assert part.shape_hw == whole.shape_hw
        assert all(torch.equal(a, b) for a, b in zip(part.images, whole.images[rank::2], strict=True))


def test_a_batch_that_workers_cannot_share_is_refused(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="cannot be shared by 5 workers; choose at least 5"):
        training_data(mix, small_recipe, loaded, 0, 5)
    with pytest.raises(ValueError, match="3 workers, each in 2 parts"):
        training_data(mix, small_recipe.model_copy(update={"accumulation": 2}), loaded, 0, 3)


def test_workers_that_do_not_go_up_into_a_batch_share_it_as_evenly_as_they_can(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    whole = training_data(mix, small_recipe, loaded).batch(1)
    for rank, size in enumerate((2, 1, 1)):
        part = training_data(mix, small_recipe, loaded, rank, 3).batch(1)
        assert len(part.images) == size
        assert all(torch.equal(a, b) for a, b in zip(part.images, whole.images[rank::3], strict=True))


def test_as_many_pictures_are_in_the_model_at_once_as_the_largest_part_of_a_worker_has(
    small_recipe: TrainRecipe,
) -> None:
    recipe = small_recipe.model_copy(update={"batch_size": 11, "accumulation": 2})
    assert [pictures_at_once(recipe, workers) for workers in (1, 2, 5)] == [6, 3, 2]


def test_a_damaged_picture_is_named_with_what_to_do(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mix.load(mix.sample_ref(0))
    data = training_data(mix, small_recipe, loaded)
    pcx = io.BytesIO()
    Image.new("RGB", (sample.labels.width, sample.labels.height)).save(pcx, "PCX")  # no format that a dataset has
    for image in (sample.image[: len(sample.image) // 2], b"no picture", b"", pcx.getvalue()):
        monkeypatch.setattr(mix, "load", lambda ref, image=image: dataclasses.replace(sample, image=image))
        with pytest.raises(ValueError, match=f"sample '{sample.labels.key}': its picture cannot be read .*`verify`"):
            data.batch(0)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_however_a_photo_is_stored_it_is_learned_from_as_it_is_seen(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    sample = mix.load(mix.sample_ref(0))
    data = training_data(mix, small_recipe, loaded)
    expected = data.example(0, StepShape(64, None))
    width, height = turned_size((sample.labels.width, sample.labels.height), orientation)
    boxes = [box_as_stored(box.box_xyxy, orientation, width, height) for box in sample.labels.boxes]
    labels = sample.labels.model_copy(
        update={
            "width": width,
            "height": height,
            "boxes": [
                old.model_copy(update={"box_xyxy": new}) for old, new in zip(sample.labels.boxes, boxes, strict=True)
            ],
        }
    )
    photo = stored_as(Image.open(io.BytesIO(sample.image)), orientation)
    monkeypatch.setattr(mix, "load", lambda ref: dataclasses.replace(sample, labels=labels, image=photo))
    found = data.example(0, StepShape(64, None))
    assert torch.equal(found.image, expected.image)
    assert found.boxes_xyxy == pytest.approx(expected.boxes_xyxy, abs=1e-3)


def test_words_are_masked_the_same_whatever_their_neighbours_are(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    """The longest prompt of a batch decides how far all are padded."""
    recipe = small_recipe.model_copy(update={"masked_language": 1.0, "masked_share": 0.5, "caption_negatives": 2})
    whole = training_data(mix, recipe, loaded).batch(0)
    lengths = set()
    for rank in range(4):
        part = training_data(mix, recipe, loaded, rank, 4).batch(0)
        length = part.token_ids_bt.shape[1]
        lengths.add(length)
        assert torch.equal(part.token_ids_bt[0], whole.token_ids_bt[rank][:length])
        assert torch.equal((part.words or [])[0].told_T, (whole.words or [])[rank].told_T[:length])
    assert len(lengths) > 1


def test_a_picture_of_another_size_than_its_labels_say_is_named(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mix.load(mix.datasets[0].refs[0])
    labels = sample.labels.model_copy(update={"width": sample.labels.width + 1})
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(labels, sample.image, sample.card))
    with pytest.raises(ValueError, match=f"{labels.key}.*pixels"):
        training_data(mix, small_recipe, loaded).batch(0)
