"""Predicts what a training run takes, before it begins and without its data: samples, steps, memory, GPU-hours, days.

In: a recipe, a number of GPUs, and the speed of one. Out: figures, each with its basis. Only the model's sizes and the
cards of existing datasets are read; nothing is written.
"""

from __future__ import annotations

from pathlib import Path

from engine.artifacts import Store
from engine.mix.datasets import epoch_of, interleave_of
from engine.mix.order import Passes
from engine.shards import CARD, read_card
from glip.config import GLIPConfig
from glip.model_folder import path_of, read_description
from glip.published import PUBLISHED
from glip.published_weights import read_published
from pipelines.models.candidates import config_of_version
from pipelines.models.checkpoints import open_version, registry_name
from pipelines.training.memory import HELD_BYTES, TRAINED_BYTES, activation_bytes, parameter_counts
from schemas.recipes import MixEntry, TrainRecipe
from schemas.reports import Document
from schemas.train_recipes import RANDOM
from student.augment import CANVAS_ASPECTS
from student.data import pictures_at_once
from student.optimizer import short_of_full_rate
from student.picture_words import has_objectives
from student.session import SIZES

# GLIP paper, table of speeds: images a second of one V100 while training at up to 800 x 1333.
PUBLISHED_RATES = {"tiny": 1.62, "large": 0.88}
LONGEST_ASPECT = 5 / 3  # of the picture that memory is computed for: 800 x 1333
GIB = 2**30


class PlannedDataset(Document):
    """One dataset of the mix: its share of the drawn samples, and how often each of its samples is seen in the run."""

    dataset: str
    samples: int | None
    share: float
    times_seen: float | None


class TrainPlan(Document):
    """What a run takes. ``rests_on``: the basis of each figure that does not follow from the recipe alone. ``notes``:
    warnings about settings that may be mistakes."""

    model: str
    parameters: int
    trained_parameters: int
    steps: int
    images: int
    epochs: float | None
    datasets: list[PlannedDataset]
    gpus: int
    images_per_gpu: int
    images_per_second: float | None
    gpu_hours: float | None
    days: float | None
    states_gib: float
    activations_gib: float
    rests_on: dict[str, str]
    notes: list[str] = []


def train_plan(recipe: TrainRecipe, *, gpus: int = 1, images_per_second: float | None = None) -> TrainPlan:
    """The plan of ``recipe`` on ``gpus`` GPUs, each of which trains on ``images_per_second``.

    The default rate is the published one of the model's size on a V100, if there is one. ValueError where the GPUs
    cannot share a step, or the size of the model, or of a dataset that it depends on, is unknown.
    """
    at_once = pictures_at_once(recipe, gpus)
    config = _config(recipe)
    rate = images_per_second or PUBLISHED_RATES.get(config.name)
    images = recipe.steps * recipe.batch_size
    hours = images / rate / 3600 if rate is not None else None
    size_hw = _largest(recipe, config)
    kept = activation_bytes(config, size_hw, bf16=recipe.precision != "fp32", recompute=recipe.gradient_checkpointing)
    parameters, trained = parameter_counts(config, recipe)
    sharded = gpus if recipe.strategy == "fsdp" else 1
    sizes = [_samples(entry) for entry in recipe.mix]
    return TrainPlan(
        model=config.name,
        parameters=parameters,
        trained_parameters=trained,
        steps=recipe.steps,
        images=images,
        epochs=_epochs(recipe, images, sizes),
        datasets=_datasets(recipe, images, sizes),
        gpus=gpus,
        images_per_gpu=at_once,
        images_per_second=rate,
        gpu_hours=hours,
        days=None if hours is None else hours / 24 / gpus,
        states_gib=(parameters * HELD_BYTES + trained * TRAINED_BYTES) / sharded / GIB,
        activations_gib=kept * at_once / GIB,
        rests_on=_rests_on(recipe, config, size_hw, given=images_per_second is not None),
        notes=short_of_full_rate(recipe),
    )


def _config(recipe: TrainRecipe) -> GLIPConfig:
    if recipe.init in PUBLISHED:
        return PUBLISHED[recipe.init].config
    if recipe.init.startswith(RANDOM):
        return SIZES[recipe.init.removeprefix(RANDOM)]()
    if (asked := registry_name(recipe.init)) is not None:
        return config_of_version(*open_version(asked))
    path = path_of(recipe.init)
    if path.is_file():  # a published checkpoint, whose tensors are mapped and not read
        return read_published(path, None, "").config
    return GLIPConfig.from_dict(read_description(path)["config"])


def _largest(recipe: TrainRecipe, config: GLIPConfig) -> tuple[int, int]:
    """Sides of the run's largest pictures, in multiples of 32: of the canvas with scale jitter, else of a long one."""
    short = max(recipe.min_sizes or config.train_min_sizes)
    aspect = LONGEST_ASPECT if recipe.scale_jitter is None else max(CANVAS_ASPECTS)
    long = min(recipe.max_size or config.train_max_size, round(short * aspect))
    return -(-short // 32) * 32, -(-long // 32) * 32


def _datasets(recipe: TrainRecipe, images: int, sizes: list[int | None]) -> list[PlannedDataset]:
    turns = _turns(recipe, sizes)
    shares = [count / sum(turns) for count in turns]
    return [
        PlannedDataset(
            dataset=entry.dataset,
            samples=size,
            share=share,
            times_seen=images * share / size if size is not None else None,
        )
        for entry, size, share in zip(recipe.mix, sizes, shares, strict=True)
    ]


def _turns(recipe: TrainRecipe, sizes: list[int | None]) -> list[int]:
    """The turns of each dataset in a period of the mix, computed like the mix itself, but without repeat factors."""
    missing = [entry.dataset for entry, size in zip(recipe.mix, sizes, strict=True) if size is None]
    if missing and (recipe.sampling.temperature or any(entry.copies for entry in recipe.mix)):
        raise ValueError(
            f"mix: copies and temperature need sizes; {', '.join(missing)} is not there and has no `samples`"
        )
    return interleave_of(recipe.mix, _passes([size or 1 for size in sizes]), recipe.sampling).turns


def _epochs(recipe: TrainRecipe, images: int, sizes: list[int | None]) -> float | None:
    """The number of epochs: of all copies or, without copies, of as many samples as all datasets have."""
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    return images / (epoch_of(recipe.mix, _passes(known)) or sum(known))


def _passes(sizes: list[int]) -> list[Passes]:
    return [Passes(size, 0, number) for number, size in enumerate(sizes)]


def _samples(entry: MixEntry) -> int | None:
    """The number of samples by the dataset's card or, if that is missing or has none yet, by the recipe."""
    is_there = "://" in entry.dataset or Path(entry.dataset, CARD).exists()
    return (read_card(Store(entry.dataset)).samples if is_there else 0) or entry.samples


def _rests_on(recipe: TrainRecipe, config: GLIPConfig, size_hw: tuple[int, int], *, given: bool) -> dict[str, str]:
    rate = "given" if given else "the GLIP paper's table of speeds, one V100"
    if not given and config.name not in PUBLISHED_RATES:
        rate = f"nothing: no published rate of {config.name}; give --rate, images a second of one GPU"
    kept = "blocks computed again" if recipe.gradient_checkpointing else "everything kept"
    repeats = "; repeat factors, which need the data, are not in them" if recipe.sampling.repeat_threshold else ""
    without = "without the text tower" + (" and the added objectives" if has_objectives(recipe) else "")
    number = "fp32" if recipe.precision == "fp32" else "bf16"
    return {
        "samples": "the cards of the datasets that are there, with samples that a selection will leave out; else "
        f"`samples` of the recipe{repeats}",
        "images_per_second": rate,
        "gpu_hours": "images over the rate; waiting for data or for each other is not in it",
        "states_gib": "in 4 bytes each: weights and their average; gradients and two moments of what is trained",
        "activations_gib": f"counted at {size_hw[0]} x {size_hw[1]} pixels, {number}, {kept}; {without}",
    }
