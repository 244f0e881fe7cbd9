"""The training job: a recipe in, a student's checkpoint out, with the lineage of what it was made from.

One process, or several through Ray Train; either can go on from a run of the other.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.artifacts import Store, digest_of
from engine.mix import Mix
from pipelines.checkpoints import local_checkpoint, pinned, registry_name
from pipelines.lineage_nodes import model_digest
from schemas.recipes import TrainRecipe
from schemas.reports import Document
from student.trainer import RunResult, run

RECIPE, RESULT = "recipe.json", "result.json"
# Fields that may change when a run is resumed: they decide how long and how it runs, not what a step does; the mix
# has its own fingerprint, which does not depend on where its datasets lie.
RUN_FIELDS = {"steps", "checkpoint_every", "log_every", "loader_threads", "mix"}


class TrainResult(Document):
    """What a training run came to. ``checkpoint`` is a folder that any grounder loads."""

    checkpoint: str
    mix_fingerprint: str
    steps: int
    losses: dict[str, float]
    images_per_second: float
    skipped_steps: int


def train(recipe: TrainRecipe, out: str | Path, *, workers: int | None = None, progress: bool = True) -> TrainResult:
    """Train a student by ``recipe`` into the folder ``out``; a run that was stopped goes on from its last checkpoint.

    ``workers`` processes share every batch (1 where not given). ValueError where a dataset of the mix is none, or
    ``out`` holds a run of another recipe.
    """
    folder = Path(out)
    recipe = _pinned(recipe, Store(folder))
    mix = Mix.open(recipe.mix, recipe.seed)
    try:
        if progress:
            print(mix.table(), flush=True)
        result = _run(recipe, mix, folder, workers or 1, progress)
    finally:
        mix.close()
    summary = TrainResult(
        checkpoint=str(result.model_folder),
        mix_fingerprint=mix.fingerprint,
        steps=result.steps,
        losses=result.losses,
        images_per_second=result.images_per_second,
        skipped_steps=result.skipped_steps,
    )
    Store(folder).write(RECIPE, (recipe.model_dump_json(indent=1) + "\n").encode())
    Store(folder).write(RESULT, (summary.model_dump_json(indent=1) + "\n").encode())
    return summary


def _pinned(recipe: TrainRecipe, store: Store) -> TrainRecipe:
    """With the version of a registry's model that the run begins, or was begun, with."""
    asked = registry_name(recipe.init)
    if asked is None or asked.version is not None:
        return recipe
    begun_with = TrainRecipe.model_validate_json(store.read(RECIPE)).init if store.exists(RECIPE) else None
    recipe = recipe.model_copy(update={"init": pinned(recipe.init, begun_with)})
    if begun_with is None:
        store.write(RECIPE, (recipe.model_dump_json(indent=1) + "\n").encode())
    return recipe


def _run(recipe: TrainRecipe, mix: Mix, folder: Path, workers: int, progress: bool) -> RunResult:
    identity = digest_of([recipe.model_dump(mode="json", exclude=RUN_FIELDS, exclude_defaults=True), mix.fingerprint])
    metadata = _lineage(recipe, mix)
    # The workers of other machines see the folder of the run, not the cache of this one.
    init = local_checkpoint(recipe.init, folder / "init" if workers > 1 else None)
    recipe = recipe.model_copy(update={"init": init})
    if workers > 1:
        from student.distributed import run_distributed  # ray is imported only where it is used

        return run_distributed(recipe, folder, workers=workers, identity=identity, metadata=metadata)
    with _Bar(recipe, enabled=progress) as bar:
        return run(recipe, mix, folder, identity=identity, metadata=metadata, report=bar.report)


def _lineage(recipe: TrainRecipe, mix: Mix) -> dict[str, Any]:
    """What the checkpoint says about its making."""
    return {
        "made_by": f"glip-engine {version('glip-engine')} train",
        "init_digest": None if recipe.init.startswith("random:") else model_digest(recipe.init),
        "parents": [dataset.fingerprint for dataset in mix.datasets],
        "mix_fingerprint": mix.fingerprint,
        "recipe": recipe.model_dump(mode="json"),
    }


class _Bar:
    """Progress on the terminal: steps, loss, images/s, time left. In a log file: a line a minute."""

    LOG_EVERY_SECONDS = 60.0

    def __init__(self, recipe: TrainRecipe, *, enabled: bool) -> None:
        console = Console(stderr=True)
        self._prints_lines = enabled and not console.is_terminal
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"))
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (enabled and console.is_terminal),
        )
        self._task = self._progress.add_task("training", total=recipe.steps, figures="")
        self._steps, self._printed_at = recipe.steps, 0.0

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, steps: int, figures: dict[str, float]) -> None:
        text = _figures(figures)
        self._progress.update(self._task, completed=steps, figures=text)
        now = time.monotonic()
        if self._prints_lines and (now - self._printed_at > self.LOG_EVERY_SECONDS or steps == self._steps):
            self._printed_at = now
            print(f"step {steps}/{self._steps}  {text}", flush=True)


def _figures(figures: dict[str, float]) -> str:
    losses = sum(value for name, value in figures.items() if name.startswith("loss"))
    return f"loss {losses:.3f}  {figures.get('images_per_second', 0.0):.1f} images/s" if figures else ""
