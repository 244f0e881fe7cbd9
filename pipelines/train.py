"""The training job: from a recipe to a student's checkpoint, which records what it was made from.

One process, or several through Ray Train; each can resume a run of the other.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from engine.artifacts import Store
from engine.made_by import made_by
from engine.mix import Mix, NameRelations
from engine.runner import connected
from engine.running.cores import usable_cores
from engine.running.layout import Workers
from engine.running.session_folder import check_session_folder
from glip.hub import parse_sha256
from glip.model_folder import WEIGHTS_FILE, check_sha256, path_of
from glip.published import PUBLISHED
from pipelines.convert import convert
from pipelines.lineage.nodes import model_digest
from pipelines.models.checkpoints import local_checkpoint, pinned, registry_name
from pipelines.models.local_folders import local_folder
from pipelines.training.bar import TrainingBar
from pipelines.training.evaluation import BEST, EVALUATIONS, EvaluateAlong, Standing, best_of, check_before, standings
from schemas.recipes import TrainRecipe
from schemas.reports import Document
from schemas.train_recipes import RANDOM
from student.boards import check_boards
from student.checkpoint import STATE
from student.data import pictures_at_once
from student.optimizer import short_of_full_rate
from student.session import tokenizer_of_random_start
from student.trainer import RunResult, run
from student.training_log import LOSSES

RECIPE, RESULT = "recipe.json", "result.json"
# Fields that may change when a run is resumed: they decide how long and how it runs, not what a step does; the mix
# has its own fingerprint, which does not depend on where its datasets lie.
RUN_FIELDS = {"steps", "checkpoint_every", "log_every", "loader_threads", "mix", "evaluation", "gradient_checkpointing"}
RUN_FIELDS |= {"strategy", "min_workers", "max_restarts"}


class TrainResult(Document):
    """The result of a training run. ``checkpoint``: the folder of the last model, which any GLIP grounder loads.
    ``best``: the evaluation of the model in the folder ``best/``, if there were evaluations along the run."""

    checkpoint: str
    mix_fingerprint: str
    steps: int
    losses: dict[str, float]
    images_per_second: float
    skipped_steps: int
    best: Standing | None = None


def train(recipe: TrainRecipe, out: str | Path, *, workers: int | None = None, progress: bool = True) -> TrainResult:
    """Train a student by ``recipe`` into the folder ``out``; a stopped run resumes from its last checkpoint.

    ``workers`` processes share every batch (1 where not given). ValueError where a dataset of the mix is none, or
    ``out`` is a URL, holds a run of another recipe, or is trained into by another job.
    """
    folder = local_folder(out)
    check_training(recipe, workers or 1)  # mistakes are reported before workers are started
    store = Store(folder)
    with store.locked():  # two runs that write one state would spoil it
        recipe = _pinned(recipe, store)
        mix = Mix.open(recipe.mix, recipe.seed, recipe.sampling)
        try:
            lines = [mix.table(), *short_of_full_rate(recipe)]
            if recipe.evaluation is not None:
                lines += check_before(recipe.evaluation, [dataset.store for dataset in mix.datasets])
            if progress:
                print("\n".join(lines), flush=True)
            result = _run(recipe, mix, folder, workers or 1, progress)
        finally:
            mix.close()
        summary = _summary(result, mix.fingerprint, standings(folder))
        store.write_document(RECIPE, recipe)
        store.write_document(RESULT, summary)
    return summary


def _summary(result: RunResult, mix_fingerprint: str, judged: list[Standing]) -> TrainResult:
    return TrainResult(
        checkpoint=str(result.model_folder),
        mix_fingerprint=mix_fingerprint,
        steps=result.steps,
        losses=result.losses,
        images_per_second=result.images_per_second,
        skipped_steps=result.skipped_steps,
        best=best_of(judged) if judged else None,
    )


def result_line(result: TrainResult) -> str:
    """A line for the user: where the student is, and what to do with it next."""
    if (best := result.best) is None:
        return f"student: {result.checkpoint}; next: glip-engine evaluate {result.checkpoint} --on DATASET"
    folder = Path(result.checkpoint).with_name(BEST)
    return (
        f"student: {result.checkpoint}; the best by {best.metric} ({100 * best.value:.1f}) is {folder}, after "
        f"{best.steps} of {result.steps} steps; next: glip-engine evaluate {folder} --on DATASET"
    )


def check_training(recipe: TrainRecipe, workers: int) -> None:
    """Check, before hours of work, that this training can begin: ValueError or FileNotFoundError where it could not,
    whatever its data are."""
    pictures_at_once(recipe, workers)
    if recipe.init.startswith(RANDOM):
        tokenizer_of_random_start(recipe)
    NameRelations(recipe.synonyms)  # WordNet may not be installed
    check_boards()
    if _in_group(recipe, workers) and not os.environ.get("RAY_ADDRESS"):
        check_session_folder()


def _in_group(recipe: TrainRecipe, workers: int) -> bool:
    """Whether Ray Train runs the training. With one process, too, if the recipe asks for FSDP."""
    return workers > 1 or recipe.strategy == "fsdp"


def _pinned(recipe: TrainRecipe, store: Store) -> TrainRecipe:
    """The recipe with a registry model in ``init`` pinned to the version that the run begins, or was begun, with."""
    asked = registry_name(recipe.init)
    if asked is None or asked.version is not None:
        return recipe
    begun_with = TrainRecipe.model_validate_json(store.read(RECIPE)).init if store.exists(RECIPE) else None
    recipe = recipe.model_copy(update={"init": pinned(recipe.init, begun_with)})
    if begun_with is None:
        store.write_document(RECIPE, recipe)
    return recipe


def _run(recipe: TrainRecipe, mix: Mix, folder: Path, workers: int, progress: bool) -> RunResult:
    in_group = _in_group(recipe, workers)
    init = _local_init(recipe, folder, in_group)
    metadata = _lineage(recipe, init, mix)
    identity = _identity(recipe, metadata["init_digest"], mix)
    recipe = recipe.model_copy(update={"init": init})
    if not (folder / STATE).exists():  # somebody deleted it: what its run was judged by is not of this one
        Store(folder).delete(EVALUATIONS)
    along = EvaluateAlong(recipe.evaluation, folder) if recipe.evaluation is not None else None
    named: dict[str, Any] = {"identity": identity, "metadata": metadata, "on_checkpoint": along}
    with TrainingBar(recipe, enabled=progress) as bar:
        if not in_group:
            return run(recipe, mix, folder, report=bar.report, **named)
        with connected(Workers(workers)), bar.following(folder / LOSSES):
            from student.distributed import run_distributed  # ray is imported only where it is used

            return run_distributed(recipe, folder, workers=workers, cores=usable_cores(), **named)


def _identity(recipe: TrainRecipe, init_digest: str | None, mix: Mix) -> str:
    """What makes a run this run, as JSON: data, recipe and starting model. A checkpoint of another identity is not
    resumed.

    The starting model counts by its digest, not by its path, which may hold another model tomorrow.
    """
    exclude = RUN_FIELDS if init_digest is None else RUN_FIELDS | {"init", "init_sha256"}
    fields = recipe.model_dump(mode="json", exclude=exclude, exclude_defaults=True)
    model = {} if init_digest is None else {"init": init_digest}
    return json.dumps(fields | model | {"mix": mix.fingerprint}, sort_keys=True)


def _local_init(recipe: TrainRecipe, folder: Path, in_group: bool) -> str:
    """The ``init`` that the workers open: a random start as it is, or a model folder, whose digest is checked if the
    recipe has one. A published file is first converted into a folder of the run's own."""
    # The workers of other machines see the folder of the run, not the cache of this one.
    init = local_checkpoint(recipe.init, folder / "init" if in_group else None)
    if init.startswith(RANDOM):
        return init
    path = path_of(init)
    if init in PUBLISHED or path.is_file():
        return convert(init, folder / "init" / "model", tokenizer=recipe.tokenizer, sha256=recipe.init_sha256).folder
    if recipe.init_sha256 is not None and path.is_dir():
        check_sha256(path / WEIGHTS_FILE, parse_sha256(recipe.init_sha256), "init_sha256 says")
    return init


def _lineage(recipe: TrainRecipe, init: str, mix: Mix) -> dict[str, Any]:
    """What the checkpoint records about its making."""
    return {
        "made_by": made_by("train"),
        "init_digest": None if init.startswith(RANDOM) else model_digest(init),
        "parents": [dataset.fingerprint for dataset in mix.datasets],
        "mix_fingerprint": mix.fingerprint,
        "recipe": recipe.model_dump(mode="json"),
    }
