"""The objects of a training run, and how they are built: model, optimiser, average and data.

In: a recipe, an open mix and one of the run's workers. Out: a :class:`Session`, ready for the first step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from engine.mix import Mix
from glip.checkpoint import load_model
from glip.config import GLIPConfig
from glip.model import GLIP
from glip.tokens import PromptTokenizer, load_tokenizer
from schemas.recipes import TrainRecipe
from schemas.train_recipes import RANDOM
from student.data import TrainingData
from student.memory import recompute_blocks
from student.objectives import add_objectives
from student.optimizer import WeightAverage, build_optimizer
from student.tuning import prepare
from student.warm_start import load_image_tower, load_text_tower
from student.workers import Workers

SIZES: dict[str, Callable[[], GLIPConfig]] = {
    "nano": GLIPConfig.nano,
    "tiny": GLIPConfig.tiny,
    "large": GLIPConfig.large,
}


@dataclass(frozen=True, slots=True)
class Session:
    """The objects of a run. ``model`` is ``raw`` as wrapped by the workers (DDP or FSDP)."""

    recipe: TrainRecipe
    raw: GLIP
    model: nn.Module
    config: GLIPConfig
    tokenizer: PromptTokenizer
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    data: TrainingData
    workers: Workers
    device: torch.device


def build(recipe: TrainRecipe, mix: Mix, workers: Workers) -> Session:
    """The model (random or from a checkpoint), its optimiser, its average, and the data of this worker."""
    raw, tokenizer = _initial_model(recipe, workers.device)
    raw.train()
    prepare(raw, recipe)
    add_objectives(raw, recipe, tokenizer)
    if recipe.gradient_checkpointing:
        recompute_blocks(raw)
    model = workers.wrap(raw)  # before the optimiser, since wrapping may replace the parameters
    return Session(
        recipe=recipe,
        raw=raw,
        model=model,
        config=raw.config,
        tokenizer=tokenizer,
        optimizer=build_optimizer(raw, recipe.optimizer),
        average=WeightAverage(raw, recipe.optimizer.ema_decay),
        data=TrainingData(mix, recipe, raw.config, tokenizer, rank=workers.rank, size=workers.size),
        workers=workers,
        device=workers.device,
    )


def tokenizer_of_random_start(recipe: TrainRecipe) -> PromptTokenizer:
    """The tokenizer of a model with random weights. ValueError or FileNotFoundError where the recipe names no
    vocabulary, or a file that does not exist."""
    if recipe.tokenizer is None:
        raise ValueError(
            f"init {recipe.init!r} needs `tokenizer`, a vocabulary file: random weights have none of their own"
        )
    return load_tokenizer(recipe.tokenizer)


def _initial_model(recipe: TrainRecipe, device: torch.device) -> tuple[GLIP, PromptTokenizer]:
    if not recipe.init.startswith(RANDOM):
        loaded = load_model(recipe.init, device)
        return loaded.model, loaded.tokenizer
    tokenizer = tokenizer_of_random_start(recipe)
    size = SIZES[recipe.init.removeprefix(RANDOM)]()
    config = dataclasses.replace(size, vocabulary_size=tokenizer.vocabulary_size)
    torch.manual_seed(recipe.seed)
    model = GLIP(config)
    if recipe.image_tower is not None:
        load_image_tower(model, recipe.image_tower)
    if recipe.text_tower is not None:
        load_text_tower(model, recipe.text_tower)
    return model.to(device), tokenizer
