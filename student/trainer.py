"""The training loop: batch, step, log, checkpoint.

In: a recipe and an open mix. Out: a folder with

    model/         the averaged weights as a checkpoint that every grounder loads (rewritten at each checkpoint)
    state.pt       the state to resume from
    losses.jsonl   a line for every ``log_every`` steps and each checkpoint: means over steps with a finite gradient
    tensorboard/   the same for TensorBoard, where it is installed; also on MLflow where MLFLOW_TRACKING_URI is set

What a step does is in ``student/step.py``. A run on several workers takes the same steps as one process does on the
same batches, and a resumed run takes the same steps as one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from engine.mix import Mix
from glip.checkpoint import save_model
from schemas.recipes import TrainRecipe
from student.checkpoint import STATE, load_state, save_state
from student.optimizer import rate_factor
from student.peak_memory import peak_memory_gb
from student.run_state import gather_state, restore_state
from student.session import Session, build
from student.step import train_step
from student.training_log import TrainingLog
from student.tuning import plain_model
from student.workers import Workers

MODEL = "model"
MAX_SKIPPED_IN_A_ROW = 50  # or half of the run's steps, where that is less

Report = Callable[[int, dict[str, float]], None]
OnCheckpoint = Callable[[int, Path], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run. ``losses`` are the figures of the last logged line; ``skipped_steps`` counts the steps whose
    gradient was not finite; ``images_per_second`` is measured from ``first_step`` on, or taken from the last logged
    line where no step was left to do."""

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

    identity: names recipe, data and model; ValueError where the checkpoint has another. metadata: saved with the model.
    report: called after each step with the number of steps done and the latest figures. on_checkpoint: called in the
    first worker with the number of steps and the folder of the saved model; also for the checkpoint that a run resumes
    from, since the run that saved it may have been stopped before its call. FloatingPointError where too many gradients
    in a row are not finite; OSError where a checkpoint cannot be written.
    """
    session = build(recipe, mix, workers or Workers())
    first_step, skipped = _restore(session, out, identity, metadata)
    skips = _Skips(skipped, most=min(MAX_SKIPPED_IN_A_ROW, max(1, recipe.steps // 2)))
    hear = on_checkpoint if session.workers.rank == 0 else None
    if hear is not None and first_step:
        hear(first_step, out / MODEL)
    parameters = recipe.model_dump(mode="json")
    with (
        closing(session.data.batches(first_step)) as batches,
        TrainingLog(out, first_step, recipe.log_every, session.workers, parameters) as log,
    ):
        for step in range(first_step, recipe.steps):
            asked = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - asked
            values = train_step(session, batch, step)
            good = skips.note(step, values)
            state = _state(session, step) | {"skipped_steps": float(skips.total)}
            saves = (step + 1) % recipe.checkpoint_every == 0 or step + 1 == recipe.steps
            figures = log.step(
                step, values if good else {}, images=recipe.batch_size, waited=waited, state=state, ends=saves
            )
            if report is not None:
                report(step + 1, figures)
            if saves:
                with log.paused():
                    _checkpoint(session, out, step + 1, skips.total, identity, metadata)
                    if hear is not None:
                        hear(step + 1, out / MODEL)
    return RunResult(
        model_folder=out / MODEL,
        steps=recipe.steps,
        first_step=first_step,
        losses=log.latest,
        images_per_second=log.images / log.seconds if log.images else log.latest.get("images_per_second", 0.0),
        skipped_steps=skips.total,
    )


@dataclass(slots=True)
class _Skips:
    """The count of steps whose gradient was not finite: in the whole run, and in a row, where ``most`` end the run."""

    total: int
    most: int
    in_a_row: int = 0

    def note(self, step: int, values: dict[str, Tensor]) -> bool:
        """Whether the gradient of the step was finite. FloatingPointError where ``most`` in a row were not."""
        if math.isfinite(values["gradient_norm"]):
            self.in_a_row = 0
            return True
        self.total, self.in_a_row = self.total + 1, self.in_a_row + 1
        if self.in_a_row == self.most:
            bad = [name for name, value in values.items() if not math.isfinite(value)]
            raise FloatingPointError(
                f"the gradient was not finite in the {self.in_a_row} steps up to {step + 1} (not finite: "
                f"{', '.join(bad)}): nothing was learned since; lower optimizer.lr, or train with precision: fp32"
            )
        return False


def _state(session: Session, step: int) -> dict[str, float]:
    """The figures that are logged without averaging; ``lr`` is without the factors for the text encoder and biases."""
    recipe = session.recipe
    rate = recipe.optimizer.lr * rate_factor(step, recipe.steps, recipe.optimizer)
    return {"lr": rate, "memory_gb": peak_memory_gb(session.device)}


def _restore(session: Session, out: Path, identity: str, metadata: dict[str, Any]) -> tuple[int, int]:
    """Load the last checkpoint in ``out``; returns the first step still to do, and how many steps were skipped."""
    state = load_state(out, identity)
    if state is None:
        return 0, 0
    try:
        restore_state(state, session.raw, session.average, session.optimizer, session.workers)
    except (RuntimeError, KeyError) as error:  # load_state_dict lists all that does not fit
        raise ValueError(f"{out / STATE} is of a model of another size: {' '.join(str(error).split())[:300]}") from None
    first_step = int(state["step"])
    if first_step > session.recipe.steps:  # the saved model would claim fewer steps than it has had
        raise ValueError(
            f"{out} holds a run of {first_step} steps, the recipe has {session.recipe.steps}; train into another folder"
        )
    # The model may be missing: moved away, or the run was killed between the renames that replace it.
    if session.workers.rank == 0 and not (out / MODEL).is_dir():
        with _explaining_write_faults(out, first_step):
            _save_average(session, out, first_step, state, metadata)
    return first_step, int(state["skipped"])


def _checkpoint(session: Session, out: Path, steps: int, skipped: int, identity: str, metadata: dict[str, Any]) -> None:
    """Write the averaged weights as a model, and the state to resume from; only the first worker writes."""
    state = gather_state(session.raw, session.average, session.optimizer, session.workers)
    if session.workers.rank != 0:
        return
    with _explaining_write_faults(out, steps):
        _save_average(session, out, steps, state, metadata)
        # The state comes last: a run that dies before it repeats these steps, and writes the same model.
        save_state(out, {"identity": identity, "step": steps, "skipped": skipped} | state)


@contextmanager
def _explaining_write_faults(out: Path, steps: int) -> Iterator[None]:
    """A context for writing a checkpoint: raises OSError, in one line, where that fails."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own
        reason = " ".join(str(error).split())[:200]
        raise OSError(
            f"the checkpoint after {steps} steps could not be written into {out} ({reason}); what "
            "was there before is whole: make room on the disk and run the same command again"
        ) from error


def _save_average(session: Session, out: Path, steps: int, state: dict[str, Any], metadata: dict[str, Any]) -> None:
    averaged = plain_model(session.raw.config, state["model"] | state["average"])
    save_model(out / MODEL, averaged, session.tokenizer, metadata | {"steps": steps})
