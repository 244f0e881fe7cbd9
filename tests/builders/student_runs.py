"""A student trained in this process, on a mix that is opened and closed for it, and the batches of such a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.mix import Mix
from glip.checkpoint import LoadedModel
from schemas.recipes import TrainRecipe
from student.data import TrainingData
from student.trainer import Report, RunResult, run


class StoppedError(Exception):
    """A run is stopped from outside."""


def stop_after(steps: int) -> Report:
    """What stops a run once so many steps are done: the ``report`` of one."""

    def report(done: int, figures: dict[str, float]) -> None:
        if done == steps:
            raise StoppedError

    return report


@dataclass(frozen=True)
class FailAtCheckpoint:
    """A run's ``on_checkpoint`` that raises an error, and keeps in a file how often it was called."""

    calls: Path
    error: Exception

    def __call__(self, steps: int, model: Path) -> None:
        with self.calls.open("a") as lines:
            lines.write(f"{steps}\n")
        raise self.error


def train_alone(recipe: TrainRecipe, out: Path, *, identity: str = "me", **options: Any) -> RunResult:
    """The result of a run; ``options`` are those of ``student.trainer.run``."""
    mix = Mix.open(recipe.mix, recipe.seed, recipe.sampling)
    try:
        return run(recipe, mix, out, identity=identity, **{"metadata": {"made_by": "test"}, **options})
    finally:
        mix.close()


def training_data(mix: Mix, recipe: TrainRecipe, loaded: LoadedModel, rank: int = 0, size: int = 1) -> TrainingData:
    """The batches of one worker of a run that goes on from a model."""
    return TrainingData(mix, recipe, loaded.config, loaded.tokenizer, rank=rank, size=size)
