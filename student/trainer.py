"""The training loop: batch, losses, backward, clip, step, average, log, checkpoint.

In: a recipe and an open mix. Out: a folder with

    model/         the averaged weights as a checkpoint that every grounder loads (rewritten at each checkpoint)
    state.pt       the state to resume from
    losses.jsonl   a line for every ``log_every`` steps
    tensorboard/   the same for TensorBoard, where it is installed

Losses and normalisers as SPEC section 10; a run on several workers takes the same steps as one process does on the
same batches, and a resumed run takes the same steps as one that was never stopped.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.mix import Mix
from glip.checkpoint import load_model, save_model
from glip.config import GLIPConfig
from glip.losses import grounding_losses
from glip.model import GLIP
from glip.tokens import PromptTokenizer, load_tokenizer
from schemas.recipes import TrainRecipe
from student.checkpoint import load_state, save_state
from student.data import Batch, TrainingData, padded_images
from student.optimizer import WeightAverage, build_optimizer, rate_factor, set_rates
from student.training_log import TrainingLog
from student.workers import Workers

MODEL = "model"
RANDOM = "random:"
SIZES: dict[str, Callable[[], GLIPConfig]] = {
    "nano": GLIPConfig.nano,
    "tiny": GLIPConfig.tiny,
    "large": GLIPConfig.large,
}

Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run: where the model is, and the figures of its last logged step. ``skipped_steps`` had a gradient
    that was not finite; ``images_per_second`` is of the steps from ``first_step`` on."""

    model_folder: Path
    steps: int
    first_step: int
    losses: dict[str, float]
    images_per_second: float
    skipped_steps: int


@dataclass(frozen=True, slots=True)
class Session:
    """What a run holds. ``model`` is ``raw`` as the workers wrap it."""

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


def run(
    recipe: TrainRecipe,
    mix: Mix,
    out: Path,
    *,
    identity: str,
    metadata: dict[str, Any],
    workers: Workers | None = None,
    report: Report | None = None,
) -> RunResult:
    """Train by ``recipe`` on ``mix`` into the folder ``out``, from its last checkpoint where there is one.

    ``identity`` names recipe, data and model: a checkpoint of another identity is refused. ``metadata`` is saved with
    the model. ``report`` is called with the number of steps done and the latest figures.
    """
    session = build(recipe, mix, workers or Workers())
    first_step, skipped = _restore(session, out, identity)
    batches = session.data.batches(first_step)
    with TrainingLog(out, first_step, recipe.log_every, session.workers) as log:
        for step in range(first_step, recipe.steps):
            asked = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - asked
            values = train_step(session, batch, step)
            skipped += not math.isfinite(values["gradient_norm"])
            figures = log.step(step, values, images=recipe.batch_size, waited=waited, lr=_rate(step, recipe))
            if report is not None:
                report(step + 1, figures)
            if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == recipe.steps:
                _checkpoint(session, out, step + 1, skipped, identity, metadata)
    return RunResult(
        model_folder=out / MODEL,
        steps=recipe.steps,
        first_step=first_step,
        losses=log.latest,
        images_per_second=log.images / log.seconds if log.images else 0.0,
        skipped_steps=skipped,
    )


def build(recipe: TrainRecipe, mix: Mix, workers: Workers) -> Session:
    """The model (random or from a checkpoint), its optimiser, its average, and the data of this worker."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer, config = _initial_model(recipe, device)
    model.train()
    return Session(
        recipe=recipe,
        raw=model,
        model=workers.wrap(model),
        config=config,
        tokenizer=tokenizer,
        optimizer=build_optimizer(model, recipe.optimizer),
        average=WeightAverage(model, recipe.optimizer.ema_decay),
        data=TrainingData(mix, recipe, config, tokenizer, rank=workers.rank, size=workers.size),
        workers=workers,
        device=device,
    )


def train_step(session: Session, batch: Batch, step: int) -> dict[str, Tensor]:
    """One step of the optimiser; the losses and the norm of the gradient before it was clipped.

    A step whose gradient is not finite changes nothing: the weights stay as they were.
    """
    recipe, workers = session.recipe, session.workers
    set_rates(session.optimizer, rate_factor(step, recipe.steps, recipe.optimizer))
    # Dropout, too, is a function of (seed, step): nothing about chance needs to be in a checkpoint.
    torch.manual_seed((recipe.seed * 1_000_003 + step) * 1_009 + workers.rank)
    losses = forward_losses(session, batch)
    session.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    norm = nn.utils.clip_grad_norm_(session.raw.parameters(), recipe.optimizer.clip_norm)
    if norm.isfinite():
        session.optimizer.step()
        session.average.update(session.raw, step)
    return losses | {"gradient_norm": norm}


def forward_losses(session: Session, batch: Batch) -> dict[str, Tensor]:
    """The losses of a batch, in fp32; the forward pass runs in the recipe's precision."""
    device, workers = session.device, session.workers
    images = padded_images(batch, workers.largest(batch.shape_hw)).to(device)
    mask_BT = batch.attention_mask_bt.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=_is_bf16(session.recipe, device)):
        output = session.model(images, batch.token_ids_bt.to(device), mask_BT)
    return grounding_losses(output, batch.targets, mask_BT, session.config, mean_over_processes=workers.mean)


def _is_bf16(recipe: TrainRecipe, device: torch.device) -> bool:
    return recipe.precision == "bf16" or (recipe.precision == "auto" and device.type == "cuda")


def _rate(step: int, recipe: TrainRecipe) -> float:
    """The rate of the recipe at ``step``, before the factors of the text encoder and of the biases."""
    return recipe.optimizer.lr * rate_factor(step, recipe.steps, recipe.optimizer)


def _initial_model(recipe: TrainRecipe, device: torch.device) -> tuple[GLIP, PromptTokenizer, GLIPConfig]:
    if not recipe.init.startswith(RANDOM):
        loaded = load_model(recipe.init, device)
        return loaded.model, loaded.tokenizer, loaded.config
    size = recipe.init.removeprefix(RANDOM)
    if size not in SIZES or recipe.tokenizer is None:
        raise ValueError(
            f"init {recipe.init!r} with tokenizer {recipe.tokenizer!r}: a random start is one of "
            f"{', '.join(RANDOM + name for name in SIZES)}, and needs `tokenizer`, a vocabulary file"
        )
    tokenizer = load_tokenizer(recipe.tokenizer)
    config = dataclasses.replace(SIZES[size](), vocabulary_size=tokenizer.vocabulary_size)
    torch.manual_seed(recipe.seed)
    return GLIP(config).to(device), tokenizer, config


def _restore(session: Session, out: Path, identity: str) -> tuple[int, int]:
    """Take up the last checkpoint in ``out``; the first step that is still to be done, and the steps skipped so far."""
    state = load_state(out, identity)
    if state is None:
        return 0, 0
    session.raw.load_state_dict(state["model"])
    session.optimizer.load_state_dict(state["optimizer"])
    session.average.load(state["average"])
    return int(state["step"]), int(state["skipped"])


def _checkpoint(session: Session, out: Path, steps: int, skipped: int, identity: str, metadata: dict[str, Any]) -> None:
    """Write the state to resume from, and the averaged weights as a model; the first worker alone writes."""
    if session.workers.rank != 0:
        return
    state = {
        "identity": identity,
        "step": steps,
        "skipped": skipped,
        "model": session.raw.state_dict(),
        "average": session.average.weights,
        "optimizer": session.optimizer.state_dict(),
    }
    save_state(out, state)
    averaged = copy.deepcopy(session.raw)
    session.average.copy_to(averaged)
    save_model(out / MODEL, averaged, session.tokenizer, metadata | {"steps": steps})
