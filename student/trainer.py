"""The training loop: batch, losses, backward, clip, step, average, log, checkpoint.

In: a recipe and an open mix. Out: a folder with

    model/         the averaged weights as a checkpoint that every grounder loads (rewritten at each checkpoint)
    state.pt       the state to resume from
    losses.jsonl   a line for every ``log_every`` steps
    tensorboard/   the same for TensorBoard, where it is installed; on MLflow where MLFLOW_TRACKING_URI is set

Losses and normalisers as SPEC section 10; a run on several workers takes the same steps as one process does on the
same batches, and a resumed run takes the same steps as one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from engine.mix import Mix
from glip.checkpoint import save_model
from schemas.recipes import TrainRecipe
from student.checkpoint import STATE, load_state, save_state
from student.data import Batch, padded_images, split_batch
from student.memory import peak_memory_gb
from student.objectives import training_losses
from student.optimizer import rate_factor, set_rates
from student.picture_words import has_objectives
from student.run_state import gather_state, restore_state
from student.session import Session, build
from student.training_log import TrainingLog
from student.tuning import plain_model
from student.workers import Workers

MODEL = "model"

Report = Callable[[int, dict[str, float]], None]
OnCheckpoint = Callable[[int, Path], None]


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


def run(
    recipe: TrainRecipe,
    mix: Mix,
    out: Path,
    *,
    identity: str,
    metadata: dict[str, Any],
    workers: Workers | None = None,
    report: Report | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> RunResult:
    """Train by ``recipe`` on ``mix`` into the folder ``out``, from its last checkpoint where there is one.

    ``identity`` names recipe, data and model: a checkpoint of another identity is refused. ``metadata`` is saved with
    the model. ``report`` is called with the number of steps done and the latest figures, ``on_checkpoint``, in the
    first worker alone, with the number of steps and the folder of the model that was saved.
    """
    session = build(recipe, mix, workers or Workers())
    first_step, skipped = _restore(session, out, identity)
    batches = session.data.batches(first_step)
    with TrainingLog(out, first_step, recipe.log_every, session.workers, recipe.model_dump(mode="json")) as log:
        for step in range(first_step, recipe.steps):
            asked = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - asked
            values = train_step(session, batch, step)
            skipped += not math.isfinite(values["gradient_norm"])
            state = {"lr": _rate(step, recipe), "memory_gb": peak_memory_gb(session.device)}
            figures = log.step(step, values, images=recipe.batch_size, waited=waited, state=state)
            if report is not None:
                report(step + 1, figures)
            if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == recipe.steps:
                _checkpoint(session, out, step + 1, skipped, identity, metadata)
                if on_checkpoint is not None and session.workers.rank == 0:
                    on_checkpoint(step + 1, out / MODEL)
    return RunResult(
        model_folder=out / MODEL,
        steps=recipe.steps,
        first_step=first_step,
        losses=log.latest,
        images_per_second=log.images / log.seconds if log.images else 0.0,
        skipped_steps=skipped,
    )


def train_step(session: Session, batch: Batch, step: int) -> dict[str, Tensor]:
    """One step of the optimiser; the losses and the norm of the gradient before it was clipped.

    A step whose gradient is not finite changes nothing: the weights stay as they were.
    """
    recipe, workers = session.recipe, session.workers
    set_rates(session.optimizer, rate_factor(step, recipe.steps, recipe.optimizer))
    # Dropout, too, is a function of (seed, step): nothing about chance needs to be in a checkpoint.
    torch.manual_seed((recipe.seed * 1_000_003 + step) * 1_009 + workers.rank)
    session.optimizer.zero_grad(set_to_none=True)
    losses: dict[str, Tensor] = {}
    for part in split_batch(batch, recipe.accumulation):
        mine = {name: loss / recipe.accumulation for name, loss in forward_losses(session, part).items()}
        torch.autograd.backward(torch.stack(list(mine.values())).sum())
        losses = {name: losses.get(name, 0) + loss.detach() for name, loss in mine.items()}
    norm = workers.whole(nn.utils.clip_grad_norm_(session.raw.parameters(), recipe.optimizer.clip_norm))
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
        keep = has_objectives(session.recipe)
        output = session.model(images, batch.token_ids_bt.to(device), mask_BT, keep_features=keep)
    return training_losses(session.raw, output, batch, mask_BT, mean_over_processes=workers.mean)


def _is_bf16(recipe: TrainRecipe, device: torch.device) -> bool:
    return recipe.precision == "bf16" or (recipe.precision == "auto" and device.type == "cuda")


def _rate(step: int, recipe: TrainRecipe) -> float:
    """The rate of the recipe at ``step``, before the factors of the text encoder and of the biases."""
    return recipe.optimizer.lr * rate_factor(step, recipe.steps, recipe.optimizer)


def _restore(session: Session, out: Path, identity: str) -> tuple[int, int]:
    """Take up the last checkpoint in ``out``; the first step that is still to be done, and the steps skipped so far."""
    state = load_state(out, identity)
    if state is None:
        return 0, 0
    try:
        restore_state(state, session.raw, session.average, session.optimizer, session.workers)
    except (RuntimeError, KeyError) as error:  # of load_state_dict, which lists all that does not fit
        raise ValueError(f"{out / STATE} is of a model of another size: {' '.join(str(error).split())[:300]}") from None
    return int(state["step"]), int(state["skipped"])


def _checkpoint(session: Session, out: Path, steps: int, skipped: int, identity: str, metadata: dict[str, Any]) -> None:
    """Write the averaged weights as a model, and the state to resume from; the first worker alone writes."""
    state = gather_state(session.raw, session.average, session.optimizer, session.workers)
    if session.workers.rank != 0:
        return
    averaged = plain_model(session.raw.config, state["model"] | state["average"])
    try:
        save_model(out / MODEL, averaged, session.tokenizer, metadata | {"steps": steps})
        # Last: a run that dies before it makes these steps again, and the same model.
        save_state(out, {"identity": identity, "step": steps, "skipped": skipped} | state)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own
        reason = " ".join(str(error).split())[:200]
        raise OSError(
            f"the checkpoint after {steps} steps could not be written into {out} ({reason}); the one "
            "before is whole: make room on the disk and run the same command again"
        ) from error
