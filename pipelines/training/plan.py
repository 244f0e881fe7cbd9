"""What a training run will take, before it is begun and without its data: samples, steps, memory, GPU-hours, days.

In: a recipe, a number of GPUs, and how fast one of them is. Out: figures, each with what it rests on. Nothing is read
but the cards of datasets that are there; nothing is written.
"""

from __future__ import annotations

from pathlib import Path

from engine.artifacts import Store
from engine.mix import Interleave
from engine.shards import CARD, read_card
from glip.config import GLIPConfig
from glip.model_folder import path_of, read_description
from pipelines.training.memory import BYTES_PER_PARAMETER, activation_bytes, parameter_count
from schemas.recipes import MixEntry, TrainRecipe
from schemas.reports import Document
from student.session import RANDOM, SIZES

# GLIP paper, table of speeds: images a second of one V100 while training at up to 800 x 1333.
PUBLISHED_RATES = {"tiny": 1.62, "large": 0.88}
PUBLISHED = {"glip-t": "tiny", "glip-l": "large"}
GIB = 2**30


class PlannedDataset(Document):
    """One dataset of the mix: its share of the samples drawn, and how often each of its own is seen in the run."""

    dataset: str
    samples: int | None
    share: float
    times_seen: float | None


class TrainPlan(Document):
    """What a run takes. ``rests_on`` has a line for each figure that is no arithmetic on the recipe."""

    model: str
    parameters: int
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


def train_plan(recipe: TrainRecipe, *, gpus: int = 1, images_per_second: float | None = None) -> TrainPlan:
    """The plan of ``recipe`` on ``gpus`` of which one trains on so many images a second.

    Where no rate is given, the published one of the model's size on a V100, none where there is no such. ValueError
    where the GPUs cannot share a step, or the sizes of the model are not known.
    """
    if recipe.batch_size % (gpus * recipe.accumulation):
        raise ValueError(f"batch_size {recipe.batch_size} cannot be shared by {gpus} GPUs; choose another number")
    config = _config(recipe)
    rate = images_per_second or PUBLISHED_RATES.get(config.name)
    images = recipe.steps * recipe.batch_size
    hours = images / rate / 3600 if rate is not None else None
    at_once = recipe.batch_size // (gpus * recipe.accumulation)
    size_hw = _largest(recipe, config)
    kept = activation_bytes(config, size_hw, bf16=recipe.precision != "fp32", recompute=recipe.gradient_checkpointing)
    parameters = parameter_count(config)
    sharded = gpus if recipe.strategy == "fsdp" else 1
    datasets = _datasets(recipe, images)
    return TrainPlan(
        model=config.name,
        parameters=parameters,
        steps=recipe.steps,
        images=images,
        epochs=_epochs(recipe, images),
        datasets=datasets,
        gpus=gpus,
        images_per_gpu=at_once,
        images_per_second=rate,
        gpu_hours=hours,
        days=None if hours is None else hours / 24 / gpus,
        states_gib=parameters * BYTES_PER_PARAMETER / sharded / GIB,
        activations_gib=kept * at_once / GIB,
        rests_on=_rests_on(recipe, config, size_hw, given=images_per_second is not None),
    )


def _config(recipe: TrainRecipe) -> GLIPConfig:
    size = PUBLISHED.get(recipe.init, recipe.init.removeprefix(RANDOM))
    if recipe.init.startswith(RANDOM) or recipe.init in PUBLISHED:
        if size not in SIZES:
            raise ValueError(f"init {recipe.init!r}: a random start is one of {', '.join(SIZES)}")
        return SIZES[size]()
    return GLIPConfig.from_dict(read_description(path_of(recipe.init))["config"])


def _largest(recipe: TrainRecipe, config: GLIPConfig) -> tuple[int, int]:
    """Sides of the largest pictures of the run, landscape 4:3 or as long as they may be, in multiples of 32."""
    short = max(recipe.min_sizes or config.train_min_sizes)
    long = min(recipe.max_size or config.train_max_size, round(short * 5 / 3))
    return -(-short // 32) * 32, -(-long // 32) * 32


def _datasets(recipe: TrainRecipe, images: int) -> list[PlannedDataset]:
    sizes = [_samples(entry) for entry in recipe.mix]
    shares = _shares(recipe, sizes)
    return [
        PlannedDataset(
            dataset=entry.dataset,
            samples=size,
            share=share,
            times_seen=images * share / size if size is not None else None,
        )
        for entry, size, share in zip(recipe.mix, sizes, shares, strict=True)
    ]


def _shares(recipe: TrainRecipe, sizes: list[int | None]) -> list[float]:
    if recipe.mix[0].copies is None:
        turns = Interleave([entry.weight for entry in recipe.mix]).turns
        return [count / sum(turns) for count in turns]
    missing = [entry.dataset for entry, size in zip(recipe.mix, sizes, strict=True) if size is None]
    if missing:
        raise ValueError(f"mix: copies need sizes; {', '.join(missing)} is not there and has no `samples`")
    parts = [(entry.copies or 0) * (size or 0) for entry, size in zip(recipe.mix, sizes, strict=True)]
    return [part / sum(parts) for part in parts]


def _epochs(recipe: TrainRecipe, images: int) -> float | None:
    sizes = [_samples(entry) for entry in recipe.mix]
    if any(size is None for size in sizes):
        return None
    return images / sum((entry.copies or 1) * (size or 0) for entry, size in zip(recipe.mix, sizes, strict=True))


def _samples(entry: MixEntry) -> int | None:
    """Of the dataset's card where it is there, else as the recipe says."""
    is_there = "://" in entry.dataset or Path(entry.dataset, CARD).exists()
    return read_card(Store(entry.dataset)).samples if is_there else entry.samples


def _rests_on(recipe: TrainRecipe, config: GLIPConfig, size_hw: tuple[int, int], *, given: bool) -> dict[str, str]:
    rate = "given" if given else "the GLIP paper's table of speeds, one V100"
    if not given and config.name not in PUBLISHED_RATES:
        rate = f"nothing: no published rate of {config.name}; give --rate, images a second of one GPU"
    kept = "blocks computed again" if recipe.gradient_checkpointing else "everything kept"
    number = "fp32" if recipe.precision == "fp32" else "bf16"
    return {
        "samples": "the cards of the datasets that are there, else `samples` of the recipe",
        "images_per_second": rate,
        "gpu_hours": "images over the rate; waiting for data or for each other is not in it",
        "states_gib": "weights, gradients, two moments and the average in 4 bytes each",
        "activations_gib": f"counted at {size_hw[0]} x {size_hw[1]} pixels, {number}, {kept}; without the text tower",
    }
