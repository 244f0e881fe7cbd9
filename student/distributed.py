"""The training loop on a group of processes, by Ray Train: the only file of the student that imports Ray.

Each worker runs the same loop on its share of every batch (``student/process_group.py``), so N workers take the steps
that one process takes on the same batches, to rounding. gloo on CPUs, nccl on GPUs. If a worker dies, all start again
from the last checkpoint: as many as at first or, where ``min_workers`` allows it, as many as there is room for.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from engine.mix import Mix
from schemas.recipes import TrainRecipe
from student.process_group import DistributedWorkers, ShardedWorkers
from student.trainer import MODEL, OnCheckpoint, RunResult, run

RESULT = ".result-of-workers.json"
# Faults of the data, the recipe or its rates, not of a machine: a restart would only meet them again.
FAULTS_OF_THE_RUN = (ValueError, FileNotFoundError, FloatingPointError)
# The other workers wait while the first one saves and evaluates a checkpoint. Ray finds out by itself if one died.
PATIENCE_S = 6 * 3600

log = logging.getLogger(__name__)


def run_distributed(
    recipe: TrainRecipe,
    out: Path,
    *,
    workers: int,
    cores: int,
    identity: str,
    metadata: dict[str, Any],
    on_checkpoint: OnCheckpoint | None = None,
) -> RunResult:
    """Train by ``recipe`` into ``out`` on ``workers`` processes of the Ray that this process has joined or started: a
    GPU each where the cluster has enough, else CPUs.

    Without a GPU they share ``cores`` of this machine. Every worker must reach ``out`` and the datasets under the same
    paths. ``on_checkpoint`` is called by the first worker and must be picklable. A fault of data or recipe is raised as
    the worker raised it; RuntimeError where workers died more than ``max_restarts`` times.
    """
    fewest = min(recipe.min_workers or workers, workers)
    plain = {
        "recipe": recipe.model_dump(mode="json"),
        "folder": os.getcwd(),
        "out": str(out),
        "identity": identity,
        "metadata": metadata,
        "on_checkpoint": on_checkpoint,
        "threads": max(1, cores // workers),
    }
    with TemporaryDirectory(prefix="glip-train-") as storage:
        # The whole cluster counts: the machine that starts a run need not have a GPU.
        on_gpu = ray.cluster_resources().get("GPU", 0) >= fewest
        asked = workers if fewest == workers else (fewest, workers)
        _fit(plain, ScalingConfig(num_workers=asked, use_gpu=on_gpu), storage, recipe.max_restarts, fewest)
    figures = json.loads((out / RESULT).read_text())
    (out / RESULT).unlink()
    return RunResult(out / MODEL, **figures)


def _fit(plain: dict[str, Any], scaling: ScalingConfig, storage: str, max_restarts: int, fewest: int) -> None:
    """Start the workers, and start them again if one died. Ray's own restarts would also repeat a fault of the data or
    the recipe, and report it as a traceback."""
    backend = "nccl" if scaling.use_gpu else "gloo"
    for restart in range(max_restarts + 1):
        _tell_of_missing_room(fewest, "GPU" if scaling.use_gpu else "CPU")
        trainer = TorchTrainer(
            _worker,
            train_loop_config=plain,
            scaling_config=scaling,
            run_config=RunConfig(storage_path=storage, failure_config=FailureConfig(max_failures=0)),
            torch_config=TorchConfig(backend=backend, timeout_s=PATIENCE_S),
        )
        try:
            trainer.fit()
            return
        except WorkerGroupError as error:
            failures = list(error.worker_failures.values())
            told: list[Exception] = [one for one in failures if isinstance(one, FAULTS_OF_THE_RUN)]
            if not told and restart == max_restarts:
                told = [one for one in failures if isinstance(one, OSError)] or [_too_many(restart + 1, failures)]
            if told:
                raise told[0] from error


def _tell_of_missing_room(workers: int, kind: str) -> None:
    """Log where the cluster has no room for the workers, as after the loss of a machine: Ray waits in silence."""
    there = ray.cluster_resources().get(kind, 0)
    if there < workers:
        log.warning(
            "training waits for room: its workers need %d %ss, the cluster has %.0f (`ray status`); start Ray on the "
            "machines that are missing, or stop this run and go on with fewer `--workers`",
            workers,
            kind,
            there,
        )


def _too_many(starts: int, failures: list[Exception]) -> RuntimeError:
    last = " ".join(f"{type(failures[0]).__name__}: {failures[0]}".split())[:300]
    return RuntimeError(
        f"the workers were started {starts} times (max_restarts) and failed each time, the last time by {last}; "
        "run the same command again to go on from the last checkpoint"
    )


def _worker(plain: dict[str, Any]) -> None:
    """One process of the run: the loop of ``student/trainer.py`` as a member of the group."""
    if os.path.isdir(plain["folder"]):  # another machine need not have it
        # Ray Train changes it, but the recipe's paths are relative to where the run was started.
        os.chdir(plain["folder"])
    device = get_device()
    if device.type == "cpu":
        torch.set_num_threads(plain["threads"])
    recipe = TrainRecipe.model_validate(plain["recipe"])
    workers = ShardedWorkers(device) if recipe.strategy == "fsdp" else DistributedWorkers(device)
    mix = Mix.open(recipe.mix, recipe.seed, recipe.sampling)
    try:
        result = run(
            recipe,
            mix,
            Path(plain["out"]),
            identity=plain["identity"],
            metadata=plain["metadata"],
            workers=workers,
            on_checkpoint=plain["on_checkpoint"],
        )
    finally:
        mix.close()
    if workers.rank == 0:
        figures = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        del figures["model_folder"]
        # By a file: Ray Train keeps a worker's report only with a checkpoint of its own, and ours is written already.
        (Path(plain["out"]) / RESULT).write_text(json.dumps(figures))
